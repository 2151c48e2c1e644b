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


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(op, inputs.split(), outputs.split(), name=f"to {outputs}", **attributes)


def tensor(name: str, values: Any) -> Any:
    """An initializer of int64, if the values are whole numbers of Python, or of float32."""
    array = np.asarray(values)
    return onnx.numpy_helper.from_array(
        array.astype(np.int64 if array.dtype.kind == "i" else np.float32), name
    )


def classifier_model(rng: np.random.Generator) -> Any:
    """Embedding, bidirectional LSTM, its final states, layer norm and more, as PyTorch exports them."""
    D, vocabulary, classes = 2, 11, 3
    tensors = [
        tensor("table", rng.standard_normal((vocabulary, I))),
        tensor("W", rng.uniform(-1, 1, (D, 4 * H, I))),
        tensor("R", rng.uniform(-1, 1, (D, 4 * H, H))),
        tensor("B", rng.uniform(-1, 1, (D, 8 * H))),
        tensor("scale", rng.uniform(0.5, 1.5, D * H)),
        tensor("offset", rng.standard_normal(D * H)),
        tensor("weight", rng.standard_normal((classes, D * H))),
        tensor("bias", rng.standard_normal(classes)),
        *(tensor(f"i{k}", k) for k in range(2)),
        *(tensor(f"v{k}", [k]) for k in (0, 2, H)),
        tensor("half", 0.5),
        tensor("root", 2.0**0.5),
        tensor("one", 1.0),
    ]
    nodes = [
        node("Gather", "table ids", "embedded"),
        node("Shape", "embedded", "sizes"),
        node("Gather", "sizes i0", "rows"),
        node("Unsqueeze", "rows v0", "row_vector"),
        node("Concat", "v2 row_vector v" + str(H), "state_shape", axis=0),
        node("ConstantOfShape", "state_shape", "zeros"),
        node("Transpose", "embedded", "steps", perm=[1, 0, 2]),
        onnx.helper.make_node(
            "LSTM",
            ["steps", "W", "R", "B", "", "zeros", "zeros"],
            ["", "h", ""],
            name="the LSTM",
            hidden_size=H,
            direction="bidirectional",
        ),
        node("Gather", "h i0", "forward"),
        node("Gather", "h i1", "backward"),
        node("Concat", "forward backward", "ends", axis=-1),
        node("LayerNormalization", "ends scale offset", "normed", axis=-1, epsilon=1e-3),
        node("Div", "normed root", "divided"),
        node("Erf", "divided", "erf"),
        node("Add", "erf one", "above"),
        node("Mul", "normed above", "twice"),
        node("Mul", "twice half", "gelu"),
        node("Gemm", "gelu weight bias", "logits", transB=1),
        node("Softmax", "logits", "y", axis=-1),
    ]
    info = onnx.helper.make_tensor_value_info
    return model_of(
        nodes,
        [info("ids", onnx.TensorProto.INT64, ("b", "t"))],
        [info("y", onnx.TensorProto.FLOAT, ("b", classes))],
        tensors,
        17,
    )


def unrolled_model(rng: np.random.Generator) -> Any:
    """An RNN of both directions, step by step, as PyTorch's newer exporter writes it."""
    tensors = [tensor("minus", [-1]), tensor("far", [-(2**63)]), tensor("v0", [0])]
    tensors += [tensor(f"v{t + 1}", [t + 1]) for t in range(T)]
    nodes, outputs = [], []
    for d in "fb":
        tensors += [
            tensor(f"U{d}", rng.uniform(-1, 1, (I, H))),
            tensor(f"V{d}", rng.uniform(-1, 1, (H, H))),
            tensor(f"b{d}", rng.uniform(-1, 1, H)),
        ]
        hidden_bias = rng.uniform(-1, 1, H)
        tensors += [tensor(f"c{d}", hidden_bias), tensor(f"start{d}", np.tile(hidden_bias, (1, B, 1)))]
        nodes += [node("MatMul", f"x U{d}", f"p{d}"), node("Add", f"p{d} b{d}", f"a{d}")]
        sequence = f"a{d}"
        if d == "b":
            nodes.append(node("Slice", "ab minus far v0 minus", "flipped"))
            sequence = "flipped"
        for t in range(T):
            nodes.append(node("Slice", f"{sequence} v{t} v{t + 1} v0", f"s{d}{t}"))
            nodes.append(node("Squeeze", f"s{d}{t} v0", f"x{d}{t}"))
            before = f"start{d}"
            if t:
                nodes.append(node("MatMul", f"h{d}{t - 1} V{d}", f"m{d}{t}"))
                nodes.append(node("Add", f"m{d}{t} c{d}", f"n{d}{t}"))
                before = f"n{d}{t}"
            nodes.append(node("Add", f"{before} x{d}{t}", f"z{d}{t}"))
            nodes.append(node("Tanh", f"z{d}{t}", f"h{d}{t}"))
        order = range(T) if d == "f" else range(T)[::-1]
        nodes.append(node("Concat", " ".join(f"h{d}{t}" for t in order), f"y{d}", axis=0))
        outputs.append(f"y{d}")
    nodes.append(node("Concat", " ".join(outputs), "y", axis=2))
    info = onnx.helper.make_tensor_value_info
    return model_of(
        nodes,
        [info("x", onnx.TensorProto.FLOAT, (T, B, I))],
        [info("y", onnx.TensorProto.FLOAT, (T, B, 2 * H))],
        tensors,
        17,
    )
