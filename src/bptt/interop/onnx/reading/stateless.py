"""Operators that are layers without time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from bptt.interop.onnx.reading.axes import Axis, Problem, same, size_of
from bptt.interop.onnx.reading.calls import Call, one_axis, position
from bptt.interop.onnx.reading.elementwise import binary
from bptt.interop.onnx.reading.joining import both_directions
from bptt.interop.onnx.reading.moves import same_lead
from bptt.interop.onnx.reading.selection import merged
from bptt.interop.onnx.reading.unrolled import cell_input
from bptt.interop.onnx.reading.values import (
    Fill,
    Flow,
    Known,
    Missing,
    Plain,
    Recurrent,
    Value,
    is_zero,
    require_layer,
)


def gelu(call: Call) -> list[Value]:
    if call.attributes.get("approximate", "none") != "none":
        raise Problem("it is the approximation of GELU with tanh, which bptt does not have")
    return [_plain(call, call.floats(), "GELU")]


def softmax(call: Call) -> list[Value]:
    flow = call.whole()
    axis = position(call.attributes.get("axis", -1 if call.opset >= 13 else 1), len(flow.dims))
    if axis != len(flow.dims) - 1:
        raise Problem("it is not over the last axis")
    return [_plain(call, flow, "Softmax")]


def _plain(call: Call, flow: Flow, kind: str) -> Flow:
    require_layer(flow.step)
    step = flow.step
    return Flow(Plain(step, step.lead, step.features, call.node, kind, {}, {}), flow.dims)


def gemm(call: Call) -> list[Value]:
    attributes = call.attributes
    if attributes.get("transA", 0):
        raise Problem("it transposes its input")
    weight = _matrix(call, 1, "B")
    weight = weight if attributes.get("transB", 0) else weight.T
    weight = _scaled(weight, attributes.get("alpha", 1.0))
    bias = None
    if not is_zero(call.value(2)):
        bias = _scaled(_row(call.known(2, "C"), len(weight)), attributes.get("beta", 1.0))
    return [_linear(call, call.whole(), weight, bias)]


def matmul(call: Call) -> list[Value]:
    return [_linear(call, call.whole(), _matrix(call, 1, "B").T, None)]


def _matrix(call: Call, index: int, name: str) -> Any:
    matrix = call.known(index, name)
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or 0 in matrix.shape:
        raise Problem(f"its input {name} must be a matrix of floats; got shape {matrix.shape}")
    return matrix


def _scaled(array: Any, factor: float) -> Any:
    return array if factor == 1.0 else (array * factor).astype(array.dtype)


def _linear(call: Call, flow: Flow, weight: Any, bias: Any) -> Flow:
    call.floats()
    width = size_of(flow.dims[-1])
    if isinstance(width, int) and width != weight.shape[1]:
        raise Problem(f"its matrix is for {weight.shape[1]} inputs; got {width}")
    outputs, inputs = weight.shape
    features = one_axis("features", outputs)
    parameters = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    arguments = {"in_features": inputs, "out_features": outputs, "bias": bias is not None}
    step = flow.step
    layer = Plain(step, step.lead, features, call.node, "Linear", arguments, parameters)
    return Flow(layer, (*flow.dims[:-1], features))


def _row(array: Any, width: int) -> Any:
    """Return a bias as a vector. A single number is repeated."""
    if array.size not in (1, width) or (array.size and array.shape[-1:] not in ((), (array.size,))):
        raise Problem(f"it adds an array of shape {array.shape} to {width} features")
    return np.broadcast_to(array.reshape(-1), (width,))


def add(call: Call) -> list[Value]:
    first, second = call.value(0), call.value(1)
    if isinstance(first, Flow) and isinstance(second, Flow):
        result = cell_input(first, second, call.node) or binary(call)
        return [result or _merge(first, second, "sum")]
    flow, other = (first, second) if isinstance(first, Flow) else (second, first)
    if not isinstance(flow, Flow) or not isinstance(other, (Known, Fill)):
        raise Problem("one of its inputs must depend on the model's input")
    rank = len(other.shape) if isinstance(other, Known) else 0
    dims = ((),) * max(0, rank - len(flow.dims)) + flow.dims
    if is_zero(other):
        return [Flow(flow.step, dims)]
    step = flow.step
    if not (isinstance(step, Plain) and step.kind == "Linear"):
        if (function := binary(call)) is not None:
            return [function]
        require_layer(step)
        raise Problem("it adds a constant to something else than a product with a matrix")
    if not same(flow.dims[-1], step.features):
        raise Problem("it adds a constant along another axis than the last one")
    weight = step.parameters["weight"]
    if isinstance(other, Known):
        call.roles.spend(other.array.nbytes)
    constant = np.full(1, other.value, weight.dtype) if isinstance(other, Fill) else _equal_rows(other.array)
    bias = _row(constant, len(weight))
    if "bias" in step.parameters:
        bias = step.parameters["bias"] + bias
    arguments, parameters = step.arguments | {"bias": True}, step.parameters | {"bias": bias}
    return [Flow(replace(step, arguments=arguments, parameters=parameters), dims)]


def _equal_rows(array: Any) -> Any:
    """Return the last axis of an array whose rows are equal, as for a constant state."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    return rows[0] if len(rows) and (rows == rows[:1]).all() else array


def multiply(call: Call) -> list[Value]:
    first, second = call.value(0), call.value(1)
    flow, other = (first, second) if isinstance(first, Flow) else (second, first)
    result = _half(flow, other, 0.5) or binary(call)
    if result is None and isinstance(first, Flow) and isinstance(second, Flow):
        return [_merge(first, second, "mul")]
    return [result or _refuse(first, second)]


def divide(call: Call) -> list[Value]:
    result = _half(call.value(0), call.value(1), 2.0) or binary(call)
    return [result or _refuse(call.value(0), call.value(1))]


def subtract(call: Call) -> list[Value]:
    return [binary(call) or _refuse(call.value(0), call.value(1))]


def _half(flow: Value, other: Value, number: float) -> Flow | None:
    """Return the mean of two directions, if a sum of them is multiplied by 0.5 or divided by 2."""
    if isinstance(flow, Flow) and isinstance(other, Known) and other.array.size == 1:
        step = flow.step
        is_sum = isinstance(step, Recurrent) and step.arguments.get("merge") == "sum"
        if isinstance(step, Recurrent) and is_sum and float(other.array.reshape(-1)[0]) == number:
            return Flow(merged(step, "mean"), flow.dims)
    return None


def _refuse(*values: Value) -> NoReturn:
    for value in values:
        if isinstance(value, Flow):
            require_layer(value.step)
    raise Problem("no layer of bptt computes this of the outputs of a layer")


def _merge(first: Flow, second: Flow, how: str) -> Flow:
    layer = both_directions(first.step, second.step)
    if layer is None or not same_lead(first, second):
        raise Problem("it computes with outputs of two layers, and no model of bptt does this")
    units: tuple[Axis, ...] = (layer.units,)
    return Flow(merged(layer, how), (*first.dims[:-1], units))


def layer_norm(call: Call) -> list[Value]:
    flow = call.whole()
    if position(call.attributes.get("axis", -1), len(flow.dims)) != len(flow.dims) - 1:
        raise Problem("it normalises more than the last axis")
    call.floats()
    weight = call.known(1, "Scale").reshape(-1)
    width = size_of(flow.dims[-1])
    if weight.size == 0 or (isinstance(width, int) and weight.size not in (1, width)):
        raise Problem(f"its Scale has {weight.size} numbers for {width} features")
    parameters = {"weight": weight}
    if not isinstance(call.value(2), Missing):
        parameters["bias"] = _row(call.known(2, "B"), weight.size)
    arguments = {
        "normalized_shape": weight.size,
        "eps": call.attributes.get("epsilon", 1e-5),
        "bias": "bias" in parameters,
    }
    step = flow.step
    layer = Plain(step, step.lead, step.features, call.node, "LayerNorm", arguments, parameters)
    return [Flow(layer, flow.dims), *[Missing()] * (len(call.node.outputs) - 1)]
