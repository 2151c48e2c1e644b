"""Rows of unequal length: conversion to and from the core's packed order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, as_ids, contiguous

Counts = npt.NDArray[np.int64]


def parse_lengths(value: object, T: int, B: int) -> Counts:
    """Check the argument `lengths`, and return the lengths, one per row.

    Raises
    ------
    TypeError
        If the lengths are not integers.
    ValueError
        If there is not one length for every row, or a length is negative or above T.
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
            f"lengths must lie between 0 and T = {T}, the number of steps of x; got {lengths[row]} for row "
            f"{row}. Fix: pad x to the longest sequence, and count only valid steps."
        )
    return lengths


class PackedRows:
    """The rows of one call, sorted by length, longest first.

    At step t, the first `active[t]` rows are still active. For step t, a packed array stores as many rows as
    were active at the step before, see cpp/core/addressing.hpp.

    Parameters
    ----------
    lengths : ndarray of int64
        (B,), each in 0..T.
    T : int
        Number of steps.
    """

    def __init__(self, lengths: Counts, T: int) -> None:
        self.shape = T, len(lengths)
        self.order: Counts = np.argsort(-lengths, kind="stable")
        self.active: Counts = len(lengths) - np.cumsum(np.bincount(lengths, minlength=T + 1))[:T]
        self._position = np.argsort(self.order)

    def gather(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Pack an array (T, B, N) into (rows over time, N).

        Steps past the end of a row are left out. The result is read-only, so a tape can keep it without a
        copy.
        """
        packed = _core.gather_rows(_with_whole_rows(array), self.order, self.active)
        packed.flags.writeable = False
        return packed

    def scatter(self, packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Unpack an array (rows over time, N) into (T, B, N).

        Steps past the end of a row are 0.
        """
        return _core.scatter_rows(_with_whole_rows(packed), self.order, self.active)

    def state_in(self, state: Floats | None) -> Floats | None:
        """Reorder the rows of a state from the caller's order to the core's."""
        return None if state is None else contiguous(state[:, self.order])

    def state_out(self, state: Floats) -> Floats:
        """Reorder the rows of a state from the core's order to the caller's."""
        return state[:, self._position]


def _with_whole_rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array with contiguous elements on the last axis.

    The core copies whole rows.
    """
    contiguous = array.shape[-1] <= 1 or array.strides[-1] == array.itemsize
    return array if contiguous else np.ascontiguousarray(array)
