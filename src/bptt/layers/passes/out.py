"""The argument `out` of calls and passes: the caller's array for a result."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.arrays import Floats, check_shape
from bptt.layers.passes.tape import Tape, has_several_inputs, input_shape


def check_out(out: object, dtype: np.dtype[Any], shape: tuple[int, ...] | None = None) -> None:
    """Check that a result of this dtype, and if it is known of this shape, can be written to `out`.

    Raises
    ------
    TypeError
        If `out` is neither None nor an ndarray, has another dtype, or is read-only.
    ValueError
        If `out` has another shape.
    """
    if out is None:
        return
    if not isinstance(out, np.ndarray) or out.dtype != dtype or not out.flags.writeable:
        actual = "a read-only array" if isinstance(out, np.ndarray) else type(out).__name__
        if isinstance(out, np.ndarray) and out.dtype != dtype:
            actual = f"dtype {out.dtype}"
        size = "y.shape" if shape is None else f"{shape}"
        raise TypeError(
            f"out must be a writable ndarray of {dtype}; got {actual}. "
            f"Fix: pass numpy.empty({size}, {dtype.name!r})."
        )
    if shape is not None:
        check_shape(out, "out", shape)


def written(out: Floats | None, result: Floats) -> Floats:
    """Return `result`, copied to `out` if the caller passed an array.

    Raises
    ------
    ValueError
        If `out` has another shape.
    """
    if out is None:
        return result
    check_shape(out, "out", result.shape)
    np.copyto(out, result)
    return out


def check_dx_out(out: object, tape: Tape, dtype: np.dtype[Any], *, need_dx: bool) -> None:
    """Check that dx, the result of `backward`, can be written to `out`.

    Raises
    ------
    TypeError, ValueError
        As `check_out`. Or if there is no dx, or it is not one array.
    """
    if out is None:
        return
    if not need_dx:
        raise ValueError(
            "out must be None without dx; got an array and need_dx=False. Fix: leave out one of the two."
        )
    if has_several_inputs(tape):
        raise ValueError(
            "out must be None for a model with several inputs, whose dx is a mapping; got an array. "
            "Fix: copy the arrays of dx to where you need them."
        )
    check_out(out, dtype, input_shape(tape))
