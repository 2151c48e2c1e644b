"""Models that are written to ONNX files, and comparisons with ONNX Runtime. Needs both packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import bptt

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

TOLERANCE = 1e-5
RAGGED = [6, 2, 0, 5]


def randomized(model: bptt.Module, seed: int = 0) -> bptt.Module:
    """The model with new parameters. All biases are non-zero."""
    rng = np.random.default_rng(seed)
    model.flat_parameters[...] = rng.uniform(-0.3, 0.3, model.parameter_count)
    return model


def session(proto: Any) -> Any:
    onnx.checker.check_model(proto, full_check=True)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # default values of inputs are warned of
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def agree(actual: Any, expected: Any) -> None:
    """Numbers agree within the tolerance of float32, relative to 1 or to their size."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


def operators(proto: Any) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def inputs_of(layer: Any, T: int, B: int) -> Any:
    rng = np.random.default_rng([T, B])
    x = rng.standard_normal((B, T, layer.input_size) if layer.batch_first else (T, B, layer.input_size))
    return x.astype(layer.dtype)


def state_of(layer: Any, B: int) -> dict[str, Any]:
    """Initial states by the names of the graph."""
    rng, rows = np.random.default_rng(B), layer.num_layers * layer.num_directions
    sizes = {"h_0": layer.output_size} | ({"c_0": layer.hidden_size} if layer.has_cell_state else {})
    return {name: rng.uniform(-1, 1, (rows, B, size)).astype(layer.dtype) for name, size in sizes.items()}


def as_state(feed: Mapping[str, Any]) -> Any:
    return tuple(feed.values()) if len(feed) == 2 else next(iter(feed.values()), None)


def check_layer(layer: Any, sess: Any, T: int, B: int, *, state: bool, lengths: list[int] | None) -> None:
    """Compare outputs and final states of a recurrent layer."""
    x, feed = inputs_of(layer, T, B), state_of(layer, B) if state else {}
    y, final = layer(x, as_state(feed), lengths=lengths)
    ragged = {} if lengths is None else {"lengths": np.array(lengths)}
    results = sess.run(None, {"x": x} | feed | ragged)
    for actual, expected in zip(results, (y, *(final if layer.has_cell_state else (final,))), strict=True):
        agree(actual, expected)


def models() -> Iterator[tuple[str, bptt.Module, dict[str, Any]]]:
    """Names, models that hold every kind of layer, and arguments of `to_proto`."""
    F = bptt
    yield "last", F.Sequential(F.LSTM(3, 5), F.Last(), F.Linear(5, 2)), {}
    yield "ends", F.Sequential(F.LSTM(3, 5, bidirectional=True), F.Ends(), F.Linear(10, 2), F.Softmax()), {}
    yield (
        "batch_first",
        F.Sequential(
            F.GRU(3, 5, reverse=True, batch_first=True),
            F.Ends(batch_first=True),
            F.GELU(),
            F.Linear(5, 2, bias=False),
            F.SiLU(),
        ),
        {},
    )
    yield (
        "ids",
        F.Sequential(
            F.Embedding(9, 3, padding_idx=0), F.MGU(3, 5), F.Dropout(), F.LayerNorm(5), F.MeanPool(), F.ReLU()
        ),
        {},
    )
    yield (
        "max",
        F.Sequential(
            F.Linear(3, 4),
            F.Sequential(F.RNN(4, 5), F.LayerNorm(5, 1e-3, elementwise_affine=False)),
            F.Tanh(),
            F.MaxPool(batch_first=False),
            F.Sigmoid(),
        ),
        {},
    )
    table = F.Embedding(9, 5)
    yield "tied", F.Sequential(table, F.LSTM(5, 5, batch_first=True), F.TiedLinear(table)), {}
    yield "shared", F.Parallel(a=F.LSTM(3, 4), b=F.GRU(3, 5)), {"shared_input": True}
    yield (
        "static",
        F.Sequential(F.Parallel(sequence=F.LSTM(3, 4), static=F.Linear(2, 5)), F.GRU(9, 2)),
        {},
    )
    yield (
        "two_sequences",
        F.Parallel(
            first=F.Sequential(F.LSTM(3, 4, batch_first=True), F.Last(batch_first=True)),
            second=F.Sequential(
                F.Embedding(4, 2), F.GRU(2, 5, batch_first=True), F.MaxPool(batch_first=True)
            ),
        ),
        {},
    )
    yield (
        "translator",
        F.EncoderDecoder(
            F.Sequential(F.Embedding(11, 6), F.LSTM(6, 5, 2), F.Linear(5, 4)),
            F.Sequential(F.Embedding(8, 6), F.LSTM(6, 5, 2), F.Linear(5, 3)),
        ),
        {},
    )
    yield "dropout_first", F.Sequential(F.Dropout(), F.SiLU(), F.LSTM(3, 5, batch_first=True)), {}
    yield "repeat_first", F.Sequential(F.Repeat(4), F.GRU(3, 5)), {}
    yield "repeat", F.Sequential(F.LSTM(3, 5), F.Last(), F.Repeat(7), F.LSTM(5, 3)), {}
    yield "no_time", F.Sequential(F.Linear(3, 5), F.Tanh(), F.LayerNorm(5, bias=False)), {}


def arrays_like(model: Any, T: int, B: int) -> Any:
    """Random inputs of the forms that a model reads."""
    rng = np.random.default_rng(0)

    def draw(zeros: Any) -> Any:
        if isinstance(zeros, dict):
            return {name: draw(part) for name, part in zeros.items()}
        if zeros.dtype.kind == "i":
            return rng.integers(0, 4, zeros.shape)
        return rng.normal(size=zeros.shape).astype(zeros.dtype)

    return draw(model.sample(T if model.reads_time else None, B))


def feed_of(x: Any, lengths: Any) -> dict[str, Any]:
    feed = x if isinstance(x, dict) else {"x": x}
    if isinstance(lengths, dict):
        return feed | {f"{name}.lengths": np.array(part) for name, part in lengths.items()}
    return feed if lengths is None else feed | {"lengths": np.array(lengths)}
