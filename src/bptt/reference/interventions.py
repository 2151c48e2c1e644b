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
    reset : array of bool, of shape (T, B)
        True: the row starts again at this step. No direction carries its state across the cut before it.
    recurrent : array of shape (L * D, B, P)
        Recurrent dropout, see `Run`.
    keep_h : array of shape (L * D, T, B, P)
        Zoneout of h.
    keep_c : array of shape (L * D, T, B, H)
        Zoneout of c.
    zoneout_c : bool
        Whether c has zoneout.
    """

    dropout: tuple[Array, ...]
    reset: npt.NDArray[np.bool_]
    recurrent: Array
    keep_h: Array
    keep_c: Array
    zoneout_c: bool

    def run(self, index: int, direction: int) -> Run:
        """Return the resets and masks of one direction of one layer.

        Time is in the order in which the direction runs.
        """
        reset = self.reset
        if direction:
            # The reverse direction reads step t before it crosses the cut between t - 1 and t. Its reset is
            # therefore one step later. A cut before the first step lies beyond its end.
            reset = np.concatenate([np.zeros_like(reset[:1]), in_time(reset, direction)[:-1]])
        return Run(
            reset[:, :, np.newaxis],
            self.recurrent[index],
            in_time(self.keep_h[index], direction),
            in_time(self.keep_c[index], direction),
            self.zoneout_c,
        )

    def row(self, row: int, positions: npt.NDArray[np.int64]) -> Interventions:
        """Return a batch of one row, with these positions in the packed arrays."""
        return Interventions(
            tuple(mask[positions, np.newaxis] for mask in self.dropout),
            self.reset[positions, np.newaxis],
            self.recurrent[:, row : row + 1],
            self.keep_h[:, positions, np.newaxis],
            self.keep_c[:, positions, np.newaxis],
            self.zoneout_c,
        )


def in_time(values: npt.NDArray[Any], direction: int) -> npt.NDArray[Any]:
    """Return a view of `values` in the order of a direction.

    The function is its own inverse.
    """
    return values[::-1] if direction else values[:]
