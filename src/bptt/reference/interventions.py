"""Resets, and the masks of dropout and zoneout, for a stack of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.reference.common import Array, Run


@dataclass(frozen=True)
class Interventions:
    """Resets and masks of one call, for all layers and directions.

    The first axis of an array has index layer * D + direction. Time is in the sequence's order in both
    directions. For rows of unequal length the arrays are packed: they have (rows over time, ...) in place of
    (T, B, ...), and `row` returns the arrays of a single row.

    Attributes
    ----------
    dropout : tuple of arrays of shape (T, B, D * P)
        Factors on the output of every layer but the last, see `stack.dropout_mask`. Empty without dropout.
    input : tuple of arrays of shape (B, I or D * P)
        Input dropout: factors on what each layer reads, at every step and in both directions.
    skip : array of bool, of shape (T, B)
        True: the row has no such step.
    reset : array of bool, of shape (T, B)
        True: the row starts again at this step. No direction carries its state across the cut before it.
        False at skipped steps.
    recurrent : array of shape (L * D, B, P)
        Recurrent dropout, see `Run`.
    keep_h : array of shape (L * D, T, B, P)
        Zoneout of h.
    keep_c : array of shape (L * D, T, B, H)
        Zoneout of c.
    zoneout_c : bool
        Whether c has zoneout.
    bfloat16 : bool
        Whether the operands of products are rounded to bfloat16.
    """

    dropout: tuple[Array, ...]
    input: tuple[Array, ...]
    skip: npt.NDArray[np.bool_]
    reset: npt.NDArray[np.bool_]
    recurrent: Array
    keep_h: Array
    keep_c: Array
    zoneout_c: bool
    bfloat16: bool = False

    def run(self, index: int, direction: int) -> Run:
        """Return the resets and masks of one direction of one layer.

        Time is in the order in which the direction runs.
        """
        skip, reset = in_time(self.skip, direction), self.reset
        if direction:
            reset = _one_step_later(in_time(reset, direction), skip)
        return Run(
            skip[:, :, np.newaxis],
            reset[:, :, np.newaxis],
            self.recurrent[index],
            in_time(self.keep_h[index], direction),
            in_time(self.keep_c[index], direction),
            self.zoneout_c,
            self.bfloat16,
        )

    def row(self, row: int, steps: RowSteps) -> Interventions:
        """Return the interventions of one row of packed rows, as a batch of this row."""
        skip = np.ones((steps.T, 1), np.bool_)
        skip[steps.times] = False
        return Interventions(
            tuple(steps.unpacked(mask)[:, np.newaxis] for mask in self.dropout),
            tuple(mask[row : row + 1] for mask in self.input),
            skip,
            steps.unpacked(self.reset)[:, np.newaxis],
            self.recurrent[:, row : row + 1],
            np.stack([steps.unpacked(mask) for mask in self.keep_h])[:, :, np.newaxis],
            np.stack([steps.unpacked(mask) for mask in self.keep_c])[:, :, np.newaxis],
            self.zoneout_c,
            self.bfloat16,
        )


@dataclass(frozen=True)
class RowSteps:
    """The steps of one row of packed rows.

    Attributes
    ----------
    positions : array of int64
        The positions of the steps in packed arrays.
    times : array of int64
        The time steps. Others are skipped.
    T : int
        Number of time steps, skipped ones included.
    """

    positions: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    T: int

    def unpacked(self, packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return this row of a packed array over time, (T, ...), with 0 at skipped steps."""
        row = np.zeros((self.T, *packed.shape[1:]), packed.dtype)
        row[self.times] = packed[self.positions]
        return row


def _one_step_later(reset: npt.NDArray[np.bool_], skip: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Move each reset to the next step of its row.

    The reverse direction reads step t before it crosses the cut between t and the step before t. Its reset is
    therefore one step later. A cut before the row's first step lies beyond its end.
    """
    later = np.zeros_like(reset)
    for row in range(reset.shape[1]):
        steps = np.flatnonzero(~skip[:, row])
        later[steps[1:], row] = reset[steps[:-1], row]
    return later


def in_time(values: npt.NDArray[Any], direction: int) -> npt.NDArray[Any]:
    """Return a view of `values` in the order of a direction.

    The function is its own inverse.
    """
    return values[::-1] if direction else values[:]
