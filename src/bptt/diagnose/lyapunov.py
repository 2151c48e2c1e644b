"""Lyapunov exponents: how fast small differences of a state grow or fade as a network runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import integer, size
from bptt.layers.recurrent import Recurrent
from bptt.reference.copies import rebuild

Vector = npt.NDArray[np.float64]

ROWS = 4096
"""Rows of one batch of unit errors: keeps the memory of the Jacobians bounded."""


def lyapunov_spectrum(
    layer: Recurrent, x: npt.ArrayLike, k: int | None = None, *, state: Any = None, skip: int = 0
) -> Vector:
    """
    The largest Lyapunov exponents of a layer driven by an input, per step.

    The state is that of the whole stack, h of all layers and for an LSTM c. Its Jacobian from one step to the
    next is exact, taken by backpropagation; a frame of k directions is pushed through all of them and made
    orthonormal again after each (QR method). An exponent of log 2 means that a difference doubles at every
    step. Errors on their way back grow and fade at the same rates: a largest exponent above 0 explodes, one
    well below 0 vanishes.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or MGU
        Of one direction. Dropout is off, zoneout at its expectation. Computed in float64.
    x : array-like
        As the layer takes it. Several rows of a batch: the mean of their exponents.
    k : int, optional
        How many. Default: as many as the state has numbers.
    state : optional
        Where the trajectory begins, as the layer takes it. Default: zeros.
    skip : int
        Steps at the start that turn the frame, but do not count.

    Returns
    -------
    ndarray
        (k,) float64, largest first; -inf for directions that are lost altogether.

    Raises
    ------
    TypeError
        Not a recurrent layer; arguments of the wrong kind.
    ValueError
        A bidirectional layer; k out of range; no steps left to count; an input that the layer refuses; NaN.

    References
    ----------
    Benettin, Galgani, Giorgilli and Strelcyn (1980), Lyapunov characteristic exponents for smooth dynamical
    systems. For recurrent networks: Vogt et al. (2022), On Lyapunov exponents for RNNs.
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"layer must be a recurrent layer; got {type(layer).__name__}. "
            "Fix: pass an RNN, LSTM, GRU or MGU."
        )
    if layer.bidirectional:
        raise ValueError(
            "layer must read forward only; got bidirectional=True, whose state runs both ways. "
            "Fix: bidirectional=False."
        )
    count = layer.num_layers * (layer.output_size + (layer.hidden_size if layer.has_cell_state else 0))
    k = count if k is None else size(k, "k", count)
    twin: Any = rebuild(layer, np.dtype(np.float64))
    inputs, h0, c0, _, _, _, (T, B) = twin._canonical(x, state, None, None)
    skip = integer(skip, "skip", 0)
    if skip >= T or B == 0:
        raise ValueError(
            f"x must have more than skip = {skip} steps, and a row; got {T} steps of {B} rows. "
            "Fix: pass a longer x, or skip less."
        )
    twin.dropout = 0.0
    rows = [(_row(inputs, b), _row(h0, b), _row(c0, b)) for b in range(B)]
    growth = np.stack([_of_row(twin, x_row, h_row, c_row, k) for x_row, h_row, c_row in rows])
    if np.isnan(growth).any():
        raise ValueError(
            "x, state and weights must keep the layer's states finite; got NaN among its Jacobians. "
            "Fix: ask bptt.first_nonfinite(layer, x) where it arose."
        )
    exponents: Vector = np.sort(growth[:, skip:].mean(axis=(0, 1)))[::-1]
    return exponents


def _of_row(layer: Any, x: Vector, h0: Vector | None, c0: Vector | None, k: int) -> Vector:
    """(T, k): the logarithmic growth of a frame at each step of one row."""
    starts = _trajectory(layer, x, h0, c0)
    count = sum(part.shape[0] * part.shape[2] for part in starts)
    frame = np.ascontiguousarray(np.eye(count)[:, :k])
    found = []
    each = max(1, ROWS // count)
    for begin in range(0, len(x), each):
        steps = slice(begin, begin + each)
        jacobians = _jacobians(layer, x[steps], [part[:, steps] for part in starts], count)
        frame, growth = _core.push_frame(jacobians, frame)
        found.append(growth)
    return np.concatenate(found)


def _trajectory(layer: Any, x: Vector, h0: Vector | None, c0: Vector | None) -> list[Vector]:
    """h, and c if there is one: (L, T, N), the states that the steps start from."""
    *_, tape = layer._forward(x, h0, c0, 0, None, 0, None, None, None, None)
    kinds = [(tape.h, h0, layer.output_size)]
    if layer.has_cell_state:
        kinds.append((tape.c, c0, layer.hidden_size))
    parts = []
    for view, first, width in kinds:
        after = np.stack([view(index, 0)[:-1, 0] for index in range(layer.num_layers)])
        before = np.zeros((layer.num_layers, 1, width)) if first is None else first
        parts.append(np.concatenate([before, after], axis=1))
    return parts


def _jacobians(layer: Any, x: Vector, starts: list[Vector], count: int) -> Vector:
    """(steps, count, count): row i of each is what an error of 1 in number i of the new state sends back."""
    steps, _, inputs = x.shape
    rows = [np.ascontiguousarray(np.repeat(part, count, axis=1)) for part in starts]
    *_, tape = layer._forward(
        np.repeat(x, count, axis=0).reshape(1, steps * count, inputs),
        *rows,
        *[None] * (2 - len(rows)),
        *(0, None, 0, None, None, None, None),
    )
    errors, first = [], 0
    for part in starts:  # number of a unit: part by part, layer by layer
        layers, _, width = part.shape
        error = np.zeros((layers, steps, count, width))
        for index in range(layers):
            units = np.arange(width)
            error[index][:, first + units, units] = 1.0
            first += width
        errors.append(error.reshape(layers, steps * count, width))
    _, dh, dc = layer._backward(tape, None, *errors, *[None] * (2 - len(errors)), None, False)
    back = [dh] if dc is None else [dh, dc]
    return np.ascontiguousarray(
        np.concatenate(
            [part[index].reshape(steps, count, -1) for part in back for index in range(len(part))], axis=2
        )
    )


def _row(state: Any, b: int) -> Any:
    """One row of the batch, of what is (.., B, N) or None."""
    return None if state is None else np.ascontiguousarray(state[:, b : b + 1])
