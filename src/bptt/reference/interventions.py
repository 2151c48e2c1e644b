"""What is added to the equations of a stack of layers: resets, and the masks of dropout and zoneout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.reference.common import Array, Run


@dataclass(frozen=True)
class Interventions:
    """One call's, for all layers and directions: index layer * D + direction, time in the sequence's order.

    Rows of unequal length have them packed, (rows over time, ...) in place of (T, B, ...), until `row` takes
    out one.

    Attributes
    ----------
    dropout : tuple of arrays of shape (T, B, D * P)
        Factors on the output of every layer but the last, see `stack.dropout_mask`; none without dropout.
    reset : array of bool, of shape (T, B)
        True: the row starts again at this step. No direction carries anything across the cut before it.
    recurrent : array of shape (L * D, B, P)
        Recurrent dropout, as `Run` has it.
    keep_h : array of shape (L * D, T, B, P)
        Zoneout of h.
    keep_c : array of shape (L * D, T, B, H)
        Zoneout of c.
    zoneout_c : bool
        Whether c has any.
    """

    dropout: tuple[Array, ...]
    reset: npt.NDArray[np.bool_]
    recurrent: Array
    keep_h: Array
    keep_c: Array
    zoneout_c: bool

    def run(self, index: int, direction: int) -> Run:
        """What one direction of one layer meets, in the order in which it runs."""
        reset = self.reset
        if direction:
            # The cut before step t of the sequence lies after step t of this direction: a step later than
            # t itself would come. One before the first step is past its end.
            reset = np.concatenate([np.zeros_like(reset[:1]), in_time(reset, direction)[:-1]])
        return Run(
            reset[:, :, np.newaxis],
            self.recurrent[index],
            in_time(self.keep_h[index], direction),
            in_time(self.keep_c[index], direction),
            self.zoneout_c,
        )

    def row(self, row: int, place: npt.NDArray[np.int64]) -> Interventions:
        """A batch of one row, whose steps lie at these places among the packed ones."""
        return Interventions(
            tuple(mask[place, np.newaxis] for mask in self.dropout),
            self.reset[place, np.newaxis],
            self.recurrent[:, row : row + 1],
            self.keep_h[:, place, np.newaxis],
            self.keep_c[:, place, np.newaxis],
            self.zoneout_c,
        )


def in_time(values: npt.NDArray[Any], direction: int) -> npt.NDArray[Any]:
    """A view of `values` in the order in which a direction reads the sequence; its own inverse."""
    return values[::-1] if direction else values[:]
