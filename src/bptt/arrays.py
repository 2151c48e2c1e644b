"""Convert the user's data to arrays that the core reads: checked first, converted at most once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]

ALIGNMENT = 64
"""Bytes: one cache line, and the widest vector register the kernels use."""

_FIX_BY_KIND = {
    "c": "pass the real and the imaginary part as separate columns",
    "O": "pass a rectangular array of numbers, for instance numpy.asarray(..., dtype=float)",
    "U": "turn the text into numbers first",
    "S": "turn the text into numbers first",
    "M": "subtract an origin and divide by a unit, for instance (t - t[0]) / numpy.timedelta64(1, 's')",
    "m": "divide by a unit, for instance dt / numpy.timedelta64(1, 's')",
}


def as_real(value: object, name: str) -> npt.NDArray[Any]:
    """
    Read `value` as an array of real numbers, without copying or converting it if it is one already.

    Parameters
    ----------
    value : array-like
        An array, nested sequences of numbers, or anything with `__array__` or `__dlpack__`.
    name : str
        What the caller calls it: error messages begin with it.

    Raises
    ------
    TypeError
        `value` is not an array, or is a complex, object, string, date, structured or masked array.
    ValueError
        Nested sequences that are not rectangular.
    """
    array = _as_array(value, name)
    kind = array.dtype.kind
    if kind in "biuf" or (kind == "V" and _is_extension_float(array.dtype)):
        return array
    came = f"an array of dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    columns = _complaint_of_columns(value, name)
    if columns is not None:
        came, fix = f"{came} {columns[0]}", columns[1]
    else:
        fix = _FIX_BY_KIND.get(kind, "pass an array of plain numbers")
    raise TypeError(f"{name} must be an array of real numbers; got {came}. Fix: {fix}.")


def as_floats(
    value: object,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...] | None = None,
) -> Floats:
    """
    Read `value` as a C-contiguous, aligned array of `dtype`; what is one already is returned as it is.

    Parameters
    ----------
    value : array-like of real numbers
        As for `as_real`. NaN and infinities go through.
    name : str
        What the caller calls it: error messages begin with it.
    dtype : numpy.dtype
        float32 or float64.
    shape : tuple of int, optional
        The shape it must have.

    Raises
    ------
    TypeError
        As `as_real`.
    ValueError
        Another shape than `shape`, or a finite value too large for `dtype`.
    """
    array = as_real(value, name)
    if shape is not None:
        check_shape(array, name, shape)
    return to_floats(array, name, dtype)


def to_floats(array: npt.NDArray[Any], name: str, dtype: np.dtype[Any]) -> Floats:
    """The second half of `as_floats`: layout and dtype of an array that `as_real` has passed."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return cast("Floats", array)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.array(array, dtype=dtype, order="C")
    # Integers never overflow: the largest, 2**64, is far below float32's largest.
    narrowed = array.dtype.kind in "fV" and array.dtype.itemsize > dtype.itemsize
    if narrowed and not np.isfinite(converted).all():
        overflown = np.isinf(converted) & np.isfinite(array)
        if overflown.any():
            position = tuple(int(i) for i in np.argwhere(overflown)[0])
            raise ValueError(
                f"{name} must hold values that {dtype} can hold (up to {np.finfo(dtype).max:.4g}); got "
                f"{array[position]}{f' at {position}' if position else ''}. "
                f"Fix: rescale {name}, or use a wider dtype."
            )
    return converted


def contiguous(array: Floats) -> Floats:
    """The array, in C order: a copy unless it is already."""
    return cast("Floats", np.ascontiguousarray(array))


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself if no array over its memory can be written to, else a read-only copy: for tapes."""
    base: object = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    if isinstance(base, np.ndarray):
        array = array.copy()
        array.flags.writeable = False
    return array


def as_ids(value: object, name: str, *, empty: bool = False) -> npt.NDArray[np.int64]:
    """
    Read `value` as a C-contiguous int64 array of any shape. Floats are refused even when whole.

    With `empty`, an empty list counts as one of integers, though NumPy makes floats of it.

    Raises
    ------
    TypeError
        Anything but integers; bool counts as a mask, not as numbers.
    ValueError
        Nested sequences that are not rectangular, or a value above 2**63 - 1.
    """
    array = _as_array(value, name)
    if empty and array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        came = f"an array of dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        if array.dtype.kind in "bf":
            came = f"an array of dtype {array.dtype}"
        raise TypeError(f"{name} must be an array of integers; got {came}. Fix: {name}.astype(numpy.int64).")
    limit = np.iinfo(np.int64).max
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size and array.max() > limit:
        raise ValueError(
            f"{name} must hold integers up to {limit}; got {array.max()}. Fix: pass valid indices."
        )
    return np.require(array, np.int64, ["C", "A"])


def check_shape(array: npt.NDArray[Any], name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the array has this shape."""
    if array.shape != shape:
        raise ValueError(
            f"{name} must have shape {shape}; got {array.shape}. Fix: reshape or slice {name} to {shape}."
        )


def aligned_zeros(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A vector of zeros whose first byte lies on a 64-byte boundary."""
    size = count * dtype.itemsize
    try:
        raw = np.zeros(size + ALIGNMENT, np.uint8)
    except MemoryError:
        raise MemoryError(
            f"there is not enough memory for {count} numbers of {dtype} ({size / 2**30:.1f} GiB). "
            "Fix: use smaller sizes."
        ) from None
    offset = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[offset : offset + size].view(dtype)


def split(
    flat: npt.NDArray[Any], table: Sequence[tuple[str, tuple[int, ...]]]
) -> dict[str, npt.NDArray[Any]]:
    """Name -> view, cutting a flat vector without gaps in the order of the table."""
    views: dict[str, npt.NDArray[Any]] = {}
    start = 0
    for name, shape in table:
        stop = start + math.prod(shape)
        views[name] = flat[start:stop].reshape(shape)
        start = stop
    return views


def _as_array(value: object, name: str) -> npt.NDArray[Any]:
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be a plain array; got a masked array, whose mask would be lost. "
            f"Fix: fill it, {name}.filled(0), or leave the masked steps out."
        )
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.asarray(np.from_dlpack(value))
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a rectangular array of numbers; got {type(value).__name__}: {error}. "
            "Fix: give every row the same length."
        ) from error
    # __array__ and __dlpack__ are foreign code: a tensor on another device, or one that records
    # gradients, raises whatever its framework likes.
    except Exception as error:
        raise TypeError(
            f"{name} must be readable as an array in main memory; got {type(value).__name__}: "
            f"{str(error).rstrip('.')}. Fix: {_tensor_fix(value)}."
        ) from error


def _tensor_fix(value: object) -> str:
    """How to make a tensor of PyTorch's readable."""
    if str(getattr(value, "dtype", "")).endswith("bfloat16"):
        return "convert it with .float(), for NumPy has no bfloat16"
    if getattr(value, "requires_grad", False):
        return "pass .detach(), for nothing here records gradients for PyTorch"
    return "convert it to a NumPy array first"


def _complaint_of_columns(value: object, name: str) -> tuple[str, str] | None:
    """What a pandas object holds in place of plain numbers, and the fix. None for anything else."""
    dtypes: Any = getattr(value, "dtypes", None)
    if not hasattr(value, "to_numpy") or dtypes is None:
        return None
    frame = hasattr(dtypes, "items")
    columns = list(dtypes.items()) if frame else [(getattr(value, "name", None), dtypes)]
    others = [(label, dtype) for label, dtype in columns if getattr(dtype, "kind", "O") not in "biuf"]
    if not others:
        nullable = dict.fromkeys(str(dtype) for _, dtype in columns if not isinstance(dtype, np.dtype))
        return (
            f"of nullable dtype {', '.join(nullable)}",
            f"{name}.to_numpy(dtype=float, na_value=numpy.nan), and fill or mask what is missing",
        )
    shown = ", ".join(f"{label!r} ({dtype})" for label, dtype in others[:5])
    come = f"with the column{'s' if len(others) > 1 else ''} {shown}" if frame else f"of dtype {dtypes}"
    if getattr(others[0][1], "kind", "O") in "Mm":
        return come, "drop times, or convert them, for instance (t - t.iloc[0]).dt.total_seconds()"
    return come, "drop what is not a number, or encode it, for instance pandas.get_dummies"


def _is_extension_float(dtype: np.dtype[Any]) -> bool:
    """True for number types that other packages register with NumPy, such as bfloat16."""
    return dtype.names is None and dtype.subdtype is None and np.can_cast(dtype, np.float64)
