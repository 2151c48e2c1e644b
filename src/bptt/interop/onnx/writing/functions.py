"""Activations from operators that ONNX Runtime has for float32 and float64."""

from __future__ import annotations

import math

from bptt.interop.onnx.writing.graph import Graph
from bptt.layers.activations import Choice


def activate(graph: Graph, choice: Choice, a: str, limit: float | None = None) -> str:
    """Add f(clip(a)), and return its name. `limit` is the bound of |a|, None for no bound."""
    if limit is not None:
        a = graph.add("Clip", a, graph.number(-limit), graph.number(limit))
    name, alpha, beta = choice
    if name in ("sigmoid", "tanh", "relu"):
        return graph.add(name.capitalize(), a)
    if name == "linear":
        return a
    if name in ("affine", "hard_sigmoid"):
        y = graph.add("Add", scaled(graph, alpha, a), graph.number(beta))
        return y if name == "affine" else graph.add("Clip", y, graph.number(0.0), graph.number(1.0))
    if name == "scaled_tanh":
        return scaled(graph, alpha, graph.add("Tanh", scaled(graph, beta, a)))
    return _FUNCTIONS[name](graph, a, alpha)


def scaled(graph: Graph, factor: float, a: str) -> str:
    return graph.add("Mul", a, graph.number(factor))


def silu(graph: Graph, a: str, _: float = 0.0) -> str:
    if (
        graph.dtype == "float64"
    ):  # ONNX Runtime 1.17 replaces a Mul by an operator that it has in float32 only
        return graph.add("Div", a, graph.add("Add", graph.add("Exp", graph.add("Neg", a)), graph.number(1.0)))
    return graph.add("Mul", a, graph.add("Sigmoid", a))


def gelu(graph: Graph, a: str, _: float = 0.0) -> str:
    """Add a (1 + erf(a / sqrt(2))) / 2."""
    if graph.dtype == "float64":
        raise ValueError(
            "gelu must be written in float32, because ONNX Runtime has no Erf for float64; got "
            'dtype="float64". Fix: pass dtype="float32".'
        )
    erf = graph.add("Erf", scaled(graph, math.sqrt(0.5), a))
    return graph.add("Mul", a, scaled(graph, 0.5, graph.add("Add", erf, graph.number(1.0))))


def _negative_part(graph: Graph, a: str) -> str:
    return graph.add("Min", a, graph.number(0.0))


def _leaky_relu(graph: Graph, a: str, alpha: float) -> str:
    return graph.add("Add", graph.add("Relu", a), scaled(graph, alpha, _negative_part(graph, a)))


def _thresholded_relu(graph: Graph, a: str, alpha: float) -> str:
    above = graph.add("GreaterOrEqual", a, graph.number(alpha))
    return graph.add("Where", above, a, graph.number(0.0))


def _elu(graph: Graph, a: str, alpha: float) -> str:
    below = graph.add("Sub", graph.add("Exp", _negative_part(graph, a)), graph.number(1.0))
    return graph.add("Add", graph.add("Relu", a), scaled(graph, alpha, below))


def _softsign(graph: Graph, a: str, _: float) -> str:
    return graph.add("Div", a, graph.add("Add", graph.add("Abs", a), graph.number(1.0)))


def _softplus(graph: Graph, a: str, _: float) -> str:
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", a)))  # never overflows
    rest = graph.add("Log", graph.add("Add", small, graph.number(1.0)))
    return graph.add("Add", graph.add("Relu", a), rest)


_FUNCTIONS = {
    "leaky_relu": _leaky_relu,
    "thresholded_relu": _thresholded_relu,
    "elu": _elu,
    "softsign": _softsign,
    "softplus": _softplus,
    "gelu": gelu,
    "silu": silu,
}
