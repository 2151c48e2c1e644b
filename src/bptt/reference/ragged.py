"""Rows of unequal length, or with skipped steps: each row runs separately.

This defines the result of such a batch. Arrays over time are packed, as in
`bptt.layers.passes.ragged.PackedRows` and cpp/core/addressing.hpp. The longest rows come first, and step k
stores as many rows as were active at the step before.

The compiled core runs a row with skipped steps as a shorter row. The reference does not: it runs all time
steps, and holds the state at skipped ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bptt.layers.passes.clip_state import StateClip
from bptt.reference.common import Array, Gradients, State, error_norms
from bptt.reference.directions import Directions
from bptt.reference.interventions import Interventions, RowSteps
from bptt.reference.stack import Cell, Layers, StackTape
from bptt.reference.stack import backward as whole_backward
from bptt.reference.stack import forward as whole_forward


class RaggedTape:
    """One tape per row, with the interface of a single tape.

    Arrays over time are packed, and zero at positions without a step.
    """

    def __init__(self, rows: list[StackTape], steps: list[RowSteps], total: int, T: int, width: int) -> None:
        self.rows = rows
        self.steps = steps
        self.shape = T, len(rows)
        self.y_shape = total, width
        self.norms: State | None = None

    def h(self, layer: int, direction: int) -> Array:
        """Return the states, (rows over time, P)."""
        return self._packed([tape.h(layer, direction) for tape in self.rows])

    def c(self, layer: int, direction: int) -> Array:
        """Return the cell states, (rows over time, H)."""
        return self._packed([tape.c(layer, direction) for tape in self.rows])

    def gates(self, layer: int, direction: int) -> Array:
        """Return the activated gates, (rows over time, G * H)."""
        return self._packed([tape.gates(layer, direction) for tape in self.rows])

    def dh(self, layer: int, direction: int) -> Array | None:
        """Return the whole dL/dh_t, (rows over time, P), if `backward` kept it."""
        views = [tape.dh(layer, direction) for tape in self.rows]
        errors = [view for view in views if view is not None]
        return self._packed(errors) if errors else None

    @property
    def dh_norm(self) -> Array | None:
        """Norms of dL/dh_t, (L * D, T), after `backward`."""
        return None if self.norms is None else self.norms[0]

    @property
    def dc_norm(self) -> Array | None:
        """Norms of dL/dc_t, (L * D, T), after `backward`. None if the cell is not an LSTM."""
        return None if self.norms is None or len(self.norms) < 2 else self.norms[1]

    def move(self, move: Callable[[Array], Array], between: Callable[[Array], Array]) -> None:
        """Replace everything saved, row by row. See `StackTape.move`."""
        for tape in self.rows:
            tape.move(move, between)

    def _packed(self, views: list[Array]) -> Array:
        packed = np.zeros((self.y_shape[0], views[0].shape[2]))
        for steps, view in zip(self.steps, views, strict=True):
            packed[steps.positions] = view[steps.times, 0]
        packed.flags.writeable = False
        return packed


def forward(
    cell: Cell,
    layers: Layers,
    ways: Directions,
    x: Array,
    state: State,
    active: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64] | None,
    by: Interventions,
) -> tuple[Array, State, RaggedTape]:
    """Run all layers over time, with `active` rows at each step.

    x, y, resets and masks are packed. `times` holds the time step of each packed row, or is None if no step
    is skipped.
    """
    B = state[0].shape[1]
    rows_before = np.concatenate([[B], active[:-1]])[: len(active)]
    base = np.concatenate([[0], np.cumsum(rows_before)]).astype(np.int64)
    positions = [base[: np.count_nonzero(active > row)] + row for row in range(B)]
    if times is None:
        row_steps = [RowSteps(each, np.arange(len(each)), len(each)) for each in positions]
    else:
        T = 1 + max((int(times[each[-1]]) for each in positions if len(each)), default=-1)
        row_steps = [RowSteps(each, times[each], T) for each in positions]
    ys, states, tapes = [], [], []
    for row, steps in enumerate(row_steps):
        row_state = tuple(s[:, row : row + 1] for s in state)
        x_row = steps.unpacked(x)[:, np.newaxis]
        y, last, tape = whole_forward(cell, layers, ways, x_row, row_state, by.row(row, steps))
        ys.append(y)
        states.append(last)
        tapes.append(tape)
    packed = np.zeros((len(x), ys[0].shape[2] if ys else 0))
    for steps, y in zip(row_steps, ys, strict=True):
        packed[steps.positions] = y[steps.times, 0]
    last_state = tuple(np.concatenate([s[kind] for s in states], axis=1) for kind in range(len(state)))
    return packed, last_state, RaggedTape(tapes, row_steps, len(x), len(active), packed.shape[1])


def backward(
    cell: Cell,
    tape: RaggedTape,
    dy: Array,
    dstate: State,
    steps: int | None = None,
    clip: StateClip | None = None,
    keep_errors: bool = False,
    cut: npt.NDArray[np.uint8] | None = None,
    norms_of_rows: bool = False,
) -> tuple[Array, State, list[list[Gradients]]]:
    """Invert `forward`.

    `steps` counts step numbers from the last one of the batch, not of the row. `cut` is 1 at steps of a row
    that errors do not flow past. Each row is clipped separately, as in a batch. With `norms_of_rows`, the
    norms of the tape are those of each packed row, (L * D, rows over time).
    """
    T = tape.shape[0]
    first = 0 if steps is None else max(0, T - steps)  # step number at which the backward pass ends
    dx: Array | None = None
    states, run_gradients, norms = [], [], []
    for row, row_steps in enumerate(tape.steps):
        dstate_in = tuple(s[:, row : row + 1] for s in dstate)
        dy_row = row_steps.unpacked(dy)[:, np.newaxis]
        dx_row, dstate_row, gradients = whole_backward(
            cell, tape.rows[row], dy_row, dstate_in, _steps_back(row_steps, first, cut), clip, keep_errors
        )
        if dx is None:
            dx = np.zeros((len(dy), dx_row.shape[2]))
        dx[row_steps.positions] = dx_row[row_steps.times, 0]
        states.append(dstate_row)
        run_gradients.append(gradients)
        places, size = (row_steps.positions, len(dy)) if norms_of_rows else (row_steps.times, T)
        norms.append([_placed(norm[:, row_steps.times], places, size) for norm in tape.rows[row].norms or ()])
    tape.norms = tuple(error_norms(np.stack(kind), 0) for kind in zip(*norms, strict=True))
    dstate0 = tuple(np.concatenate([s[kind] for s in states], axis=1) for kind in range(len(dstate)))
    assert dx is not None
    return (
        dx,
        dstate0,
        [[_sum(rows) for rows in zip(*layer, strict=True)] for layer in zip(*run_gradients, strict=True)],
    )


def _steps_back(row: RowSteps, first: int, cut: npt.NDArray[np.uint8] | None) -> int | None:
    """Return how many time steps a row's errors flow back."""
    number = first
    if cut is not None:
        number = max(number, int(np.flatnonzero(cut[row.positions]).max(initial=0)))
    if number == 0:
        return None
    return row.T - int(row.times[number]) if number < len(row.times) else 0


def _placed(norms: Array, places: npt.NDArray[np.int64], size: int) -> Array:
    """Return an array (L * D, size), 0 but for these places."""
    array = np.zeros((len(norms), size))
    array[:, places] = norms
    return array


def _sum(rows: Sequence[Gradients]) -> Gradients:
    weights = {name: sum(row.weights[name] for row in rows) for name in rows[0].weights}
    return replace(rows[0], weights=weights)  # type: ignore[arg-type]
