"""Losses: the mean over the rows that are not masked, and its gradient. The core does the sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, as_real, check_shape, to_floats
from bptt.losses.targets import as_classes, as_numbers, refuse_outside

Mask: TypeAlias = npt.NDArray[np.bool_]


class Loss(ABC):
    """`loss(y, target, mask=None) -> (value, dy)`: a float, and dL/dy of y's shape and dtype.

    The last axis of `y`, `(T, B, C)` or `(B, C)`, holds classes or features; the axes before it are
    rows. `mask` is a bool array of y's shape without the last axis: rows where it is False count for
    nothing and get dy = 0. With every row masked, or none there, the value is 0.
    """

    def __call__(
        self, y: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike | None = None
    ) -> tuple[float, Floats]:
        """The loss and its gradient.

        Raises
        ------
        TypeError
            `y` or `target` of the wrong kind; `mask` not of bool.
        ValueError
            Shapes that do not fit; a target outside the loss's range, or a class outside 0..C-1 in a row that
            counts.
        """
        value, dy = self._evaluate(y, target, mask, need_gradient=True)
        if dy is None:
            raise RuntimeError("the core was asked for a gradient and gave none")
        return value, dy

    def value(self, y: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> float:
        """The loss alone; raises as the call does."""
        return self._evaluate(y, target, mask, need_gradient=False)[0]

    def _evaluate(
        self, y: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike | None, need_gradient: bool
    ) -> tuple[float, Floats | None]:
        outputs = check_outputs(y)
        shape = outputs.shape
        flags = None if mask is None else row_mask(mask, shape[:-1])
        value, dy = self._rows(outputs.reshape(-1, shape[-1]), shape, target, flags, need_gradient)
        return value, None if dy is None else dy.reshape(shape)

    @abstractmethod
    def _rows(
        self,
        rows: Floats,
        shape: tuple[int, ...],
        target: npt.ArrayLike,
        mask: Mask | None,
        need_gradient: bool,
    ) -> tuple[float, Floats | None]:
        """Check the target against y's `shape` and give the core `rows` (N, C) and `mask` (N,)."""


class CrossEntropy(Loss):
    """-log softmax(y)[target], mean over rows, in nats.

    Targets are integer classes 0..C-1 of y's shape without its last axis.
    """

    def _rows(
        self,
        rows: Floats,
        shape: tuple[int, ...],
        target: npt.ArrayLike,
        mask: Mask | None,
        need_gradient: bool,
    ) -> tuple[float, Floats | None]:
        classes = as_classes(target, shape).reshape(-1)
        try:
            return _core.cross_entropy(rows, classes, mask, need_gradient)
        except ValueError:  # the core has found a class out of range
            refuse_outside(classes if mask is None else classes[mask], shape[-1])
            raise


class MeanSquaredError(Loss):
    """(y - target)^2, mean over rows and features. Targets are numbers of y's shape."""

    def _rows(
        self,
        rows: Floats,
        shape: tuple[int, ...],
        target: npt.ArrayLike,
        mask: Mask | None,
        need_gradient: bool,
    ) -> tuple[float, Floats | None]:
        numbers = as_numbers(target, shape, rows.dtype)
        return _core.mean_squared_error(rows, numbers.reshape(rows.shape), mask, need_gradient)


class BinaryCrossEntropy(Loss):
    """-target log s(y) - (1 - target) log(1 - s(y)), s the logistic function, mean over rows and
    features, in nats.

    Targets are numbers in [0, 1] of y's shape.
    """

    def _rows(
        self,
        rows: Floats,
        shape: tuple[int, ...],
        target: npt.ArrayLike,
        mask: Mask | None,
        need_gradient: bool,
    ) -> tuple[float, Floats | None]:
        probabilities = as_numbers(target, shape, rows.dtype).reshape(rows.shape)
        outside = ~((probabilities >= 0) & (probabilities <= 1)).all(axis=1) & (
            True if mask is None else mask
        )
        if outside.any():
            raise ValueError(
                f"target must hold numbers in [0, 1]; got {probabilities[outside][0]} in row "
                f"{np.flatnonzero(outside)[0]}. Fix: rescale the target, or mask the row."
            )
        return _core.binary_cross_entropy(rows, probabilities, mask, need_gradient)


def row_mask(mask: npt.ArrayLike, shape: tuple[int, ...]) -> Mask:
    """`mask` checked against the `shape` of the rows, as a flat bool array."""
    flags = as_real(mask, "mask")
    if flags.dtype != np.bool_:
        raise TypeError(f"mask must be an array of bool; got {flags.dtype}. Fix: pass mask.astype(bool).")
    check_shape(flags, "mask", shape)
    return np.ascontiguousarray(flags).reshape(-1)


def check_outputs(y: npt.ArrayLike) -> Floats:
    """`y` checked to have rows, in float32 if it is, else in float64."""
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
