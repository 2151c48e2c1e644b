"""Operators that move the axes of a layer's outputs, or keep them."""

from __future__ import annotations

import onnx

from bptt.interop.onnx.reading.axes import Problem, is_unit, reshape, same, size_of
from bptt.interop.onnx.reading.calls import Call, position, without
from bptt.interop.onnx.reading.values import Flow, Input, Missing, Value

_WHOLE = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def transpose(call: Call) -> list[Value]:
    flow = call.flow()
    order = call.attributes.get("perm", range(len(flow.dims))[::-1])
    if sorted(order) != list(range(len(flow.dims))):
        raise Problem("its perm does not fit the axes of its input")
    return [Flow(flow.step, tuple(flow.dims[axis] for axis in order))]


def reshaped(call: Call) -> list[Value]:
    flow = call.flow()
    empty = bool(call.attributes.get("allowzero"))
    return [Flow(flow.step, reshape(flow.dims, call.sizes(1, "shape"), empty))]


def squeeze(call: Call) -> list[Value]:
    flow = call.flow()
    axes = call.axes(1, len(flow.dims))
    if axes is None:
        axes = [axis for axis, dim in enumerate(flow.dims) if is_unit(dim)]
    return [Flow(flow.step, without(flow.dims, axes))]


def unsqueeze(call: Call) -> list[Value]:
    flow = call.flow()
    given = call.integers(1, "axes")
    rank = len(flow.dims) + len(given)
    dims = list(flow.dims)
    for axis in sorted(position(axis, rank) for axis in given):
        dims.insert(axis, ())
    return [Flow(flow.step, tuple(dims))]


def flatten(call: Call) -> list[Value]:
    flow = call.flow()
    axis = call.attributes.get("axis", 1)
    axis = axis + len(flow.dims) if axis < 0 else axis
    before, after = flow.dims[:axis], flow.dims[axis:]
    return [Flow(flow.step, (sum(before, ()), sum(after, ())))]


def identity(call: Call) -> list[Value]:
    flow = call.flow()
    return [flow, *[Missing()] * (len(call.node.outputs) - 1)]


def dropout(call: Call) -> list[Value]:
    training = call.value(2)
    if not isinstance(training, Missing) and call.known(2, "training_mode").any():
        raise Problem("it drops values at inference. Fix: export the model in evaluation mode")
    return identity(call)


def cast(call: Call) -> list[Value]:
    flow = call.flow()
    whole = isinstance(flow.step, Input) and flow.step.integer
    if call.attributes.get("to") not in (_WHOLE if whole else _FLOATS):
        raise Problem("it changes the type of a layer's outputs")
    return [flow]


def expand(call: Call) -> list[Value]:
    flow = call.flow()
    target = call.sizes(1, "shape")
    if len(target) > len(flow.dims):
        raise Problem("it repeats a layer's outputs")
    for dim, size in zip(flow.dims[::-1], target[::-1], strict=False):
        if size not in (1, size_of(dim)):
            raise Problem("it repeats a layer's outputs")
    return [flow]


def same_lead(first: Flow, second: Flow) -> bool:
    """Return whether two arrays have the same dimensions except the last one."""
    return len(first.dims) == len(second.dims) and all(
        same(one, other) for one, other in zip(first.dims[:-1], second.dims[:-1], strict=True)
    )
