"""Functions of each element that exporters write as several operators.

GELU may be five operators and SiLU two. The functions are composed, and each result is compared with the
functions of bptt's layers at many points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from bptt.interop.onnx.reading.calls import Call
from bptt.interop.onnx.reading.values import Fill, Flow, Function, Input, Known, Plain, Step, Value

Array = npt.NDArray[np.float64]

_POINTS = np.concatenate([np.linspace(-12.0, 12.0, 193), np.array([-80.0, -30.0, 30.0, 80.0])])
_TOLERANCE = 1e-5
"""Constants of a file are float32, and the square root of 2 in it is one of them."""


def _erf(x: Array) -> Array:
    return np.array([math.erf(value) for value in x])


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Erf": _erf,
    "Exp": np.exp,
    "Neg": np.negative,
    "Relu": lambda x: np.maximum(x, 0.0),
    "Sigmoid": _sigmoid,
    "Swish": lambda x: x * _sigmoid(x),
    "Tanh": np.tanh,
}
BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Div": np.divide,
    "Mul": np.multiply,
    "Sub": np.subtract,
}
LAYERS: Mapping[str, Callable[[Array], Array]] = {
    "Tanh": np.tanh,
    "ReLU": UNARY["Relu"],
    "Sigmoid": _sigmoid,
    "GELU": lambda x: 0.5 * x * (1.0 + _erf(x * math.sqrt(0.5))),
    "SiLU": UNARY["Swish"],
}
"""The layers with a function of each element."""
_VALUES = {name: function(_POINTS) for name, function in LAYERS.items()}


_DIRECT = {"Relu": "ReLU", "Sigmoid": "Sigmoid", "Swish": "SiLU", "Tanh": "Tanh"}


def unary(call: Call) -> list[Value]:
    flow = call.floats()
    source, values = _values_of(flow.step)
    if values is _POINTS and call.node.op in _DIRECT:
        return [_layer(call, flow, source, _DIRECT[call.node.op])]
    with np.errstate(all="ignore"):
        return [_result(call, flow, source, UNARY[call.node.op](values))]


def binary(call: Call) -> Flow | None:
    """Return a function of one step, if both inputs are functions of it, or one is a number."""
    function = BINARY[call.node.op]
    first, second = call.value(0), call.value(1)
    if isinstance(first, Flow) and isinstance(second, Flow):
        common = _common(first.step, second.step)
        if common is None or first.dims != second.dims or _is_integer(first.step):
            return None
        source, one, other = common
        with np.errstate(all="ignore"):
            return _result(call, first, source, function(one, other))
    flow, constant = (first, second) if isinstance(first, Flow) else (second, first)
    number = _number(constant)
    if number is None or not isinstance(flow, Flow) or _is_integer(flow.step):
        return None
    source, values = _values_of(flow.step)
    one, other = (values, number) if isinstance(first, Flow) else (number, values)
    with np.errstate(all="ignore"):
        return _result(call, flow, source, function(one, other))


def _number(value: Value) -> Array | None:
    if isinstance(value, Fill):
        return np.array(value.value)
    if isinstance(value, Known) and math.prod(value.shape) == 1 and value.array.dtype.kind == "f":
        return value.array.reshape(()).astype(np.float64)
    return None


def _is_integer(step: Step) -> bool:
    return isinstance(step, Input) and step.integer


def _values_of(step: Step) -> tuple[Step, Array]:
    """Return a step, and the values of a function of it."""
    if isinstance(step, Function) and step.source is not None:
        return step.source, step.values
    return step, _POINTS


def _common(first: Step, second: Step) -> tuple[Step, Array, Array] | None:
    """Return the step that both steps are functions of, and the values of these functions."""
    forms = [[_values_of(step), (step, _POINTS), *_of_layer(step)] for step in (first, second)]
    for source, one in forms[0]:
        for other_source, other in forms[1]:
            if source is other_source:
                return source, one, other
    return None


def _of_layer(step: Step) -> list[tuple[Step, Array]]:
    if isinstance(step, Plain) and step.kind in _VALUES and step.source is not None:
        return [(step.source, _VALUES[step.kind])]
    return []


def _result(call: Call, flow: Flow, source: Step, values: Array) -> Flow:
    for kind, expected in _VALUES.items():
        if _close(values, expected):
            return _layer(call, flow, source, kind)
    if _close(values, _POINTS):
        return Flow(source, flow.dims)
    return Flow(Function(source, source.lead, source.features, call.node, values), flow.dims)


def _layer(call: Call, flow: Flow, source: Step, kind: str) -> Flow:
    return Flow(Plain(source, source.lead, source.features, call.node, kind, {}, {}), flow.dims)


def _close(values: Array, expected: Array) -> bool:
    return bool((np.abs(values - expected) <= _TOLERANCE * (1.0 + np.abs(expected))).all())
