"""Rows of unequal length: from the caller's order to the one in which the core runs them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, as_ids, contiguous

Counts = npt.NDArray[np.int64]


def parse_lengths(value: object, T: int, B: int) -> Counts:
    """
    The lengths, one per row.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        Not one for every row; negative, or more than there are steps.
    """
    lengths = as_ids(value, "lengths")
    if lengths.shape != (B,):
        raise ValueError(
            f"lengths must have shape ({B},), one for each row of x; got {lengths.shape}. "
            "Fix: pass one integer per sequence."
        )
    wrong = np.flatnonzero((lengths < 0) | (lengths > T))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"lengths must lie between 0 and T = {T}, the steps of x; got {lengths[row]} for row {row}. "
            "Fix: pad x to the longest sequence, and count valid steps only."
        )
    return lengths


class PackedRows:
    """
    One call's rows, longest first. At step t the first `active[t]` of them still run, and arrays over time
    hold at step t as many rows as ran at the step before: see cpp/core/addressing.hpp.

    Parameters
    ----------
    lengths : ndarray of int64
        (B,), each in 0..T.
    T : int
        Steps.
    """

    def __init__(self, lengths: Counts, T: int) -> None:
        self.shape = T, len(lengths)
        self.order: Counts = np.argsort(-lengths, kind="stable")
        self.active: Counts = len(lengths) - np.cumsum(np.bincount(lengths, minlength=T + 1))[:T]
        self._place = np.argsort(self.order)

    def gather(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """
        (T, B, N) to the core's (rows over time, N). What lies past a row's end does not show.

        Read-only: so a tape keeps it without a copy.
        """
        packed = _core.gather_rows(_with_whole_rows(array), self.order, self.active)
        packed.flags.writeable = False
        return packed

    def scatter(self, packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The core's (rows over time, N) to (T, B, N), zeros past the rows' ends."""
        return _core.scatter_rows(_with_whole_rows(packed), self.order, self.active)

    def state_in(self, state: Floats | None) -> Floats | None:
        """(L*D, B, H) in the caller's order to the core's."""
        return None if state is None else contiguous(state[:, self.order])

    def state_out(self, state: Floats) -> Floats:
        """And back."""
        return state[:, self._place]


def _with_whole_rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Elements of the last axis side by side, as the core copies them."""
    contiguous = array.shape[-1] <= 1 or array.strides[-1] == array.itemsize
    return array if contiguous else np.ascontiguousarray(array)
