"""Kind of fault: order matters that must not.

Batches within a group, rows within a batch, and padding rows may stand in any order.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.training import SYMBOLS, B, T, batch

import bptt
from bptt.train import Trainer

EPSILON = np.finfo(np.float64).eps


def trained(data: list[Any], **options: Any) -> np.ndarray:
    net = bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1, dtype="float64"),
        bptt.LSTM(4, 6, seed=2, dtype="float64"),
        bptt.Linear(6, SYMBOLS, seed=3, dtype="float64"),
    )
    Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.5), progress=False, **options).fit(data)
    return np.array(net.flat_parameters)


def parts() -> list[dict[str, np.ndarray]]:
    """Three batches; one is masked whole, one in part."""
    rng = np.random.default_rng(0)
    masks = [np.zeros((T, B), bool), rng.random((T, B)) < 0.5, np.ones((T, B), bool)]
    return [
        {"x": x, "target": target, "mask": mask}
        for (x, target), mask in zip(map(batch, range(3)), masks, strict=True)
    ]


@pytest.mark.parametrize("clip_state", [None, 1e-4, bptt.ClipNorm(1e-3)])
def test_batches_of_a_group(clip_state: Any) -> None:
    orders = [list(order) for order in itertools.permutations(parts())]
    found = [trained(order, accumulate=3, clip_state=clip_state) for order in orders]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=3 * T * B * EPSILON)


@pytest.mark.parametrize("clip_state", [None, 1e-4, bptt.ClipNorm(1e-3)])
def test_a_group_is_one_batch(clip_state: Any) -> None:
    """clip_state bounds errors at the size that they have in the one large batch."""
    whole = {
        name: np.concatenate([part[name] for part in parts()], axis=1) for name in ("x", "target", "mask")
    }
    expected = trained([whole], clip_state=clip_state)
    found = trained(parts(), accumulate=3, clip_state=clip_state)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3 * T * B * EPSILON)


@pytest.mark.parametrize("clip_state", [None, 1e-4, bptt.ClipNorm(1e-3)])
def test_rows_of_a_batch(clip_state: Any) -> None:
    part = parts()[1]
    lengths = np.array([T, 3, 7])
    order = [2, 0, 1]
    permuted = {name: array[:, order] for name, array in part.items()}
    one = trained([part | {"lengths": lengths}], clip_state=clip_state)
    other = trained([permuted | {"lengths": lengths[order]}], clip_state=clip_state)
    np.testing.assert_allclose(other, one, rtol=0, atol=T * B * EPSILON)
