"""Rows of unequal length: conversion to and from the core's packed order.

A row with skipped steps is packed as the shorter row of its other steps. The recursion never sees a skipped
step, so the state is held, and the step costs nothing.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, as_ids, as_real, check_shape, contiguous
from bptt.layers.passes.layout import Layout

Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


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


def parse_flags(value: object, name: str, layout: Layout, T: int, B: int) -> Bools:
    """Check the argument `skip` or `reset`, and return it as (T, B).

    Raises
    ------
    TypeError
        If `value` is not an array of booleans.
    ValueError
        If `value` does not have one entry for every step of every row.
    """
    array = as_bools(value, name, layout.sequence_shape(T, B, 1)[:-1])
    return layout.sequence_in(array[..., np.newaxis])[..., 0]


def as_bools(value: object, name: str, shape: tuple[int, ...]) -> Bools:
    """Return an array of booleans with this shape.

    Raises
    ------
    TypeError, ValueError
        If `value` is not an array of booleans, or has another shape.
    """
    array = as_real(value, name)
    if array.dtype != np.bool_:
        raise TypeError(
            f"{name} must be an array of booleans; got dtype {array.dtype}. Fix: pass {name}.astype(bool)."
        )
    check_shape(array, name, shape)
    return array


def valid_steps(lengths: Counts | None, skip: Bools | None, T: int, B: int) -> Bools:
    """Return the steps that rows have, (T, B): neither skipped nor past the end of the row."""
    valid = np.ones((T, B), np.bool_) if skip is None else ~skip
    if lengths is not None:
        valid &= np.arange(T)[:, np.newaxis] < lengths
    return valid


def packed_rows(lengths: object, skip: object, layout: Layout, T: int, B: int) -> PackedRows | None:
    """Check the arguments `lengths` and `skip` of a call.

    Returns None if all rows have all steps.

    Raises
    ------
    TypeError, ValueError
        As `parse_lengths` and `parse_flags`. Or if an unbatched sequence has lengths.
    """
    counts = flags = None
    if lengths is not None:
        if layout.unbatched:
            raise ValueError(f"lengths needs a batch; got x unbatched, of {T} steps. Fix: pass x[:length].")
        counts = parse_lengths(lengths, T, B)
    if skip is not None:
        flags = parse_flags(skip, "skip", layout, T, B)
        flags = flags if flags.any() else None
    if B == 0 or (counts is None and flags is None):  # without rows, no row is shorter than another
        return None
    if flags is None:
        return PackedRows(cast("Counts", counts), T)
    valid = valid_steps(counts, flags, T, B)
    return PackedRows(np.count_nonzero(valid, axis=0).astype(np.int64), T, valid)


class PackedRows:
    """The rows of one call, sorted by their number of steps, longest first.

    At step number k, the first `active[k]` rows are still active. For step k, a packed array stores as many
    rows as were active at the step before, see cpp/core/addressing.hpp.

    Parameters
    ----------
    lengths : ndarray of int64
        (B,), each in 0..T: the number of steps of each row.
    T : int
        Number of time steps.
    valid : ndarray of bool, optional
        (T, B): the time steps that rows have. Default: no row skips a step.

    Attributes
    ----------
    times : ndarray of int64 or None
        (rows over time,): the time step of each packed row. None: step number k is time step k.
    """

    def __init__(self, lengths: Counts, T: int, valid: Bools | None = None) -> None:
        self.shape = T, len(lengths)
        self.lengths = lengths
        self.order: Counts = np.argsort(-lengths, kind="stable")
        self.active: Counts = len(lengths) - np.cumsum(np.bincount(lengths, minlength=T + 1))[:T]
        self.times = None if valid is None else self._times(valid)
        self._valid = valid
        self._position = np.argsort(self.order)

    def gather(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Pack an array (T, B, N) into (rows over time, N).

        Steps that a row does not have are left out. The result is read-only, so a tape can keep it without a
        copy.
        """
        packed = _core.gather_rows(_with_whole_rows(array), self.order, self.active, self.times)
        packed.flags.writeable = False
        return packed

    def scatter(self, packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Unpack an array (rows over time, N) into (T, B, N).

        Steps that a row does not have are 0.
        """
        return _core.scatter_rows(_with_whole_rows(packed), self.order, self.active, self.times)

    def gather_resets(self, reset: Bools) -> Flags:
        """Pack resets (T, B).

        A reset at a skipped step takes effect before the next step of its row.
        """
        if self._valid is not None:
            T, B = self.shape
            so_far = np.zeros((T + 1, B), np.int64)  # number of resets before time step t
            np.cumsum(reset, axis=0, out=so_far[1:])
            # The time after the step before: resets from there on belong to this step.
            ends = np.where(self._valid, np.arange(1, T + 1)[:, np.newaxis], 0)
            begin = np.zeros((T, B), np.int64)
            np.maximum.accumulate(ends[:-1], axis=0, out=begin[1:])
            reset = so_far[1:] > np.take_along_axis(so_far, begin, axis=0)
        return cast("Flags", self.gather(reset.view(np.uint8)[..., np.newaxis])[:, 0])

    def steps_before(self, time: int) -> Counts:
        """Return the number of steps of each row before a time step, in the core's order of rows."""
        steps = np.minimum(self.lengths, time)
        if self._valid is not None:
            steps = np.count_nonzero(self._valid[:time], axis=0)
        return cast("Counts", steps[self.order])

    def norms_over_time(self, norms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Combine norms (R, rows over time) over the batch: (R, T), 0 where no row has a step."""
        return _core.combine_norms(norms, self.shape[1], self.active, self.times)

    def norms_by_number(self, norms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Combine norms (R, rows over time) over the rows with as many earlier steps: (R, T)."""
        return _core.combine_norms(norms, self.shape[1], self.active)

    @property
    def valid(self) -> Bools:
        """(T, B), in the caller's order of rows: the time steps that rows have."""
        return valid_steps(self.lengths, None, *self.shape) if self._valid is None else self._valid

    def state_in(self, state: Floats | None) -> Floats | None:
        """Reorder the rows of a state from the caller's order to the core's."""
        return None if state is None else contiguous(state[:, self.order])

    def state_out(self, state: Floats) -> Floats:
        """Reorder the rows of a state from the core's order to the caller's."""
        return state[:, self._position]

    @property
    def first_rows(self) -> Counts:
        """(T + 1,): the first packed row of each step number, and the number of packed rows."""
        allocated = np.concatenate([self.shape[1:], self.active])[: len(self.active)]
        return np.concatenate([[0], np.cumsum(allocated)]).astype(np.int64)

    def _times(self, valid: Bools) -> Counts:
        rows, times = np.nonzero(valid[:, self.order].T)  # row by row, in order of time
        counts = self.lengths[self.order]
        number = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = self.first_rows
        packed = np.zeros(first[-1], np.int64)
        packed[first[number] + rows] = times
        return packed


def _with_whole_rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array with contiguous elements on the last axis.

    The core copies whole rows.
    """
    contiguous = array.shape[-1] <= 1 or array.strides[-1] == array.itemsize
    return array if contiguous else np.ascontiguousarray(array)
