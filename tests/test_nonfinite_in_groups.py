"""NonFiniteError says where it began, in whichever batch or window of its group that was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bptt
from bptt.optim import NonFiniteError
from bptt.train import Trainer

RNG = np.random.default_rng(0)


def planted(batch: int, step: int, batches: int = 3, steps: int = 12) -> list[Any]:
    """Batches of numbers; x of one of them holds a NaN at one step."""
    data = [(RNG.standard_normal((steps, 2, 3)), RNG.standard_normal((steps, 2, 2))) for _ in range(batches)]
    data[batch][0][step, 0, 0] = np.nan
    return data


def message(data: list[Any], **options: Any) -> str:
    net = bptt.Sequential(bptt.LSTM(3, 4, seed=1), bptt.Linear(4, 2, seed=2))
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False, **options)
    before = net.flat_parameters.copy()
    with pytest.raises(NonFiniteError) as error:
        fit.fit(data)
    assert np.array_equal(net.flat_parameters, before)
    return str(error.value)


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("step", [0, 5, 11])
def test_in_a_group_of_batches(batch: int, step: int) -> None:
    assert f"in batch {batch} of the epoch, gate i of layer 0 of model[0] is not finite at step {step}" in (
        message(planted(batch, step), accumulate=3)
    )


@pytest.mark.parametrize("batch", [0, 1])
def test_in_a_group_of_two(batch: int) -> None:
    assert f"in batch {batch} of the epoch, gate i" in message(planted(batch, 5, batches=2), accumulate=2)


@pytest.mark.parametrize("step", [0, 5, 11])
@pytest.mark.parametrize("truncate", [4, (4, 8)])
def test_in_a_group_of_windows(step: int, truncate: Any) -> None:
    found = message(planted(0, step, batches=1), accumulate=3, truncate=truncate)
    assert f"in batch 0 of the epoch, gate i of layer 0 of model[0] is not finite at step {step}" in found


def test_a_batch_without_rows_that_count_is_not_named() -> None:
    """The NaN of the first batch reaches no gradient: its rows are all masked."""
    data = [{"x": x, "target": target, "mask": np.ones((12, 2), bool)} for x, target in planted(1, 5)]
    data[0]["x"][3] = np.nan
    data[0]["mask"][:] = False
    found = message(data, accumulate=3)
    assert "in batch 1 of the epoch, gate i of layer 0 of model[0] is not finite at step 5" in found


def test_alone() -> None:
    found = message(planted(0, 5))
    assert "update 0 of epoch 0" in found
    assert "in batch" not in found  # the update has one batch only
    assert "gate i of layer 0 of model[0] is not finite at step 5" in found
