"""Layers without a state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bptt.interop.onnx.writing.functions import gelu, silu
from bptt.interop.onnx.writing.graph import Graph, Value
from bptt.interop.onnx.writing.lengths import Lengths
from bptt.layers import (
    GELU,
    Dropout,
    Embedding,
    Ends,
    Last,
    LayerNorm,
    Linear,
    MaxPool,
    MeanPool,
    Module,
    ReLU,
    Repeat,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    TiedLinear,
)

Writer = Callable[[Graph, Any, Value, "Lengths | None"], Value]
"""Writes a layer that reads a value, and returns its output."""


def _linear(graph: Graph, layer: Linear, x: Value, _: Lengths | None) -> Value:
    weight = layer.parameters["weight"]
    y = graph.add("MatMul", x.name, graph.weight(f"{graph.prefix}weight.T", weight.T))
    return Value(_plus_bias(graph, layer, y), len(weight), x.time)


def _tied_linear(graph: Graph, layer: TiedLinear, x: Value, _: Lengths | None) -> Value:
    assert layer.embedding is not None
    weight = graph.add("Transpose", graph.embedding(layer.embedding), perm=[1, 0])
    y = graph.add("MatMul", x.name, weight)
    return Value(_plus_bias(graph, layer, y), layer.num_embeddings, x.time)


def _plus_bias(graph: Graph, layer: Module, y: str) -> str:
    bias = layer.parameters.get("bias")
    return y if bias is None else graph.add("Add", y, graph.weight(f"{graph.prefix}bias", bias))


def _embedding(graph: Graph, layer: Embedding, x: Value, _: Lengths | None) -> Value:
    y = graph.add("Gather", graph.embedding(layer), x.name, axis=0)
    return Value(y, layer.embedding_dim, x.time)


def _dropout(graph: Graph, layer: Dropout, x: Value, _: Lengths | None) -> Value:
    return x


def _layer_norm(graph: Graph, layer: LayerNorm, x: Value, _: Lengths | None) -> Value:
    weight = layer.parameters.get("weight")
    if weight is None:
        inputs = [graph.add("Expand", graph.number(1.0), graph.integers(layer.normalized_shape))]
    else:
        inputs = [graph.weight(f"{graph.prefix}weight", weight)]
    if layer.bias:
        inputs.append(graph.weight(f"{graph.prefix}bias", layer.parameters["bias"]))
    return x._replace(name=graph.add("LayerNormalization", x.name, *inputs, axis=-1, epsilon=layer.eps))


def _function(operator: str, **attributes: Any) -> Writer:
    def write(graph: Graph, layer: Any, x: Value, _: Lengths | None) -> Value:
        return x._replace(name=graph.add(operator, x.name, **attributes))

    return write


def _composed(function: Callable[[Graph, str], str]) -> Writer:
    def write(graph: Graph, layer: Any, x: Value, _: Lengths | None) -> Value:
        return x._replace(name=function(graph, x.name))

    return write


def _repeat(graph: Graph, layer: Repeat, x: Value, _: Lengths | None) -> Value:
    y = graph.add("Expand", graph.with_axis(x.name, 0), graph.integers(layer.steps, 1, 1))
    return Value(y, x.width, layer.steps)


def _last(graph: Graph, layer: Last, x: Value, lengths: Lengths | None) -> Value:
    return Value(_step(graph, x, lengths, at_end=True), x.width)


def _ends(graph: Graph, layer: Ends, x: Value, lengths: Lengths | None) -> Value:
    if layer.reverse:
        return Value(_step(graph, x, lengths, at_end=False), x.width)
    assert x.width is not None
    half = x.width // 2
    parts = [
        _step(graph, Value(part, half, x.time), lengths, at_end=at_end)
        for part, at_end in zip(graph.split(x.name, half, half), (True, False), strict=True)
    ]
    return Value(graph.add("Concat", *parts, axis=-1), x.width)


def _step(graph: Graph, x: Value, lengths: Lengths | None, *, at_end: bool) -> str:
    """Return the last or the first valid step of each row, (B, F), or zeros for a row without steps."""
    if lengths is None or not at_end:
        y = graph.add("Gather", x.name, graph.integer(-1 if at_end else 0), axis=0)
    else:
        shape = graph.add("Concat", graph.integers(1, 1), graph.size(x.name, 2), axis=0)
        place = graph.add("Expand", lengths.last(), shape)
        y = graph.without_axis(graph.add("GatherElements", x.name, place, axis=0), 0)
    return _unless_empty(graph, y, lengths)


def _unless_empty(graph: Graph, y: str, lengths: Lengths | None) -> str:
    """Return zeros for rows without steps."""
    return y if lengths is None else graph.add("Where", lengths.empty(), graph.number(0.0), y)


def _mean_pool(graph: Graph, layer: MeanPool, x: Value, lengths: Lengths | None) -> Value:
    if lengths is None:
        return Value(graph.add("ReduceMean", x.name, axes=[0], keepdims=0), x.width)
    valid = graph.add("Where", lengths.valid(x), x.name, graph.number(0.0))
    total = graph.add("ReduceSum", valid, graph.integers(0), keepdims=0)
    y = graph.add("Div", total, lengths.count())
    return Value(y, x.width)


def _max_pool(graph: Graph, layer: MaxPool, x: Value, lengths: Lengths | None) -> Value:
    name = x.name
    if lengths is not None:
        name = graph.add("Where", lengths.valid(x), name, graph.number(-math.inf))
    y = graph.add("ReduceMax", name, axes=[0], keepdims=0)
    return Value(_unless_empty(graph, y, lengths), x.width)


WRITERS: dict[type[Module], Writer] = {
    Linear: _linear,
    TiedLinear: _tied_linear,
    Embedding: _embedding,
    Dropout: _dropout,
    LayerNorm: _layer_norm,
    Tanh: _function("Tanh"),
    ReLU: _function("Relu"),
    Sigmoid: _function("Sigmoid"),
    Softmax: _function("Softmax", axis=-1),
    GELU: _composed(gelu),
    SiLU: _composed(silu),
    Last: _last,
    Ends: _ends,
    MeanPool: _mean_pool,
    MaxPool: _max_pool,
    Repeat: _repeat,
}
