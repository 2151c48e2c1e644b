"""A diagnosis of several rows or windows is made of the diagnoses of each alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise

import bptt

T, B, I, H = 9, 3, 2, 4
KINDS = ("RNN", "LSTM", "GRU", "MGU")


def layer_of(kind: str, **options: Any) -> Any:
    layer = getattr(bptt, kind)(I, H, dtype="float64", seed=0, **options)
    layer.flat_parameters[:] *= 2
    return layer


def rows() -> Any:
    """Rows of different sizes: their exponents, and the order of their units, differ."""
    return np.random.default_rng(1).standard_normal((T, B, I)) * [[[0.1], [1.0], [5.0]]]


@pairwise(("kind", KINDS), ("k", [1, 3, None]), ("layers", [1, 2]))
def test_exponents_of_rows_are_sorted_before_their_mean(kind: str, k: int | None, layers: int) -> None:
    layer, x = layer_of(kind, num_layers=layers), rows()
    alone = [bptt.lyapunov_spectrum(layer, x[:, [b]], k) for b in range(B)]
    for exponents in alone:
        np.testing.assert_array_equal(exponents, np.sort(exponents)[::-1])
    np.testing.assert_allclose(bptt.lyapunov_spectrum(layer, x, k), np.mean(alone, axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_exponents_do_not_depend_on_the_order_of_rows(kind: str) -> None:
    layer, x = layer_of(kind), rows()
    found, turned = (bptt.lyapunov_spectrum(layer, given) for given in (x, x[:, ::-1]))
    np.testing.assert_allclose(found, turned, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_exponents_of_windows_go_on_from_each_other(kind: str) -> None:
    """All exponents add up to the log of a determinant, so that windows add up too."""
    layer, x = layer_of(kind), rows()[:, [1]]
    whole = bptt.lyapunov_spectrum(layer, x).sum() * T
    state, parts = None, 0.0
    for begin in range(0, T, 3):
        window = x[begin : begin + 3]
        parts += bptt.lyapunov_spectrum(layer, window, state=state).sum() * 3
        _, state = layer(window, state)
    assert parts == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_norms_of_a_batch_are_those_of_its_rows(kind: str, bidirectional: bool) -> None:
    """A norm over the batch is the root of the sum of its rows' squares; the loss must not mix them."""
    layer, x = layer_of(kind, bidirectional=bidirectional), rows()
    y, _, _ = layer.forward(x)
    weights = np.random.default_rng(2).standard_normal(y.shape)

    def norms(part: slice) -> list[Any]:
        _, _, tape = layer.forward(x[:, part])
        layer.backward(tape, weights[:, part])
        return [tape.dh_norm] if tape.dc_norm is None else [tape.dh_norm, tape.dc_norm]

    alone = [norms(slice(b, b + 1)) for b in range(B)]
    for together, *each in zip(norms(slice(None)), *alone, strict=True):
        np.testing.assert_allclose(together, np.linalg.norm(each, axis=0), rtol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_a_row_have_its_flow(kind: str, bidirectional: bool) -> None:
    layer, x = layer_of(kind, bidirectional=bidirectional), rows()[:, [1]]
    alone, copies = bptt.gradient_flow(layer, x), bptt.gradient_flow(layer, np.repeat(x, 4, axis=1))
    assert copies.verdict == alone.verdict
    np.testing.assert_allclose(copies.rate, alone.rate, rtol=1e-9)
    np.testing.assert_array_equal(copies.horizon, alone.horizon)
