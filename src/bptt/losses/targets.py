"""Checks of targets against a model's outputs, with fixes for the usual mistakes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_ids, as_real, check_shape, to_floats

Shape = tuple[int, ...]


def as_classes(target: npt.ArrayLike, shape: Shape) -> npt.NDArray[np.int64]:
    """Check integer classes, one for each row of outputs `y` of this shape.

    Raises
    ------
    TypeError
        If the classes are names or floats instead of integers.
    ValueError
        If the shape is not that of y without its last axis.
    """
    try:
        classes = as_ids(target, "target")
    except TypeError:
        if isinstance(target, (list, tuple, np.ndarray)) or hasattr(target, "to_numpy"):  # pandas
            _refuse_names(np.asarray(target), shape[-1])
            _refuse_one_hot(np.asarray(target), shape)
        raise
    if classes.shape != shape[:-1]:
        _refuse_one_hot(classes, shape)
    _check(classes, shape[:-1], shape[:-1])
    return classes


def as_numbers(target: npt.ArrayLike, shape: Shape, dtype: np.dtype[Any]) -> Floats:
    """Check numbers, one for each output, and convert them to `dtype`.

    `shape` is the shape of the outputs.

    Raises
    ------
    TypeError
        If the targets are not numbers.
    ValueError
        If the shape is not that of y, or a value is too large for `dtype`.
    """
    numbers = as_real(target, "target")
    _check(numbers, shape, shape[:-1])
    return to_floats(numbers, "target", dtype)


def as_entries(target: npt.ArrayLike, shape: Shape) -> npt.NDArray[Any]:
    """Check targets of any kind, with one entry for each row of outputs `y` of this shape.

    Raises
    ------
    ValueError
        If the first axes are not those of y without its last axis.
    """
    entries = np.asarray(target)
    lead = shape[:-1]
    if entries.shape[: len(lead)] != lead:
        raise ValueError(
            f"target must have one entry for each row, in shape {lead} or {lead} with more axes; got shape "
            f"{entries.shape}. Fix: pass targets for the rows of the model's output."
        )
    return entries


def refuse_outside(classes: npt.NDArray[np.int64], count: int) -> None:
    """Raise ValueError for the first class outside 0..count-1."""
    outside = classes[(classes < 0) | (classes >= count)]
    if not outside.size:
        return
    first = int(outside[0])
    if first < 0:
        fix = f"to ignore these rows, pass CrossEntropy(ignore_index={first}) or mask=target != {first}"
    else:
        fix = "number the classes from 0, or give the last layer as many outputs as there are classes"
    raise ValueError(f"target must hold classes from 0 to {count - 1}; got {first}. Fix: {fix}.")


def _check(target: npt.NDArray[Any], expected: Shape, rows: Shape) -> None:
    """Compare the target's shape with the expected shape.

    `rows` is y's shape without its last axis.
    """
    if target.shape == expected:
        return
    message = f"target must have shape {expected}; got {target.shape}"
    last = expected[len(rows) :]  # the axis of features, or no axis for classes
    if len(rows) == 2 and target.shape in ((rows[0], *last), (rows[1], *last)):
        raise ValueError(
            f"{message}: outputs have one row for each time step, targets one for each sequence. "
            "Fix: add bptt.Last() before the Linear layer (bptt.Ends() after a bidirectional layer)."
        )
    if axes := _transposed(target.shape, expected):
        raise ValueError(f"{message}, which has the same axes in another order. Fix: target.transpose{axes}.")
    if target.shape == (*expected, 1):
        raise ValueError(f"{message}. Fix: drop the last axis, target[..., 0].")
    if (*target.shape, 1) == expected:
        raise ValueError(f"{message}. Fix: add the axis of features, target[..., None].")
    check_shape(target, "target", expected)


def _transposed(shape: Shape, expected: Shape) -> tuple[int, ...] | None:
    """Return the order of axes that transposes `shape` to `expected`, or None.

    If several orders do, batch-first targets have priority, then targets (N, K, T).
    """
    if sorted(shape) != sorted(expected):
        return None
    usual = [(1, 0, 2), (2, 0, 1)]
    orders = [axes for axes in usual if len(axes) == len(shape)] + list(permutations(range(len(shape))))
    return next((axes for axes in orders if tuple(shape[axis] for axis in axes) == expected), None)


def _refuse_names(target: npt.NDArray[Any], count: int) -> None:
    first = next(iter(target.reshape(-1)[:1].tolist()), None)
    if isinstance(first, (str, bytes)):
        raise TypeError(
            f"target must hold classes as integers from 0 to {count - 1}; got {first!r:.40}. "
            "Fix: names, target = numpy.unique(target, return_inverse=True)."
        )


def _refuse_one_hot(target: npt.NDArray[Any], shape: Shape) -> None:
    """Raise if the target has an axis of classes, as outputs of this shape have."""
    if target.shape == shape:
        addition = ""
    elif len(shape) != 3 or target.shape[-1:] != shape[-1:] or not _one_hot(target):
        return
    elif target.shape[:-1] == (shape[1], shape[0]):
        addition = ".T, because the target's first two axes are swapped"
    elif target.shape[:-1] in ((shape[0],), (shape[1],)):
        addition = ", and add bptt.Last(), because outputs have one row for each time step"
    else:
        return
    raise (ValueError if target.dtype.kind in "iu" else TypeError)(
        f"target must hold one class for each row, in shape {shape[:-1]}; got {target.dtype} values of shape "
        f"{target.shape}: one-hot, or one value for each class. Fix: target.argmax(-1){addition}."
    )


def _one_hot(target: npt.NDArray[Any]) -> bool:
    return bool(((target == 0) | (target == 1)).all() and (np.count_nonzero(target, axis=-1) == 1).all())
