"""Losses: the mean over the rows that are not masked, and its gradient.

The core computes the sums.
"""

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
    """Base class of losses. `loss(y, target, mask=None)` returns the value and dL/dy.

    The value is a float, and dL/dy has the shape and dtype of `y`.

    The last axis of `y`, `(T, B, C)` or `(B, C)`, holds classes or features; the axes before it are
    rows. `mask` is a bool array of y's shape without the last axis. Rows where it is False are ignored and
    get dy = 0. If all rows are masked, or `y` has no rows, the value is 0.
    """

    def __call__(
        self, y: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike | None = None
    ) -> tuple[float, Floats]:
        """Return the loss and its gradient.

        Raises
        ------
        TypeError
            If `y` or `target` has the wrong type, or `mask` is not an array of bool.
        ValueError
            If the shapes do not match, a target is outside the loss's range, or a class in an unmasked row is
            outside 0..C-1.
        """
        value, dy = self._evaluate(y, target, mask, need_gradient=True)
        if dy is None:
            raise RuntimeError("the core returned no gradient")
        return value, dy

    def value(self, y: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> float:
        """Return the loss without its gradient.

        Raises the same errors as `loss(y, target, mask)`.
        """
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
        """Check the target against y's `shape`, and call the core.

        The core gets `rows` (N, C) and `mask` (N,).
        """


class CrossEntropy(Loss):
    """-log softmax(y)[target], mean over rows, in nats.

    Targets are integer classes 0..C-1, in y's shape without its last axis.
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
        except ValueError:  # the core found a class out of range
            refuse_outside(classes if mask is None else classes[mask], shape[-1])
            raise


class MeanSquaredError(Loss):
    """(y - target)^2, mean over rows and features. Targets are numbers in y's shape."""

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
    """Binary cross-entropy, mean over rows and features, in nats.

    The loss is -target log s(y) - (1 - target) log(1 - s(y)). s is the logistic function. Targets are numbers
    in [0, 1], in y's shape.
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
