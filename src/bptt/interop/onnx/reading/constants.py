"""Operators on values that do not depend on the model's input: constants, sizes and initial states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bptt.interop.onnx.reading.axes import Problem, Size, size_of
from bptt.interop.onnx.reading.calls import Call, position, vector
from bptt.interop.onnx.reading.tensors import Tensor
from bptt.interop.onnx.reading.values import Fill, Flow, Known, Missing, Value

Array = npt.NDArray[Any]

SMALL = 4096
"""Largest number of entries of an array that is larger than the arrays it is made of."""


def constant(call: Call) -> list[Value]:
    for name, value in call.attributes.items():
        if isinstance(value, Tensor):
            return [Known(value)]
        if name in ("value_float", "value_floats"):
            return [Known(np.array(value, np.float32))]
        if name in ("value_int", "value_ints"):
            return [Known(np.array(value, np.int64))]
    raise Problem("its value is of a type that bptt does not read")


def constant_of_shape(call: Call) -> list[Value]:
    value = call.attributes.get("value")
    array = value.array.reshape(-1) if isinstance(value, Tensor) else np.zeros(1, np.float32)
    if array.size != 1:
        raise Problem("its value must be one number")
    return [_filled(array[0], call.sizes(0, "shape"))]


def _filled(value: Any, shape: Sequence[int | Size]) -> Value:
    known = [size for size in shape if not isinstance(size, Size)]
    if any(size < 0 for size in known):
        raise Problem("its shape has negative sizes")
    if len(known) == len(shape) and math.prod(known) <= SMALL:
        return Known(np.full(known, value))
    return Fill(float(value))


def shape(call: Call) -> list[Value]:
    value = call.value(0)
    if isinstance(value, Flow):
        sizes: list[Any] = [size_of(dim) for dim in value.dims]
    elif isinstance(value, Known):
        sizes = list(value.shape)
    else:
        raise Problem("the shape of its input is not known")
    return [vector(sizes[call.attributes.get("start", 0) : call.attributes.get("end")])]


def _transpose(call: Call, x: Array) -> Array:
    return np.transpose(x, call.attributes.get("perm") or None)


def _reshape(call: Call, x: Array) -> Array:
    target = call.integers(1, "shape")
    if not call.attributes.get("allowzero"):
        target = [x.shape[k] if size == 0 and k < x.ndim else size for k, size in enumerate(target)]
    return x.reshape(target)


def _squeeze(call: Call, x: Array) -> Array:
    axes = call.axes(1, x.ndim)
    return x.squeeze(None if axes is None else tuple(axes))


def _unsqueeze(call: Call, x: Array) -> Array:
    axes = call.integers(1, "axes")
    return np.expand_dims(x, tuple(axes))


def _slice(call: Call, x: Array) -> Array:
    for axis, start, stop, step in slices(call, x.ndim):
        if not step:
            raise Problem("its step is 0")
        # Ends far outside count from the border, as in Python, but -2**63 with a negative step means "all".
        part = slice(start, None if step < 0 and stop < -x.shape[axis] else stop, step)
        x = x[(slice(None),) * axis + (part,)]
    return x


def slices(call: Call, rank: int) -> list[tuple[int, int, int, int]]:
    """Return (axis, start, stop, step) of a Slice, for each of its axes."""
    starts, stops = call.integers(1, "starts"), call.integers(2, "ends")
    no_axes = "axes" not in call.attributes and isinstance(call.value(3), Missing)
    axes = list(range(len(starts))) if no_axes else call.integers(3, "axes")
    steps = [1] * len(starts) if isinstance(call.value(4), Missing) else call.integers(4, "steps")
    axes = [position(axis, rank) for axis in axes]
    return list(zip(axes, starts, stops, steps, strict=True))


def _gather(call: Call, x: Array) -> Array:
    indices = call.known(1, "indices")
    _check_size(indices.size * max(1, x.size // max(1, x.shape[0] if x.ndim else 1)), x.size)
    return np.take(x, indices, axis=call.attributes.get("axis", 0))


def _cast(call: Call, x: Array) -> Array:
    if x.dtype == object:
        return x
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(call.attributes["to"]))


def _concat(call: Call, *arrays: Array) -> Array:
    return np.concatenate(arrays, call.attributes["axis"])


def _expand(call: Call, x: Array) -> Array:
    target = call.integers(1, "shape")
    out = np.broadcast_shapes(x.shape, tuple(target))
    _check_size(math.prod(out), x.size)
    return np.broadcast_to(x, out)


def _where(call: Call, condition: Array, x: Array, y: Array) -> Array:
    return _binary(np.where)(call, condition, x, y)


def _binary(function: Callable[..., Array]) -> Callable[..., Array]:
    def run(call: Call, *arrays: Array) -> Array:
        out = np.broadcast_shapes(*(array.shape for array in arrays))
        _check_size(math.prod(out), max(array.size for array in arrays))
        return function(*arrays)

    return run


def _divide(x: Array, y: Array) -> Array:
    return x / y if x.dtype.kind == "f" else x // y


def _check_size(size: int, before: int) -> None:
    if size > max(before, SMALL):
        raise Problem("it makes a large constant array out of a small one")


def _product(call: Call, x: Array) -> Array:
    axes = call.axes(1, x.ndim)
    keep = bool(call.attributes.get("keepdims", 1))
    return np.asarray(np.prod(x, None if axes is None else tuple(axes), keepdims=keep))


_FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "Add": _binary(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Div": _binary(_divide),
    "Equal": _binary(np.equal),
    "Expand": _expand,
    "Gather": _gather,
    "Identity": lambda call, x: x,
    "Mul": _binary(np.multiply),
    "Neg": lambda call, x: -x,
    "ReduceProd": _product,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _binary(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}

_OPERANDS = {"Concat": None, "Add": 2, "Div": 2, "Equal": 2, "Mul": 2, "Sub": 2, "Where": 3}
"""How many inputs are arrays; None: all. By default, the first one."""

_MOVES = (
    "Cast",
    "Expand",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""Operators that keep the entries of an array of equal numbers."""


_VIEWS = ("Identity", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that make no copy."""


def fold(call: Call) -> list[Value]:
    """Compute the outputs of a node whose inputs are constants.

    Raises
    ------
    Problem
        If the operator is not one of those that exporters use for constants.
    """
    op, first = call.node.op, call.value(0)
    if isinstance(first, Fill) and op in _MOVES:
        return [first] * len(call.node.outputs)
    if op == "Expand" and isinstance(first, Known) and first.array.size == 1:
        return [_filled(first.array.reshape(-1)[0], call.sizes(1, "shape"))]
    if op == "Expand" and isinstance(first, Known) and first.is_zero:
        return [Fill(0.0)]
    if op == "Split" and isinstance(first, Known):
        return [Known(part) for part in _split(call, first.array)]
    if op in ("Concat", "MatMul", "Add") and any(isinstance(value, Fill) for value in call.inputs):
        return [_with_fill(op, call.inputs)]
    if op not in _FUNCTIONS:
        raise Problem("no layer of bptt does this, and the operator is not computed for constants")
    count = _OPERANDS.get(op, 1)
    arrays = [call.known(k, f"number {k}") for k in range(len(call.inputs) if count is None else count)]
    if op not in _VIEWS:
        call.roles.spend(sum(array.nbytes for array in arrays))
    try:
        with np.errstate(all="ignore"):
            return [Known(np.asarray(_FUNCTIONS[op](call, *arrays)))]
    except (ValueError, IndexError, TypeError, KeyError, ArithmeticError) as error:
        raise Problem(f"its constants do not fit: {error!s:.100}") from None


def _with_fill(op: str, inputs: Sequence[Value]) -> Value:
    fills = {value.value for value in inputs if isinstance(value, Fill)}
    others = [value for value in inputs if not isinstance(value, Fill)]
    if op == "Concat" and len(fills) == 1 and not others:
        return Fill(fills.pop())
    if fills == {0.0}:
        if op == "MatMul" or not others:
            return Fill(0.0)
        if op == "Add":
            return others[0]
    raise Problem("it computes with constants that are not zero")


def _split(call: Call, x: Array) -> list[Array]:
    axis = position(call.attributes.get("axis", 0), x.ndim)
    stops = np.cumsum(split_sizes(call, x.shape[axis]))[:-1]
    return np.split(x, stops, axis)


def split_sizes(call: Call, size: int) -> list[int]:
    """Return the sizes of the parts of a Split."""
    count = len(call.node.outputs)
    if "split" in call.attributes or not isinstance(call.value(1), Missing):
        sizes = call.integers(1, "split")
    else:
        part = -(-size // count)
        sizes = [part] * (count - 1) + [size - part * (count - 1)]
    if sum(sizes) != size or len(sizes) != count or min(sizes, default=0) < 0:
        raise Problem("the sizes of its parts do not fit the axis")
    return sizes
