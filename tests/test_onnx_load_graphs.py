"""`bptt.interop.onnx.load`: graphs of several nodes, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs pip install onnx")

from tests.onnx_graphs import (  # noqa: E402
    B,
    H,
    I,
    T,
    classifier_model,
    model_of,
    node,
    onnxruntime_outputs,
    tensor,
    unrolled_model,
)

import bptt  # noqa: E402
from bptt.interop.onnx import UnsupportedOnnxError, load  # noqa: E402

FLOAT = 1
"""The type of a tensor."""
TOLERANCE = 2e-6
"""Both sides compute in float32: a hundred roundings of values below 4."""


def test_models_of_several_nodes() -> None:
    """Shapes computed at run time, final states, GELU of five nodes; an RNN that is written step by step."""
    rng = np.random.default_rng(9)
    classifier = classifier_model(rng)
    ids = rng.integers(0, 11, (B, T))
    model = load(classifier)
    kinds = ["Embedding", "LSTM", "Ends", "LayerNorm", "GELU", "Linear", "Softmax"]
    assert [part.kind for part in model] == kinds
    expected = onnxruntime_outputs(classifier, {"ids": ids})[0]
    np.testing.assert_allclose(model(ids)[0], expected, atol=TOLERANCE)
    unrolled = unrolled_model(rng)
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    layer = load(unrolled)
    assert repr(layer) == f"RNN(input_size={I}, hidden_size={H}, bidirectional=True)"
    np.testing.assert_allclose(layer(x)[0], onnxruntime_outputs(unrolled, {"x": x})[0], atol=TOLERANCE)
    with pytest.raises(UnsupportedOnnxError, match="that is written step by step, and not that of an RNN"):
        load(unrolled, output="hf2")


def directions_apart() -> dict[str, tuple[list[Any], int]]:
    """Two directions as exporters of TensorFlow write them, and the number of LSTM nodes."""

    def lstm(x: str, weights: str, outputs: str, **attributes: Any) -> Any:
        names = [x, *(f"{letter}{weights}" for letter in "WRB")]
        return onnx.helper.make_node("LSTM", names, outputs.split(","), hidden_size=H, **attributes)

    steps, one = node("Transpose", "x", "steps", perm=[1, 0, 2]), lstm("steps", "0", "Y0,h0")
    flipped = [node("Slice", "steps m1 far v0 m1", "flipped"), lstm("flipped", "1", "Y1,h1")]
    both = lstm("steps", "", "Y,h", direction="bidirectional")
    return {
        "parts of Y": (
            [
                steps,
                both,
                node("Split", "Y ones", "a b", axis=1),
                node("Squeeze", "a v1", "c"),
                node("Squeeze", "b v1", "d"),
                node("Concat", "c d", "e", axis=-1),
                node("Transpose", "e", "y", perm=[1, 0, 2]),
            ],
            1,
        ),
        "parts of Y_h": (
            [
                steps,
                both,
                node("Slice", "h v0 v1 v0", "a"),
                node("Slice", "h v1 v2 v0", "b"),
                node("Squeeze", "a v0", "c"),
                node("Squeeze", "b v0", "d"),
                node("Concat", "c d", "y", axis=1),
            ],
            1,
        ),
        "two nodes": (
            [
                steps,
                one,
                lstm("steps", "1", "Y1,h1", direction="reverse"),
                node("Squeeze", "Y0 v1", "a"),
                node("Squeeze", "Y1 v1", "b"),
                node("Add", "a b", "c"),
                node("Transpose", "c", "y", perm=[1, 0, 2]),
            ],
            2,
        ),
        "a flipped input": (
            [
                steps,
                one,
                *flipped,
                node("Squeeze", "Y0 v1", "a"),
                node("Squeeze", "Y1 v1", "b"),
                node("Slice", "b m1 far v0 m1", "c"),
                node("Concat", "a c", "d", axis=2),
                node("Transpose", "d", "y", perm=[1, 0, 2]),
            ],
            2,
        ),
        "final states of a flipped input": (
            [
                steps,
                one,
                *flipped,
                node("Squeeze", "h0 v0", "a"),
                node("Squeeze", "h1 v0", "b"),
                node("Concat", "a b", "y", axis=1),
            ],
            2,
        ),
    }


def test_directions_that_are_written_apart(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(10)
    shapes = {"W": (4 * H, I), "R": (4 * H, H), "B": (8 * H,)}
    info = onnx.helper.make_tensor_value_info
    for name, (nodes, count) in directions_apart().items():
        with subtests.test(name):
            integers = {"v0": [0], "v1": [1], "v2": [2], "m1": [-1], "far": [-(2**63)], "ones": [1, 1]}
            read = {entry for part in nodes for entry in part.input}
            tensors = [tensor(key, value) for key, value in integers.items() if key in read]
            tensors += [
                tensor(f"{letter}{suffix}", rng.uniform(-1, 1, (3 - count, *shape)))
                for suffix in ([""], ["0", "1"])[count - 1]
                for letter, shape in shapes.items()
            ]
            inputs, outputs = [info("x", FLOAT, ("b", "t", I))], [info("y", FLOAT, None)]
            model = model_of(nodes, inputs, outputs, tensors)
            x = rng.standard_normal((B, T, I)).astype(np.float32)
            loaded = load(model)
            recurrent = loaded if isinstance(loaded, bptt.LSTM) else loaded[0]
            assert (recurrent.bidirectional, recurrent.batch_first) == (True, True)
            expected = onnxruntime_outputs(model, {"x": x})[0]
            np.testing.assert_allclose(loaded(x)[0], expected, atol=TOLERANCE)
