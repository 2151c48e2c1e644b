"""ONNX graphs of one recurrent node with random weights, and their outputs in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs pip install onnx")

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
OPSET, IR = 14, 8
T, B, I, H = 7, 4, 3, 5


def recurrent_model(
    kind: str,
    rng: np.random.Generator,
    *,
    bias: bool = True,
    peephole: bool = False,
    lengths: bool = False,
    state: bool = False,
    dtype: Any = np.float32,
    opset: int = OPSET,
    **attributes: Any,
) -> Any:
    """A model of one node with the inputs x, and if asked for lengths, h0 and c0."""
    D = 2 if attributes.get("direction") == "bidirectional" else 1
    G = GATES[kind]
    weights = {"W": (D, G * H, I), "R": (D, G * H, H)}
    weights |= {"B": (D, 2 * G * H)} if bias else {}
    weights |= {"P": (D, 3 * H)} if peephole else {}
    tensors = [
        onnx.numpy_helper.from_array(rng.uniform(-1, 1, shape).astype(dtype), name)
        for name, shape in weights.items()
    ]
    batch_first = attributes.get("layout", 0)
    states = ["h0", "c0"][: 2 if kind == "LSTM" else 1] if state else []
    entries = ["x", "W", "R", "B" if bias else "", "lengths" if lengths else "", *states]
    if peephole:
        entries += [""] * (7 - len(entries)) + ["P"]
    exits = ["y", "hn", "cn"][: 3 if kind == "LSTM" else 2]
    node = onnx.helper.make_node(kind, entries, exits, name="cell", hidden_size=H, **attributes)
    float_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    info = onnx.helper.make_tensor_value_info
    inputs = [info("x", float_type, ("b", "t", I) if batch_first else ("t", "b", I))]
    inputs += [info("lengths", onnx.TensorProto.INT32, ("b",))] if lengths else []
    inputs += [info(name, float_type, ("b", D, H) if batch_first else (D, "b", H)) for name in states]
    outputs = [info(name, float_type, None) for name in exits]
    return model_of([node], inputs, outputs, tensors, opset)


def model_of(nodes: Any, inputs: Any, outputs: Any, tensors: Any = (), opset: int = OPSET) -> Any:
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=IR)


def onnxruntime_outputs(model: Any, feeds: dict[str, Any]) -> list[Any]:
    """Run a model, or the file at a path, in ONNX Runtime."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install onnxruntime")
    content = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]
