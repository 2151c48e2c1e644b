"""Operators that join directions, and states of several layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bptt.interop.onnx.reading.axes import Problem, is_unit, same
from bptt.interop.onnx.reading.calls import Call, one_axis, position
from bptt.interop.onnx.reading.moves import same_lead
from bptt.interop.onnx.reading.recurrent import finals
from bptt.interop.onnx.reading.unrolled import final_state, is_state, sequence
from bptt.interop.onnx.reading.values import Direction, Finals, Flow, Recurrent, Step, Value


def concat(call: Call) -> list[Value]:
    flows = [call.flow(index) for index in range(len(call.inputs))]
    axis = position(call.attributes["axis"], len(flows[0].dims))
    if len(flows) == 1:
        return list(flows)
    if len({len(flow.dims) for flow in flows}) > 1:
        raise Problem("its inputs have different numbers of axes")
    joined = sequence(flows, axis, call.roles)
    if joined is None:
        flows = [_with_state(flow, call) for flow in flows]
        joined = _states(flows, axis, call.node) or _directions(flows, axis)
    if joined is None:
        raise Problem("it joins outputs of different layers. Fix: bptt.Parallel is such a model")
    return [joined]


def _with_state(flow: Flow, call: Call) -> Flow:
    """Replace the last state of an unrolled recurrence by the final state of a layer."""
    if not is_state(flow.step):
        return flow
    final = final_state(flow.step, call.roles)
    return Flow(final, (*flow.dims[:-1], final.features))


def _states(flows: Sequence[Flow], axis: int, name: object) -> Flow | None:
    steps = [flow.step for flow in flows if isinstance(flow.step, Finals)]
    if len(steps) < len(flows):
        return None
    joined = finals(tuple(row for step in steps for row in step.rows), name)
    if len({step.features[-1].size for step in steps}) > 1:
        return None
    last = len(flows[0].dims) - 1
    dims = list(flows[0].dims)
    if axis == last and all(same(flow.dims[axis], flow.step.features) for flow in flows):
        if not all(same_lead(flows[0], flow) for flow in flows):
            return None
        dims[axis] = joined.features
    elif all(
        same(flow.dims[axis], flow.step.features[:-1]) and same(flow.dims[-1], flow.step.features[-1:])
        for flow in flows
    ):
        dims[axis], dims[-1] = joined.features[:-1], joined.features[-1:]
    else:
        return None
    return Flow(joined, tuple(dims))


def _directions(flows: Sequence[Flow], axis: int) -> Flow | None:
    if len(flows) != 2 or not same_lead(*flows):
        return None
    layer = both_directions(flows[0].step, flows[1].step)
    if layer is None:
        return None
    dims = list(flows[0].dims)
    if not same(dims[-1], flows[0].step.features):
        return None
    if axis == len(dims) - 1:
        dims[-1] = layer.features
    elif is_unit(dims[axis]) and len(dims) == 4:
        dims[axis], dims[-1] = layer.directions, (layer.units,)
    else:
        return None
    return Flow(layer, tuple(dims))


def both_directions(first: Step, second: Step) -> Recurrent | None:
    """Return the layer whose directions are these two steps, if there is one."""
    if isinstance(first, Direction) and isinstance(second, Direction):
        layer = first.source
        if isinstance(layer, Recurrent) and layer is second.source and (first.index, second.index) == (0, 1):
            return layer
    if isinstance(first, Recurrent) and isinstance(second, Recurrent):
        return pair(first, second)
    return None


def pair(first: Recurrent, second: Recurrent) -> Recurrent | None:
    """Make one layer of two layers that read the same input, one from its start and one from its end."""
    if id(second) in first.partners:
        return first.partners[id(second)]
    alike = (
        first.source is second.source
        and first.kind == second.kind
        and second.arguments == first.arguments | {"reverse": True}
        and "bidirectional" not in first.arguments
        and first.weights.hidden_size == second.weights.hidden_size
        and first.weights.bias == second.weights.bias
        and first.weights.coupled == second.weights.coupled
        and first.weights.dtype == second.weights.dtype
        and first.lengths == second.lengths
        and not any(first.initial + second.initial)
    )
    if not alike or "reverse" in first.arguments:
        return None
    directions = one_axis("directions", 2)
    weights = replace(first.weights, directions=first.weights.directions + second.weights.directions)
    layer = replace(
        first,
        arguments=first.arguments | {"bidirectional": True},
        weights=weights,
        directions=directions,
        features=(*directions, first.units),
        partners={},
    )
    first.partners[id(second)] = second.partners[id(layer)] = layer
    return layer
