"""LiteRT: one step per call, as a graph of its operators, in float32 or with int8 weights."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from bptt.bench.peers import NotApplicableError
from bptt.bench.problem import Array, Call, Problem
from bptt.bench.shapes import GATES

schema: Any = import_module("ai_edge_litert.schema_py_generated")
interpreter: Any = import_module("ai_edge_litert.interpreter")
flatbuffers: Any = import_module("flatbuffers")


def streaming(problem: Problem, threads: int) -> Call:
    """Run a step per call. The state of a call is copied to the input of the next call."""
    shape, lstm = problem.case.shape, problem.case.cell == "lstm"
    if shape.layers > 1 or shape.bidirectional:
        raise NotApplicableError("this benchmark streams one layer, one direction")
    session = interpreter.Interpreter(model_content=bytes(_step(problem)), num_threads=threads)
    session.allocate_tensors()
    entries, exits = (
        [session.tensor(detail["index"]) for detail in details]
        for details in (session.get_input_details(), session.get_output_details())
    )
    samples, invoke = list(problem.x), session.invoke

    def run() -> Array:
        for entry in entries[1:]:
            entry()[...] = 0.0
        for sample in samples:
            entries[0]()[...] = sample
            invoke()
            for entry, state in zip(entries[1:], exits, strict=True):
                entry()[...] = state()
        y: Array = exits[0]()
        return y

    assert len(exits) == 1 + lstm
    return Call(run, lambda y: {"y": y.copy()})


def _step(problem: Problem) -> Any:
    """Return a model with the inputs x, h (and c), and the outputs h (and c)."""
    shape, cell = problem.case.shape, problem.case.cell
    B, H = shape.B, shape.H
    weights = [problem.weights[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    graph = _Graph(int8=problem.case.precision == "int8")
    x, h = graph.tensor((B, shape.I)), graph.tensor((B, H))
    if cell == "gru":
        parts = [graph.linear(x, weights[0], weights[2]), graph.linear(h, weights[1], weights[3])]
        (xr, xz, xn), (hr, hz, hn) = (graph.split(part, 3, (B, H)) for part in parts)
        r, z = (graph.unary("LOGISTIC", graph.binary("ADD", *pair)) for pair in ((xr, hr), (xz, hz)))
        n = graph.unary("TANH", graph.binary("ADD", xn, graph.binary("MUL", r, hn)))
        new = graph.binary("ADD", n, graph.binary("MUL", z, graph.binary("SUB", h, n)))
        return graph.model([x, h], [new])
    joined = graph.join(x, h, (B, shape.I + H))
    a = graph.linear(joined, np.concatenate(weights[:2], 1), weights[2] + weights[3])
    if cell == "rnn":
        return graph.model([x, h], [graph.unary("TANH", a)])
    c = graph.tensor((B, H))
    gates = graph.split(a, GATES[cell], (B, H))
    i, f, g, o = (
        graph.unary(name, gate)
        for name, gate in zip(("LOGISTIC", "LOGISTIC", "TANH", "LOGISTIC"), gates, strict=True)
    )
    kept = graph.binary("ADD", graph.binary("MUL", f, c), graph.binary("MUL", i, g))
    return graph.model([x, h, c], [graph.binary("MUL", o, graph.unary("TANH", kept)), kept])


class _Graph:
    """A graph whose tensors are named by their index."""

    def __init__(self, int8: bool) -> None:
        self._int8 = int8
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: list[str] = []
        self._operators: list[Any] = []

    def tensor(self, shape: tuple[int, ...], value: Array | None = None, scale: Array | None = None) -> int:
        """Add a tensor; with a value, a constant."""
        kind = "FLOAT32" if value is None else value.dtype.name.upper()
        entry = schema.TensorT(shape=list(shape), type=getattr(schema.TensorType, kind))
        entry.name = str(len(self._tensors))
        if value is not None:
            entry.buffer = len(self._buffers)
            self._buffers.append(schema.BufferT(data=np.frombuffer(value.tobytes(), np.uint8)))
        if scale is not None:
            entry.quantization = schema.QuantizationParametersT(
                scale=scale, zeroPoint=np.zeros(len(scale), np.int64), quantizedDimension=0
            )
        self._tensors.append(entry)
        return len(self._tensors) - 1

    def linear(self, x: int, weight: Array, bias: Array) -> int:
        """Add a product with a constant weight, with one scale per output if the graph is int8."""
        scale = None
        if self._int8:
            scale = np.abs(weight).max(1) / np.float32(127)
            weight = np.rint(weight / scale[:, None]).astype(np.int8)
        constants = [self.tensor(weight.shape, weight, scale), self.tensor(bias.shape, bias)]
        shape = (self._tensors[x].shape[0], len(bias))
        (result,) = self._add("FULLY_CONNECTED", "FullyConnectedOptions", [x, *constants], [shape])
        return result

    def split(self, x: int, count: int, shape: tuple[int, int]) -> list[int]:
        """Split the columns."""
        axis = self.tensor((), np.array(1, np.int32))
        return self._add("SPLIT", "SplitOptions", [axis, x], [shape] * count, numSplits=count)

    def join(self, x: int, h: int, shape: tuple[int, int]) -> int:
        """Join the columns."""
        return self._add("CONCATENATION", "ConcatenationOptions", [x, h], [shape], axis=1)[0]

    def unary(self, code: str, x: int) -> int:
        """Add LOGISTIC or TANH."""
        return self._add(code, "", [x], [self._tensors[x].shape])[0]

    def binary(self, code: str, a: int, b: int) -> int:
        """Add ADD, SUB or MUL."""
        return self._add(code, f"{code.title()}Options", [a, b], [self._tensors[a].shape])[0]

    def model(self, inputs: list[int], outputs: list[int]) -> Any:
        """Return the model as bytes."""
        codes = [getattr(schema.BuiltinOperator, code) for code in self._codes]
        graph = schema.SubGraphT(self._tensors, inputs, outputs, self._operators)
        model = schema.ModelT(
            version=3,
            operatorCodes=[schema.OperatorCodeT(code, builtinCode=code) for code in codes],
            subgraphs=[graph],
            buffers=self._buffers,
        )
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        return builder.Output()

    def _add(
        self, code: str, options: str, inputs: list[int], shapes: list[tuple[int, ...]], **values: int
    ) -> list[int]:
        if code not in self._codes:
            self._codes.append(code)
        outputs = [self.tensor(shape) for shape in shapes]
        entry = schema.OperatorT(self._codes.index(code), inputs, outputs)
        if options:
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            entry.builtinOptions = getattr(schema, options + "T")(**values)
        self._operators.append(entry)
        return outputs
