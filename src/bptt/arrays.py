"""Convert the user's data to arrays for the core.

All data are checked first, and converted at most once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]

ALIGNMENT = 64
"""Alignment in bytes: the size of a cache line and of the widest vector register that the kernels use."""

_BLOCK = '<capsule object "bptt.Block"'
"""How the owner of memory of the compiled core is shown. Python code cannot read the name of a capsule."""

_FIX_BY_KIND = {
    "c": "pass the real and the imaginary part as separate columns",
    "O": "pass a rectangular array of numbers, for instance numpy.asarray(..., dtype=float)",
    "U": "turn the text into numbers first",
    "S": "turn the text into numbers first",
    "M": "subtract an origin and divide by a unit, for instance (t - t[0]) / numpy.timedelta64(1, 's')",
    "m": "divide by a unit, for instance dt / numpy.timedelta64(1, 's')",
}


def as_real(value: object, name: str) -> npt.NDArray[Any]:
    """Read `value` as an array of real numbers.

    An array that already holds real numbers is returned without a copy.

    Parameters
    ----------
    value : array-like
        An array, nested sequences of numbers, or anything with `__array__` or `__dlpack__`.
    name : str
        Name of the argument, with which error messages begin.

    Raises
    ------
    TypeError
        If `value` is not an array, or is a complex, object, string, date, structured or masked array.
    ValueError
        If nested sequences are not rectangular.
    """
    array = _as_array(value, name)
    kind = array.dtype.kind
    if kind in "biuf" or (kind == "V" and _is_extension_float(array.dtype)):
        return array
    actual = f"an array of dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    complaint = _complaint_of_columns(value, name)
    if complaint is not None:
        actual, fix = f"{actual} {complaint[0]}", complaint[1]
    else:
        fix = _FIX_BY_KIND.get(kind, "pass an array of plain numbers")
    raise TypeError(f"{name} must be an array of real numbers; got {actual}. Fix: {fix}.")


def as_floats(
    value: object,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...] | None = None,
) -> Floats:
    """Read `value` as a C-contiguous, aligned array of `dtype`.

    An array that already has these properties is returned without a copy.

    Parameters
    ----------
    value : array-like of real numbers
        As for `as_real`. NaN and infinities are allowed.
    name : str
        Name of the argument, with which error messages begin.
    dtype : numpy.dtype
        float32 or float64.
    shape : tuple of int, optional
        Expected shape. None: any shape.

    Raises
    ------
    TypeError
        As `as_real`.
    ValueError
        If the shape is not `shape`, or a finite value is too large for `dtype`.
    """
    array = as_real(value, name)
    if shape is not None:
        check_shape(array, name, shape)
    return to_floats(array, name, dtype)


def to_floats(array: npt.NDArray[Any], name: str, dtype: np.dtype[Any]) -> Floats:
    """Convert layout and dtype of an array that `as_real` returned.

    This is the second half of `as_floats`.
    """
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return cast("Floats", array)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.array(array, dtype=dtype, order="C")
    # Integers never overflow: the largest one, 2**64, is far below the largest float32.
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
    """Return the array in C order, without a copy if it is C-contiguous already."""
    return cast("Floats", np.ascontiguousarray(array))


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that nobody can change, for a tape.

    This is `array` itself or a read-only copy. `array` itself is returned only if no array that shares its
    memory is writeable, and the memory belongs to NumPy or to the compiled core. Another library may write to
    memory that it hands over as read-only.
    """
    base: object = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    # An array here is writeable. Its repr would take longer than the copy.
    if isinstance(base, np.ndarray) or not (base is None or repr(base).startswith(_BLOCK)):
        array = array.copy()
        array.flags.writeable = False
    return array


def as_ids(value: object, name: str, *, empty: bool = False) -> npt.NDArray[np.int64]:
    """Read `value` as a C-contiguous int64 array of any shape.

    Floats are refused, even whole numbers. With `empty`, an empty list is read as integers, although NumPy
    reads floats.

    Raises
    ------
    TypeError
        If the values are not integers. Bools are refused, because they are a mask and not numbers.
    ValueError
        If nested sequences are not rectangular, or a value is above 2**63 - 1.
    """
    array = _as_array(value, name)
    if empty and array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        actual = f"an array of dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        if array.dtype.kind in "bf":
            actual = f"an array of dtype {array.dtype}"
        raise TypeError(
            f"{name} must be an array of integers; got {actual}. Fix: pass {name}.astype(numpy.int64)."
        )
    limit = np.iinfo(np.int64).max
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size and array.max() > limit:
        raise ValueError(
            f"{name} must hold integers up to {limit}; got {array.max()}. Fix: pass valid indices."
        )
    return np.require(array, np.int64, ["C", "A"])


def check_shape(array: npt.NDArray[Any], name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the array does not have this shape."""
    if array.shape != shape:
        raise ValueError(
            f"{name} must have shape {shape}; got {array.shape}. Fix: reshape or slice {name} to {shape}."
        )


def aligned_zeros(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a vector of zeros whose first byte lies on a 64-byte boundary."""
    return _aligned(np.zeros, count, dtype)


def aligned_empty(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a vector of any values whose first byte lies on a 64-byte boundary."""
    return _aligned(np.empty, count, dtype)


def constant_zeros(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a read-only vector of zeros that needs no memory."""
    return np.broadcast_to(np.zeros(1, dtype), (count,))


def _aligned(
    make: Callable[[int, type[np.uint8]], npt.NDArray[np.uint8]], count: int, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    size = count * dtype.itemsize
    try:
        raw = make(size + ALIGNMENT, np.uint8)
    except MemoryError:
        raise MemoryError(
            f"not enough memory for {count} {dtype} numbers ({size / 2**30:.1f} GiB). Fix: use smaller sizes."
        ) from None
    offset = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[offset : offset + size].view(dtype)


def split(
    flat: npt.NDArray[Any], table: Sequence[tuple[str, tuple[int, ...]]]
) -> dict[str, npt.NDArray[Any]]:
    """Split a flat vector into named views, as in the table.

    The views follow each other without gaps.
    """
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
    # __array__ and __dlpack__ belong to other frameworks. They may raise any exception, for example for a
    # tensor on another device or a tensor that records gradients.
    except Exception as error:
        raise TypeError(
            f"{name} must be readable as an array in main memory; got {type(value).__name__}: "
            f"{str(error).rstrip('.')}. Fix: {_tensor_fix(value)}."
        ) from error


def _tensor_fix(value: object) -> str:
    """Return how to convert a tensor of another library so that NumPy can read it."""
    if str(getattr(value, "dtype", "")).endswith("bfloat16"):
        return "convert it with .float(), because NumPy has no bfloat16"
    if getattr(value, "requires_grad", False):
        return "pass .detach(), because bptt records no gradients for PyTorch"
    if getattr(value, "is_sparse", False):
        return "pass .to_dense()"
    device = getattr(value, "device", None)
    if device is not None and "cpu" not in str(device).lower():
        return "copy it to main memory first, with .cpu() in PyTorch or .get() in CuPy"
    return "convert it to a NumPy array first"


def _complaint_of_columns(value: object, name: str) -> tuple[str, str] | None:
    """Describe the non-numeric columns of a pandas object, and their fix.

    Returns None if `value` is not a pandas object.
    """
    dtypes: Any = getattr(value, "dtypes", None)
    if not hasattr(value, "to_numpy") or dtypes is None:
        return None
    is_frame = hasattr(dtypes, "items")
    columns = list(dtypes.items()) if is_frame else [(getattr(value, "name", None), dtypes)]
    non_numeric = [(label, dtype) for label, dtype in columns if getattr(dtype, "kind", "O") not in "biuf"]
    if not non_numeric:
        nullable = dict.fromkeys(str(dtype) for _, dtype in columns if not isinstance(dtype, np.dtype))
        return (
            f"of nullable dtype {', '.join(nullable)}",
            f"{name}.to_numpy(dtype=float, na_value=numpy.nan), and fill or mask missing values",
        )
    labels = ", ".join(f"{label!r} ({dtype})" for label, dtype in non_numeric[:5])
    plural = "s" if len(non_numeric) > 1 else ""
    content = f"with the column{plural} {labels}" if is_frame else f"of dtype {dtypes}"
    if getattr(non_numeric[0][1], "kind", "O") in "Mm":
        return content, "drop times, or convert them, for instance (t - t.iloc[0]).dt.total_seconds()"
    return content, "drop columns that are not numbers, or encode them, for instance pandas.get_dummies"


def _is_extension_float(dtype: np.dtype[Any]) -> bool:
    """Return whether this is a number type that another package registered.

    Such types include bfloat16.
    """
    return dtype.names is None and dtype.subdtype is None and np.can_cast(dtype, np.float64)
