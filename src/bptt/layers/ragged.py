"""Rows of unequal length: from the caller's order to the one in which the core runs them, and back."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, as_ids, contiguous

Counts = npt.NDArray[np.int64]


def read_lengths(value: object, T: int, B: int) -> Counts:
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


class Ragged:
    """
    One call's rows, longest first. At step t the first `active[t]` of them still run, and arrays over time
    hold at step t as many rows as ran at the step before: see cpp/core/rows.hpp.

    Parameters
    ----------
    lengths : ndarray of int64
        (B,), each in 0..T.
    T : int
        Steps.
    """

    def __init__(self, lengths: Counts, T: int) -> None:
        self.shape = T, len(lengths)
        self.order = np.argsort(-lengths, kind="stable")
        self._place = np.argsort(self.order)
        steps = np.arange(T)[:, None]
        self.active: Counts = np.count_nonzero(lengths > steps, axis=1).astype(np.int64)
        room = np.concatenate([[len(lengths)], self.active[:-1]])[:T]
        t, rank = np.nonzero(np.arange(len(lengths)) < room[:, None])
        runs = rank < self.active[t]
        # Where each packed row comes from among the T * B, and where each of those goes; -1: from nowhere,
        # which is room, or past a row's end.
        self._from = np.where(runs, t * len(lengths) + self.order[rank], -1)
        self._to = np.full(T * len(lengths), -1)
        self._to[self._from[runs]] = np.flatnonzero(runs)

    def gather(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """
        (T, B, N) to the core's (rows over time, N). What lies past a row's end does not show.

        Read-only: so a tape keeps it without a copy.
        """
        rows = np.ascontiguousarray(array).reshape(-1, array.shape[2])
        packed: npt.NDArray[Any]
        if array.dtype in (np.float32, np.float64):
            packed = _core.take_rows(cast("Floats", rows), self._from)
        else:
            packed = np.take(rows, self._from, axis=0, mode="clip")
            packed[self._from < 0] = 0
        packed.flags.writeable = False
        return packed

    def scatter(self, packed: Floats) -> Floats:
        """The core's (rows over time, N) to (T, B, N), zeros past the rows' ends."""
        array = _core.take_rows(contiguous(packed), self._to)
        return array.reshape(*self.shape, packed.shape[1])

    def state_in(self, state: Floats | None) -> Floats | None:
        """(L*D, B, H) in the caller's order to the core's."""
        return None if state is None else contiguous(state[:, self.order])

    def state_out(self, state: Floats) -> Floats:
        """And back."""
        return state[:, self._place]
