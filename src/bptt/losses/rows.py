"""The rows of a batch: their outputs, which rows count, and their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_real, check_shape, to_floats

Mask: TypeAlias = npt.NDArray[np.bool_]
Weights: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Which rows count, and how much.

    Attributes
    ----------
    size : int
        Number of rows.
    mask : ndarray of bool (size,) or None
        False where a row does not count. None: all rows count.
    weight : ndarray of float64 (size,) or None
        Weights above 0 of the rows that count. None: every row has weight 1.
    """

    size: int
    mask: Mask | None = None
    weight: Weights | None = None

    @property
    def total(self) -> float:
        """Sum of the weights of the rows that count. Without weights, this is their number, an int."""
        if self.weight is None:
            return self.size if self.mask is None else int(np.count_nonzero(self.mask))
        return float(np.sum(self.counted(self.weight)))

    def counted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the entries (size, ...) of the rows that count."""
        return values if self.mask is None else values[self.mask]

    def without(self, ignored: Mask) -> Rows:
        """Return the rows without those where `ignored` (size,) is True."""
        return Rows(self.size, ~ignored if self.mask is None else self.mask & ~ignored, self.weight)

    def times(self, factors: Weights) -> Rows:
        """Return the rows with other weights: times `factors` (size,), which are 1 in masked rows."""
        weight = factors if self.weight is None else self.weight * factors
        rows = Rows(self.size, self.mask, weight)
        return rows if (factors > 0).all() else rows.without(factors == 0)


def parse_rows(mask: npt.ArrayLike | None, weight: npt.ArrayLike | None, shape: tuple[int, ...]) -> Rows:
    """Check mask and weights against the `shape` of the rows. Rows of weight 0 do not count.

    Raises
    ------
    TypeError
        `mask` is not an array of bool, or `weight` is not an array of numbers.
    ValueError
        The shapes do not match, or the weight of an unmasked row is negative or not finite.
    """
    size = math.prod(shape)
    flags = None if mask is None else row_mask(mask, shape)
    if weight is None:
        return Rows(size, flags)
    values = as_real(weight, "weight")
    if values.dtype == np.bool_:
        raise TypeError("weight must be an array of numbers; got bool. Fix: pass the array as mask.")
    if values.shape != shape and (*shape, 1) == values.shape:
        values = values[..., 0]
    check_shape(values, "weight", shape)
    numbers: Weights = np.ascontiguousarray(values, np.float64).reshape(-1)
    wrong = ~((numbers >= 0) & (numbers < np.inf))
    if flags is not None:
        wrong &= flags
    if wrong.any():
        raise ValueError(
            f"weight must hold finite numbers >= 0; got {numbers[wrong][0]} in row "
            f"{np.flatnonzero(wrong)[0]}. Fix: pass 0 for rows that shall not count, or mask them."
        )
    rows = Rows(size, flags, numbers)
    zero = numbers == 0
    return rows.without(zero) if zero.any() else rows


def row_mask(mask: npt.ArrayLike, shape: tuple[int, ...]) -> Mask:
    """Check `mask` against the `shape` of the rows, and return a flat bool array."""
    flags = as_real(mask, "mask")
    if flags.dtype != np.bool_:
        raise TypeError(f"mask must be an array of bool; got {flags.dtype}. Fix: pass mask.astype(bool).")
    check_shape(flags, "mask", shape)
    return np.ascontiguousarray(flags).reshape(-1)


def check_outputs(y: npt.ArrayLike) -> Floats:
    """Check that `y` has rows, and return it as floats.

    float32 stays float32, and other dtypes become float64.
    """
    array = as_real(y, "y")
    if array.ndim < 2:
        raise ValueError(
            f"y must have shape (T, B, C) or (B, C); got {array.shape}. Fix: add an axis of rows, y[None]."
        )
    if array.shape[-1] == 0:
        raise ValueError(
            f"y must have at least one class or feature on its last axis; got shape {array.shape}. "
            "Fix: end the model with Linear(..., C)."
        )
    dtype = np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
    return to_floats(array, "y", dtype)
