"""Rows of unequal length: each row runs separately.

This defines the result of a ragged batch. Arrays over time are packed, as in
`bptt.layers.passes.ragged.PackedRows` and cpp/core/addressing.hpp. The longest rows come first, and step t
stores as many rows as were active at the step before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bptt.layers.passes.clip_state import StateClip
from bptt.reference.common import Array, Gradients, State, error_norms
from bptt.reference.interventions import Interventions
from bptt.reference.stack import Cell, Layers, StackTape
from bptt.reference.stack import backward as whole_backward
from bptt.reference.stack import forward as whole_forward

Positions = list[npt.NDArray[np.int64]]  # for each row, the positions of its steps in the packed arrays


class RaggedTape:
    """One tape per row, with the interface of a single tape.

    Arrays over time are packed, and zero at positions without a step.
    """

    def __init__(self, rows: list[StackTape], positions: Positions, total: int, T: int, width: int) -> None:
        self.rows = rows
        self.positions = positions
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
        for positions, view in zip(self.positions, views, strict=True):
            packed[positions] = view[:, 0]
        packed.flags.writeable = False
        return packed


def forward(
    cell: Cell,
    layers: Layers,
    x: Array,
    state: State,
    active: npt.NDArray[np.int64],
    by: Interventions,
) -> tuple[Array, State, RaggedTape]:
    """Run all layers over time, with `active` rows at each step.

    x, y, resets and masks are packed.
    """
    B = state[0].shape[1]
    rows_before = np.concatenate([[B], active[:-1]])[: len(active)]
    base = np.concatenate([[0], np.cumsum(rows_before)]).astype(np.int64)
    row_positions = [base[: np.count_nonzero(active > row)] + row for row in range(B)]
    ys, states, tapes = [], [], []
    for row, positions in enumerate(row_positions):
        row_state = tuple(s[:, row : row + 1] for s in state)
        y, last, tape = whole_forward(cell, layers, x[positions][:, None], row_state, by.row(row, positions))
        ys.append(y)
        states.append(last)
        tapes.append(tape)
    packed = np.zeros((len(x), ys[0].shape[2] if ys else 0))
    for positions, y in zip(row_positions, ys, strict=True):
        packed[positions] = y[:, 0]
    last_state = tuple(np.concatenate([s[kind] for s in states], axis=1) for kind in range(len(state)))
    return packed, last_state, RaggedTape(tapes, row_positions, len(x), len(active), packed.shape[1])


def backward(
    cell: Cell,
    tape: RaggedTape,
    dy: Array,
    dstate: State,
    steps: int | None = None,
    clip: StateClip | None = None,
    keep_errors: bool = False,
) -> tuple[Array, State, list[list[Gradients]]]:
    """Invert `forward`.

    `steps` counts from the last step of the batch, not of the row. Each row is clipped separately, as in a
    batch.
    """
    T = tape.shape[0]
    dx: Array | None = None
    states, run_gradients, norms = [], [], []
    for row, positions in enumerate(tape.positions):
        row_steps = None if steps is None else max(0, len(positions) - (T - min(steps, T)))
        dstate_in = tuple(s[:, row : row + 1] for s in dstate)
        dx_row, dstate_row, gradients = whole_backward(
            cell, tape.rows[row], dy[positions][:, None], dstate_in, row_steps, clip, keep_errors
        )
        if dx is None:
            dx = np.zeros((len(dy), dx_row.shape[2]))
        dx[positions] = dx_row[:, 0]
        states.append(dstate_row)
        run_gradients.append(gradients)
        padding = ((0, 0), (0, T - len(positions)))
        norms.append([np.pad(norm, padding) for norm in tape.rows[row].norms or ()])
    tape.norms = tuple(error_norms(np.stack(kind), 0) for kind in zip(*norms, strict=True))
    dstate0 = tuple(np.concatenate([s[kind] for s in states], axis=1) for kind in range(len(dstate)))
    assert dx is not None
    return (
        dx,
        dstate0,
        [[_sum(rows) for rows in zip(*layer, strict=True)] for layer in zip(*run_gradients, strict=True)],
    )


def _sum(rows: Sequence[Gradients]) -> Gradients:
    weights = {name: sum(row.weights[name] for row in rows) for name in rows[0].weights}
    return replace(rows[0], weights=weights)  # type: ignore[arg-type]
