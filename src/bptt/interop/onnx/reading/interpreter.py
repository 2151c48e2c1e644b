"""Follow the values of a graph from its inputs to its outputs, without computing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import onnx

from bptt.interop.onnx.errors import OnnxError
from bptt.interop.onnx.reading import constants, elementwise, joining, moves, recurrent, selection, stateless
from bptt.interop.onnx.reading.axes import Axis, Problem
from bptt.interop.onnx.reading.calls import Call, Operator, Roles
from bptt.interop.onnx.reading.graph import Graph, Node
from bptt.interop.onnx.reading.tensors import type_name
from bptt.interop.onnx.reading.values import (
    Finals,
    Flow,
    Input,
    Known,
    Missing,
    Plain,
    Recurrent,
    Unsupported,
    Value,
)

AXES_LIMIT = 16
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
WHOLE = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)

_ALWAYS: Mapping[str, Operator] = {
    "Constant": constants.constant,
    "ConstantOfShape": constants.constant_of_shape,
    "Shape": constants.shape,
}
_FLOWS: Mapping[str, Operator] = {
    "Add": stateless.add,
    "Cast": moves.cast,
    "Concat": joining.concat,
    "Div": stateless.divide,
    "Dropout": moves.dropout,
    "Expand": moves.expand,
    "Flatten": moves.flatten,
    "Gather": selection.gather,
    "Gelu": stateless.gelu,
    "Gemm": stateless.gemm,
    "Identity": moves.identity,
    "LayerNormalization": stateless.layer_norm,
    "MatMul": stateless.matmul,
    "Mul": stateless.multiply,
    "ReduceMax": selection.reduce,
    "ReduceMean": selection.reduce,
    "ReduceProd": selection.reduce,
    "ReduceSum": selection.reduce,
    "Reshape": moves.reshaped,
    "Slice": selection.slice_,
    "Softmax": stateless.softmax,
    "Split": selection.split,
    "Squeeze": moves.squeeze,
    "Sub": stateless.subtract,
    "Transpose": moves.transpose,
    "Unsqueeze": moves.unsqueeze,
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
}


class Interpreter:
    """The values of a graph.

    Parameters
    ----------
    graph : Graph
    clip_mode : {"onnxruntime", "spec"}
    budget : int
        Bytes of constants that may be computed.

    Attributes
    ----------
    problems : list of str
        One text for each node that no layer can represent.
    roles : Roles
    before : str
        An output of a layer that the first of these nodes reads; "" if there is none.
    """

    def __init__(self, graph: Graph, clip_mode: str, budget: int) -> None:
        self._graph = graph
        self._values: dict[str, Value] = {"": Missing()}
        self.problems: list[str] = []
        self.before = ""
        self.roles = Roles(budget)
        cells = dict.fromkeys(("RNN", "LSTM", "GRU"), partial(recurrent.recurrent, clip_mode=clip_mode))
        self._operators: Mapping[str, Operator] = {**_FLOWS, **cells}

    def run(self, outputs: Sequence[str]) -> list[Value]:
        """Return the values of these outputs."""
        for node in self._graph.before(outputs):
            inputs = [self._value(name) for name in node.inputs]
            values: Sequence[Value]
            if any(isinstance(value, Unsupported) for value in inputs):
                values = []
            else:
                values = self._run(node, inputs)
            padding: list[Value] = [Unsupported()] * (len(node.outputs) - len(values))
            self._values.update(
                (name, value) for name, value in zip(node.outputs, [*values, *padding], strict=False) if name
            )
        return [self._value(name) for name in outputs]

    def _run(self, node: Node, inputs: Sequence[Value]) -> Sequence[Value]:
        try:
            values = self._operator(node, inputs)(Call(node, inputs, self._graph.opset, self.roles))
            if any(isinstance(value, Flow) and len(value.dims) > AXES_LIMIT for value in values):
                raise Problem(f"its output has more than {AXES_LIMIT} axes")
            return values
        except Problem as problem:
            self.problems.append(f"{node}: {problem}")
            self.before = self.before or next(filter(None, map(self._layer_output, node.inputs)), "")
        except RecursionError:
            self.problems.append(f"{node}: there are too many layers before it")
        except OnnxError:
            raise
        except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
            # A forged attribute has another type than the operator's specification says, or is missing.
            self.problems.append(f"{node}: its attributes do not fit the operator ({error!s:.80})")
        return []

    def _operator(self, node: Node, inputs: Sequence[Value]) -> Operator:
        if node.domain:
            raise Problem(
                "bptt reads only the standard operators of ONNX. Fix: if it is a function of the model, pass "
                "the result of onnx.inliner.inline_local_functions"
            )
        if node.op in _ALWAYS:
            return _ALWAYS[node.op]
        if any(isinstance(value, Flow) for value in inputs):
            if node.op not in self._operators:
                raise Problem("no layer of bptt does this")
            return self._operators[node.op]
        if node.op in ("RNN", "LSTM", "GRU"):
            raise Problem("its input X does not depend on the model's input")
        return constants.fold

    def _layer_output(self, name: str) -> str:
        """Return the name of a value if it is the output of a layer, otherwise ""."""
        value = self._values.get(name)
        return name if isinstance(value, Flow) and isinstance(value.step, (Plain, Recurrent, Finals)) else ""

    def _value(self, name: str) -> Value:
        if name not in self._values:
            graph = self._graph
            if name in graph.constants:
                self._values[name] = Known(graph.constants[name])
            else:
                self._values[name] = _input(name, graph.inputs[name])
        return self._values[name]


def _input(name: str, info: Any) -> Flow:
    tensor = info.type.tensor_type
    if tensor.elem_type not in FLOATS + WHOLE:
        raise OnnxError(
            f"has the input {name!r:.60} of type {type_name(tensor.elem_type)}; bptt reads FLOAT and DOUBLE, "
            "and INT32 and INT64 for ids. Fix: convert the model to float32"
        )
    if len(tensor.shape.dim) > AXES_LIMIT:
        raise OnnxError(f"has the input {name!r:.60} with more than {AXES_LIMIT} axes")
    if not tensor.HasField("shape"):
        raise OnnxError(
            f"has the input {name!r:.60} without a shape. Fix: name its axes when you export the model"
        )
    sizes = [entry.dim_value if entry.HasField("dim_value") else None for entry in tensor.shape.dim]
    if any(size is not None and size < 0 for size in sizes):
        raise OnnxError(f"has the input {name!r:.60} with a negative size")
    axes = tuple(Axis(f"axis {k} of {name}", size or None) for k, size in enumerate(sizes))
    integer = tensor.elem_type in WHOLE
    lead, features = (axes, ()) if integer or not axes else (axes[:-1], axes[-1:])
    dims = tuple((axis,) for axis in axes)
    return Flow(Input(None, lead, features, name, integer), dims)
