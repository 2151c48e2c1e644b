"""Finite in, infinite or zero inside: norms of errors over the whole range of the floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS

import bptt
from bptt.diagnose import curves
from bptt.layers.passes.tape import RecurrentTape

T, B, I, H = 7, 3, 2, 5
X = np.random.default_rng(0).standard_normal((T, B, I))

PASSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "layer norm": {"layer_norm": True},
    "zoneout": {"zoneout": 0.3},
    "ragged": {"lengths": [T, 2, 0]},
    "recomputed": {"checkpoint": 2},
    "kept errors": {"keep_errors": True},
    "truncated": {"steps": 4},
}


@pytest.mark.parametrize("backend", [bptt, bptt.reference])
@pytest.mark.parametrize("cell", CELLS)
def test_norms_of_scaled_errors_are_scaled_norms(cell: str, backend: Any) -> None:
    """Errors times a power of two have norms times that power, far beyond where squares leave float64."""
    for name in PASSES:
        if name != "recomputed" or backend is bptt:
            check_norms_of_scaled_errors(cell, name, backend)


def check_norms_of_scaled_errors(cell: str, name: str, backend: Any) -> None:
    kind, own = CELLS[cell]
    options = dict(PASSES[name])
    forward = {key: options.pop(key) for key in ("lengths", "checkpoint") if key in options}
    backward = {key: options.pop(key) for key in ("keep_errors", "steps") if key in options}
    layer = getattr(backend, kind)(I, H, dtype="float64", seed=1, **own | options)
    y, _, tape = layer.forward(X, **forward)
    dy = np.random.default_rng(1).standard_normal(y.shape)

    def norms(exponent: int) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
        assert isinstance(tape, RecurrentTape)
        layer.backward(tape, np.ldexp(dy, exponent), need_dx=False, **backward)
        kept = [tape.dh_norm, tape.dc_norm] if layer.has_cell_state else [tape.dh_norm]
        return [norm for norm in kept if norm is not None]

    plain = norms(0)
    assert plain[0].any()
    for exponent in (-950, -700, -500, -440, 440, 500, 700, 950):
        for one, scaled in zip(plain, norms(exponent), strict=True):
            np.testing.assert_allclose(np.ldexp(scaled, -exponent), one, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("lengths", [None, [1] * 6])
@pytest.mark.parametrize("backend", [bptt, bptt.reference])
def test_units_of_a_sum_may_differ(backend: Any, lengths: list[int] | None) -> None:
    """Rows of one batch, and units of one row, from the smallest to the largest."""
    layer = backend.RNN(1, 1, bias=False, dtype="float64", seed=0)
    layer.flat_parameters[:] = 0
    y, _, tape = layer.forward(np.zeros((1, 6, 1)), lengths=lengths)
    for sizes in (
        [1e-300, 1e300, 1, 1e-160, 1e160, 0],
        [1e-300, 1e-200, 0, 0, 0, 0],
        [1e-150, 3e-140, 0, 0, 0, 0],
        [1e200, 2e200, 1e190, 0, 1, 0],
        [1.7e308] * 6,
        [0] * 6,
    ):
        with np.errstate(over="ignore"):  # the reference sums up gradients of biases, which there are not
            layer.backward(tape, np.array(sizes).reshape(y.shape))
        assert tape.dh_norm is not None
        largest = np.finfo(np.float64).max
        expected = min(float(np.hypot.reduce(np.array(sizes, np.longdouble))), largest)
        assert float(tape.dh_norm[0, 0]) == pytest.approx(expected, rel=1e-15)
    for first, second in ((np.inf, 1.0), (np.nan, 1e200)):
        with np.errstate(invalid="ignore"):  # the reference multiplies infinity by zero
            layer.backward(tape, np.array([first, second, 0, 0, 0, 0]).reshape(y.shape))
        np.testing.assert_array_equal(tape.dh_norm, [[first]])


def test_a_mean_growth_may_lie_above_the_largest_number() -> None:
    for way in ([5e-324, 1.0], [5e-324, 1.0, 0.0], [1e-320, 1e300]):
        assert np.isinf(curves.growth(np.array(way), 1e-300)) or way[-1] == 0
    assert curves.growth(np.array([1e-150, 1.0, 1e150]), 1e-300) == pytest.approx(1e150)


def test_huge_errors_are_finite() -> None:
    layer = bptt.RNN(1, 1, nonlinearity="relu", bias=False, dtype="float64", seed=0)
    layer.parameters["weight_ih_l0"][...] = 1e-250
    layer.parameters["weight_hh_l0"][...] = 10
    x = np.ones((200, 1, 1))
    assert bptt.first_nonfinite(layer, x) is None
    flow = bptt.gradient_flow(layer, x)
    np.testing.assert_allclose(flow.ways[0], 10.0 ** np.arange(200), rtol=1e-12)
    layer.parameters["weight_hh_l0"][...] = 1e-3
    layer.parameters["weight_ih_l0"][...] = 1.0
    flow = bptt.gradient_flow(layer, x[:90])
    np.testing.assert_allclose(flow.ways[0], 1e-3 ** np.arange(90.0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weight", [1e-2, 1e-10, 1e-17, 1e-30])
def test_underflow_is_no_cut(dtype: str, weight: float) -> None:
    layer = bptt.RNN(1, 4, nonlinearity="relu", dtype=dtype, seed=0)
    layer.parameters["weight_hh_l0"][...] = weight * np.eye(4)
    layer.parameters["bias_ih_l0"][...] = 10
    flow = bptt.gradient_flow(layer, np.ones((200, 2, 1)))
    np.testing.assert_allclose(flow.rate, [weight], rtol=1e-2)
    assert "cut off" not in str(flow)
    assert "the gradient vanishes" in " ".join(str(flow).split())
