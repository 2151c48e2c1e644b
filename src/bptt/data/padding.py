"""Pad sequences of unequal length to one array, and cut the padding off again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag
from bptt.arrays import as_real
from bptt.data.tables import parse_real, width_error
from bptt.layers.passes.ragged import parse_lengths


def pad(
    sequences: Sequence[npt.ArrayLike], *, batch_first: bool = False
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Pad sequences with zeros at their ends, to the length of the longest sequence.

    Parameters
    ----------
    sequences : sequence of array-like
        Arrays (T_i, ...) that agree in all axes except the first.
    batch_first : bool
        Whether the result is (B, T, ...) instead of (T, B, ...).

    Returns
    -------
    x : ndarray
        (T, B, ...), or (B, T, ...) with `batch_first`.
    lengths : ndarray of int64 (B,)
        Lengths of the sequences.

    Raises
    ------
    TypeError, ValueError
        `sequences` is not a list of arrays of real numbers, is empty, or the arrays have different widths.

    Examples
    --------
    >>> import bptt
    >>> x, lengths = bptt.data.pad([[1.0, 2.0, 3.0], [4.0]])
    >>> x, lengths.tolist()
    (array([[1., 4.],
           [2., 0.],
           [3., 0.]]), [3, 1])
    """
    flag(batch_first, "batch_first")
    arrays = arrays_alike(sequences, "sequences", skip=1)
    x = padded(arrays)
    return x.swapaxes(0, 1).copy() if batch_first else x, np.array([len(row) for row in arrays], np.int64)


def unpad(y: npt.ArrayLike, lengths: npt.ArrayLike, *, batch_first: bool = False) -> list[npt.NDArray[Any]]:
    """Return the valid steps of each row: the inverse of `pad`.

    Parameters
    ----------
    y : array-like (T, B, ...), or (B, T, ...) with `batch_first`
        Outputs of a model, one for each step.
    lengths : array-like (B,)
        Number of valid steps of each row, 0 to T.
    batch_first : bool
        Whether y is (B, T, ...).

    Returns
    -------
    list of ndarray
        Views (T_i, ...) of y, one for each row.

    Raises
    ------
    TypeError, ValueError
        `y` has no axes of time and batch, or `lengths` is not (B,) with values from 0 to T.

    Examples
    --------
    >>> import bptt
    >>> x, lengths = bptt.data.pad([[1.0, 2.0, 3.0], [4.0]])
    >>> bptt.data.unpad(x, lengths)
    [array([1., 2., 3.]), array([4.])]
    """
    array = as_real(y, "y")
    if array.ndim < 2:
        raise ValueError(
            f"y must have the axes (T, B, ...), or (B, T, ...) with batch_first=True; got {array.shape}. "
            "Fix: pass the outputs of a batch, one for each step."
        )
    rows = array if flag(batch_first, "batch_first") else array.swapaxes(0, 1)
    B, T = rows.shape[:2]
    counts = parse_lengths(lengths, T, B)
    return [row[:count] for row, count in zip(rows, counts.tolist(), strict=True)]


def arrays_alike(
    values: Sequence[npt.ArrayLike] | npt.NDArray[Any], name: str, skip: int
) -> list[npt.NDArray[Any]]:
    """Parse a list of arrays that agree in all axes except the first `skip` axes.

    Raises
    ------
    TypeError, ValueError
        `values` is not a list of arrays, is empty, or an array differs from the first.
    """
    if not np.iterable(values) or isinstance(values, (str, bytes, Mapping)):
        raise TypeError(
            f"{name} must be a list of arrays; got {type(values).__name__}. Fix: pass one array per sequence."
        )
    arrays = [parse_real(value, f"{name}[{i}]") for i, value in enumerate(values)]
    if not arrays:
        raise ValueError(f"{name} must hold at least one array; got none. Fix: pass a list of arrays.")
    first = arrays[0]
    for i, array in enumerate(arrays):
        if skip == 1 and array.ndim == first.ndim == 2 and array.shape[1] != first.shape[1]:
            raise width_error(f"{name}[{i}]", f"{name}[0]", array.shape, first.shape, name)
        if array.ndim != first.ndim or array.ndim < skip or array.shape[skip:] != first.shape[skip:]:
            fix = "arrays of the same width" if skip else "per_step=True if each step has a target"
            raise ValueError(
                f"{name}[{i}] must have the shape of {name}[0], {first.shape}"
                f"{', except for the first axis' * skip}; got {array.shape}. Fix: pass {fix}."
            )
    return arrays


def padded(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return (T, B, ...) from arrays (T_i, ...), padded with zeros at the end."""
    T = max(len(array) for array in arrays)
    shape = (T, len(arrays), *arrays[0].shape[1:])
    result = np.zeros(shape, np.result_type(*arrays))
    for row, array in enumerate(arrays):
        result[: len(array), row] = array
    return result
