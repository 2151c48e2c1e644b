"""ONNX Runtime, inference only, in float32 or int8, with inputs and outputs bound to buffers."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

from bptt.bench.peers import NotApplicableError
from bptt.bench.problem import Array, Call, Problem
from bptt.bench.shapes import GATES

onnx: Any = import_module("onnx")
onnxruntime: Any = import_module("onnxruntime")

Binder: TypeAlias = Callable[[dict[str, Array], dict[str, Array]], Callable[[], Any]]
"""Returns a run that reads inputs and writes outputs in place."""

ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""Index of each ONNX gate (i o f c, z r h) in PyTorch's order of gates."""

OPSET, IR = 14, 8


def inference(problem: Problem, threads: int) -> Call:
    """Run a whole sequence."""
    return sequence(problem, binder(problem, threads))


def streaming(problem: Problem, threads: int) -> Call:
    """Run one step per call."""
    return steps(problem, binder(problem, threads))


def sequence(problem: Problem, bind: Binder) -> Call:
    """Return a call that runs a whole sequence."""
    shape = problem.case.shape
    y = np.empty((shape.T, shape.directions, shape.B, shape.H), np.float32)
    run = bind({"x": problem.x}, {"y": y})

    def read(_: Any) -> dict[str, Array]:
        return {"y": y.transpose(0, 2, 1, 3).reshape(shape.T, shape.B, -1)}

    return Call(run, read)


def steps(problem: Problem, bind: Binder) -> Call:
    """Return a call that runs single steps. Two sets of buffers alternate, so the state is not copied."""
    shape = problem.case.shape
    names = ("h", "c")[: 2 if problem.case.cell == "lstm" else 1]
    states = [{name: np.zeros((1, shape.B, shape.H), np.float32) for name in names} for _ in range(2)]
    entry = np.empty((1, shape.B, shape.I), np.float32)
    y = np.empty((1, 1, shape.B, shape.H), np.float32)
    runs = [
        bind({"x": entry, **_suffixed(states[k], "0")}, {"y": y, **_suffixed(states[1 - k], "n")})
        for k in range(2)
    ]
    samples = list(problem.x)

    def run() -> Array:
        for value in states[0].values():
            value[:] = 0.0
        for t, sample in enumerate(samples):
            entry[0] = sample
            runs[t % 2]()
        return y

    return Call(run, lambda result: {"y": result[0, 0].copy()})


def _suffixed(values: dict[str, Array], suffix: str) -> dict[str, Array]:
    return {name + suffix: value for name, value in values.items()}


def binder(problem: Problem, threads: int) -> Binder:
    """Return a session of ONNX Runtime as a binder."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    graph = model(problem)
    if problem.case.precision == "int8":
        graph = _quantized(graph, problem.case.cell)
    serialized = graph.SerializeToString()
    session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])

    def bind(inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], Any]:
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
        return lambda: session.run_with_iobinding(binding)

    return bind


def _quantized(graph: Any, cell: str) -> Any:
    if cell != "lstm":
        raise NotApplicableError(f"quantizes no {cell.upper()}")
    quantization: Any = import_module("onnxruntime.quantization")
    onnx.helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})  # no warning
    with TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        quantization.quantize_dynamic(graph, path, per_channel=True)
        return onnx.load(path)


def model(problem: Problem) -> Any:
    """Make a model with one node per layer.

    Inputs are x, and for streaming h0 and c0. Outputs are y in ONNX's layout, and for streaming hn and cn.
    """
    shape, cell, streamed = problem.case.shape, problem.case.cell, problem.case.mode == "streaming"
    if streamed and (shape.layers > 1 or shape.bidirectional):
        raise NotApplicableError("this benchmark streams one layer, one direction")
    T = 1 if streamed else shape.T
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    state = ("h", "c")[: 2 if cell == "lstm" else 1] if streamed else ()
    attributes = {
        "hidden_size": shape.H,
        "direction": "bidirectional" if shape.bidirectional else "forward",
        **({"linear_before_reset": 1} if cell == "gru" else {}),
    }
    nodes, weights, source = [], [], "x"
    for k in range(shape.layers):
        names = [f"{name}{k}" for name in ("W", "R", "B")]
        weights += [
            onnx.numpy_helper.from_array(value, name)
            for name, value in zip(names, _weights(problem, k), strict=True)
        ]
        last = k == shape.layers - 1
        entries = [source, *names, "", *(f"{name}0" for name in state)]
        exits = ["y" if last else f"y{k}", *(f"{name}n" for name in state)]
        nodes.append(helper.make_node(cell.upper(), entries, exits, **attributes))
        if not last:  # (T, D, B, H) -> (T, B, D*H)
            nodes.append(helper.make_node("Transpose", [f"y{k}"], [f"t{k}"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [f"t{k}", "flat"], [f"x{k + 1}"]))
            source = f"x{k + 1}"
    flat = np.array([T, shape.B, shape.directions * shape.H], np.int64)
    weights.append(onnx.numpy_helper.from_array(flat, "flat"))
    state_shape = (shape.directions, shape.B, shape.H)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "bench",
        [value("x", kind, (T, shape.B, shape.I)), *(value(f"{name}0", kind, state_shape) for name in state)],
        [
            value("y", kind, (T, shape.directions, shape.B, shape.H)),
            *(value(f"{name}n", kind, state_shape) for name in state),
        ],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _weights(problem: Problem, layer: int) -> tuple[Array, Array, Array]:
    """Return ONNX's W (D, G*H, I), R (D, G*H, H) and B (D, 2*G*H) of a layer."""
    cell = problem.case.cell

    def stacked(name: str) -> Array:
        blocks = []
        for suffix in ("", "_reverse")[: problem.case.shape.directions]:
            gates = np.split(problem.weights[f"{name}_l{layer}{suffix}"], GATES[cell])
            blocks.append(np.concatenate([gates[k] for k in ORDER[cell]]))
        return np.stack(blocks)

    biases = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)
    return stacked("weight_ih"), stacked("weight_hh"), biases
