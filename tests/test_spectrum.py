"""What the recurrent weights alone do to a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt


def test_radius_of_an_rnn() -> None:
    layer = bptt.RNN(
        3, 20, 2, bidirectional=True, init=bptt.init.sparse(spectral_radius=1.3), dtype="float64", seed=0
    )
    np.testing.assert_allclose(bptt.spectral_radius(layer), [1.3] * 4, rtol=1e-6)
    layer.parameters["weight_hh_l1"][...] = 0.5 * np.eye(20)
    np.testing.assert_allclose(bptt.spectral_radius(layer), [1.3, 1.3, 0.5, 1.3], rtol=1e-6)


GATES = {"LSTM": ({}, 4), "coupled": ({"coupled": True}, 3), "GRU": ({}, 3), "MGU": ({}, 2)}


@pytest.mark.parametrize("name", GATES)
def test_radius_gate_by_gate(name: str) -> None:
    options, count = GATES[name]
    layer = getattr(bptt, name if name != "coupled" else "LSTM")(3, 6, 2, seed=0, **options)
    for block in range(count):
        rotation = np.linalg.qr(np.random.default_rng(block).standard_normal((6, 6)))[0]
        layer.parameters["weight_hh_l1"][6 * block : 6 * block + 6] = (block + 1) * rotation
    found = bptt.spectral_radius(layer)
    assert found.shape == (2, count)
    np.testing.assert_allclose(found[1], np.arange(1, count + 1), rtol=1e-5)


def test_radius_with_a_projection() -> None:
    layer = bptt.LSTM(3, 6, proj_size=2, seed=0, dtype="float64")
    P, U = layer.parameters["weight_hr_l0"], layer.parameters["weight_hh_l0"]
    expected = [np.abs(np.linalg.eigvals(P @ U[k : k + 6])).max() for k in range(0, 24, 6)]
    np.testing.assert_allclose(bptt.spectral_radius(layer), [expected])


def nan_weights() -> bptt.RNN:
    layer = bptt.RNN(3, 4)
    layer.parameters["weight_hh_l0"][1, 1] = np.nan
    return layer


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a model": (
        lambda: bptt.spectral_radius(bptt.Sequential(bptt.RNN(3, 4))),
        TypeError,
        r"RNN, LSTM.*model\[1\]",
    ),
    "an array": (lambda: bptt.spectral_radius(np.eye(3)), TypeError, "layer must be an RNN"),
    "weights of NaN": (
        lambda: bptt.spectral_radius(nan_weights()),
        ValueError,
        "weight_hh_l0 must be finite",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
