"""Operators that select steps, directions and states, or reduce axes."""

from __future__ import annotations

from dataclasses import replace

from bptt.interop.onnx.reading.axes import Dim, Problem, Size, is_unit, same, size_of, wide
from bptt.interop.onnx.reading.calls import Call, one_axis, position, without
from bptt.interop.onnx.reading.constants import slices, split_sizes
from bptt.interop.onnx.reading.recurrent import finals
from bptt.interop.onnx.reading.values import (
    Direction,
    Finals,
    Flipped,
    Flow,
    Input,
    InputRows,
    Known,
    Plain,
    Recurrent,
    Reduced,
    Step,
    Value,
)

_FAR = 2**31 - 1
"""A limit from which exporters mean "to the end"."""


def slice_(call: Call) -> list[Value]:
    flow = call.flow()
    for axis, start, stop, step in slices(call, len(flow.dims)):
        flow = _slice_axis(call, flow, axis, start, stop, step)
    return [flow]


def gather(call: Call) -> list[Value]:
    indices = call.value(1)
    if isinstance(call.value(0), Known):
        return [_embedding(call)]
    flow = call.flow()
    axis = position(call.attributes.get("axis", 0), len(flow.dims))
    if not isinstance(indices, Known) or indices.array.size != 1 or indices.array.dtype.kind != "i":
        raise Problem("its indices must be one number, or its data an initializer")
    index, dim = int(indices.array.reshape(-1)[0]), flow.dims[axis]
    size = size_of(dim)
    if isinstance(size, int) and not -size <= index < size:
        raise Problem(f"its index is {index}, and the axis has {size} entries")
    first = index % size if isinstance(size, int) else index
    if not is_unit(dim) or dim == call.roles.time:
        flow = _select(call, flow, axis, first, first + 1)
    return [Flow(flow.step, without(flow.dims, [axis]) if indices.array.ndim == 0 else flow.dims)]


def split(call: Call) -> list[Value]:
    flow = call.flow()
    axis = position(call.attributes.get("axis", 0), len(flow.dims))
    size = size_of(flow.dims[axis])
    if not isinstance(size, int):
        raise Problem("it splits an axis of unknown size")
    parts, start = [], 0
    for part in split_sizes(call, size):
        parts.append(_slice_axis(call, flow, axis, start, start + part, 1))
        start += part
    return list(parts)


def _embedding(call: Call) -> Flow:
    table, flow = call.known(0, "data"), call.flow(1)
    step = flow.step
    if table.ndim != 2 or table.dtype.kind != "f" or 0 in table.shape or call.attributes.get("axis", 0):
        raise Problem("its data must be a table of floats, and its axis 0, to be an Embedding")
    if not (isinstance(step, Input) and step.integer):
        raise Problem("its indices must be an input of the model")
    features = one_axis("features", table.shape[1])
    arguments = {"num_embeddings": table.shape[0], "embedding_dim": table.shape[1]}
    layer = Plain(step, step.lead, features, call.node, "Embedding", arguments, {"weight": table})
    return Flow(layer, (*flow.dims, features))


def _slice_axis(call: Call, flow: Flow, axis: int, start: int, stop: int, step: int) -> Flow:
    size = size_of(flow.dims[axis])
    if isinstance(size, int):
        first, end, step = slice(start, None if step < 0 and stop < -size else stop, step).indices(size)
        everything = (first, end) == ((0, size) if step > 0 else (size - 1, -1))
    else:
        first, end = start, stop
        everything = (start == 0 and stop >= _FAR) if step > 0 else (start in (-1, _FAR) and stop <= -_FAR)
        end = start + 1 if start == -1 and stop >= _FAR else end
    if everything and step in (1, -1):
        return flow if step == 1 or size == 1 else Flow(_flip(call, flow, axis), flow.dims)
    if step != 1 or end <= first or (not isinstance(size, int) and end != first + 1):
        raise Problem("it selects a part that is neither one step, nor one direction, nor one state")
    return _select(call, flow, axis, first, end)


def _flip(call: Call, flow: Flow, axis: int) -> Step:
    _require_time(call, flow, axis)
    step = flow.step
    if isinstance(step, Flipped) and step.source is not None:
        return step.source
    return Flipped(step, step.lead, step.features, call.node)


def _select(call: Call, flow: Flow, axis: int, first: int, end: int) -> Flow:
    step, dims, name = flow.step, list(flow.dims), call.node
    dim, size = dims[axis], size_of(dims[axis])
    if isinstance(step, Finals) and len(step.rows) > 1:
        by_row = same(dim, step.features[:-1])
        width = 1 if by_row else step.features[-1].size
        if width and (by_row or same(dim, step.features)):
            if first % width or end % width:
                raise Problem("it selects a part of a state")
            part = finals(step.rows[first // width : end // width], name)
            dims[axis] = part.features[:-1] if by_row else part.features
            return Flow(part, tuple(part.features[-1:] if same(d, step.features[-1:]) else d for d in dims))
    half = _half(call, step, dim, first, end)
    if half is not None:
        dims[axis] = half[1]
        return Flow(half[0], tuple(dims))
    if isinstance(step, Input) and axis == 0 and not (call.roles.time and same(dim, call.roles.time)):
        return Flow(
            InputRows(step, (), step.features, name, first, end), (one_axis("rows", end - first), *dims[1:])
        )
    _require_time(call, flow, axis)
    dims[axis] = ()
    return Flow(_at(call, step, -1 if end == size else first, size), tuple(dims))


def _half(call: Call, step: Step, dim: Dim, first: int, end: int) -> tuple[Step, Dim] | None:
    """Return the selected direction of a bidirectional layer, and the dimension that is left of it."""
    layer = step.source if isinstance(step, Reduced) and isinstance(step.how, int) else step
    if not isinstance(layer, Recurrent) or not layer.directions:
        return None
    rest: Dim = ()
    if same(dim, layer.directions):
        width = 1
    elif same(dim, layer.features):
        width, rest = layer.units.size or 1, (layer.units,)
    else:
        return None
    if end - first != width or first % width:
        raise Problem("it selects a part of a direction")
    half: Step = Direction(layer, layer.lead, (layer.units,), call.node, first // width)
    if isinstance(step, Reduced) and isinstance(step.how, int):
        half = _at(call, half, step.how, None)
    return half, rest


def _at(call: Call, step: Step, index: int, size: int | Size | None) -> Step:
    """Return one step of a sequence of `size` steps: a final state, if it is one. -1 is the last step."""
    name = call.node
    if isinstance(step, Flipped) and step.source is not None:
        if index not in (0, -1) and not isinstance(size, int):
            raise Problem("it selects a step in the middle of a sequence")
        index = -1 - index if index in (0, -1) else size - 1 - index  # type: ignore[operator]
        return _at(call, step.source, index, size)
    half = isinstance(step, Direction)
    layer = step.source if half else step
    if isinstance(layer, Recurrent) and (half or not layer.arguments.get("bidirectional")):
        row = step.index if isinstance(step, Direction) else 0
        backward = bool(row) or layer.arguments.get("reverse", False)
        if index == (0 if backward else -1):
            return finals(((layer, "h", row),), name)
    lead = _lead_without_time(call, step)
    if isinstance(step, Plain) and step.kind != "Embedding" and step.source is not None:
        return replace(step, source=_at(call, step.source, index, size), lead=lead)
    return Reduced(step, lead, step.features, name, index)


def _lead_without_time(call: Call, step: Step) -> Dim:
    time = wide(call.roles.time or ())
    return tuple(axis for axis in step.lead if axis not in time)


def _require_time(call: Call, flow: Flow, axis: int) -> None:
    """Raise Problem if an axis is not the time axis of a sequence without padding."""
    dim = flow.dims[axis]
    if call.roles.time is None:
        whole = call.whole()
        others = [other for k, other in enumerate(whole.dims[:-1]) if k != axis]
        if axis == len(whole.dims) - 1 or len(others) > 1:
            raise Problem("it works on an axis that is not time")
        call.roles.set(dim, others[0] if others else ())
    elif not same(dim, call.roles.time) or not dim:
        raise Problem("it works on an axis that is not time")
    if call.roles.ragged:
        raise Problem(
            "it reads the padding of rows of unequal length. Fix: use the output Y_h of the last layer"
        )


_MERGES = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceProd": "mul"}
_POOLS = {"ReduceMean": "mean", "ReduceMax": "max"}


def reduce(call: Call) -> list[Value]:
    flow, op = call.flow(), call.node.op
    step = flow.step
    axes = call.axes(1, len(flow.dims))
    if not axes or len(axes) != 1:
        raise Problem("it reduces several axes, or none")
    dims = list(flow.dims)
    dim = dims[axes[0]]
    result: Step
    if isinstance(step, Recurrent) and step.directions and same(dim, step.directions) and op in _MERGES:
        result = merged(step, _MERGES[op])
    elif op == "ReduceMean" and axes[0] == len(dims) - 1:
        raise Problem(
            "it works on an axis that is not time. Fix: if it is part of a layer norm, export the model with "
            "version 17 of the operators or later, which has LayerNormalization"
        )
    elif op in _POOLS:
        _require_time(call, flow, axes[0])
        result = Reduced(step, _lead_without_time(call, step), step.features, call.node, _POOLS[op])
    else:
        raise Problem("no layer of bptt does this")
    dims[axes[0]] = ()
    keep = call.attributes.get("keepdims", 1)
    return [Flow(result, tuple(dims) if keep else without(dims, axes))]


def merged(layer: Recurrent, how: str) -> Recurrent:
    """Return a layer that joins the outputs of its two directions element by element."""
    return replace(layer, arguments=layer.arguments | {"merge": how}, directions=(), features=(layer.units,))
