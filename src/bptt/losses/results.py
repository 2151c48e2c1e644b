"""Checks of what the losses of users return."""

from __future__ import annotations

import math
import numbers
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.arrays import Floats


def check_pair(result: object, name: str) -> tuple[Any, Any]:
    """Check that `name` returned a pair.

    Raises
    ------
    TypeError
        The result is not a pair.
    """
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(
            f"{name} must return a pair, the loss and its gradient; got {short(result)} of type "
            f"{type(result).__name__}. Fix: end the function with return value, dy."
        )
    return result[0], result[1]


def check_value(value: Any, y: Floats, name: str) -> float:
    """Check the value of a loss of outputs `y`: a number, and finite if all outputs are finite.

    Raises
    ------
    TypeError
        The value is not a number.
    ValueError
        The value is NaN or infinite, although all outputs are finite.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must return a number as the value of the loss; got {short(value)} of type "
            f"{type(value).__name__}. Fix: return float(mean of the losses), dy."
        )
    number = float(value)
    if not math.isfinite(number) and bool(np.isfinite(y).all()):
        raise ValueError(
            f"{name} must return a finite value for finite outputs; got {number}. Fix: avoid log(0), 0/0 and "
            "the exp of large numbers."
        )
    return number


def check_gradient(dy: Any, y: Floats, name: str) -> Floats:
    """Check the gradient of outputs `y`, and convert it to their dtype.

    Raises
    ------
    TypeError
        The gradient is not an array of real numbers.
    ValueError
        The gradient has another shape than `y`.
    """
    array = np.asarray(dy)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must return dL/dy as an array of real numbers; got {short(dy)} of type "
            f"{type(dy).__name__}. Fix: return value, dy with dy of y's shape."
        )
    if array.shape != y.shape:
        raise ValueError(
            f"{name} must return dL/dy in y's shape {y.shape}; got {array.shape}. Fix: compute one "
            "derivative for each entry of y."
        )
    converted: Any = np.ascontiguousarray(array, y.dtype)
    return cast("Floats", converted)


def check_rows(result: object, y: Floats, name: str) -> tuple[npt.NDArray[np.float64], Floats]:
    """Check the losses (N,) and their derivatives (N, C) of the rows `y` (N, C).

    Raises
    ------
    TypeError, ValueError
        The result is not such a pair, or a loss is not finite although all outputs are finite.
    """
    losses, dy = check_pair(result, name)
    values = np.asarray(losses, np.float64)
    if values.shape != y.shape[:1]:
        raise ValueError(
            f"{name} must return one loss for each row, in shape {y.shape[:1]}; got {values.shape}. Fix: sum "
            "or average over the last axis of y, and over no other axis."
        )
    check_value(values.sum(), y, name)
    return values, check_gradient(dy, y, name)
