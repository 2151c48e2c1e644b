"""Random calls of layers without a state."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.fuzz.calls.target import Target, unchanged
from tests.fuzz.draw import Draw

import bptt

ACTIVATIONS = ("Tanh", "ReLU", "Sigmoid", "GELU", "SiLU", "Softmax")
POOLS = ("Last", "Ends", "MeanPool", "MaxPool")


def a_start(draw: Draw) -> Any:
    return draw.choose("default", "glorot", bptt.init.normal(0.1), bptt.init.uniform())


def make_layer(draw: Draw, name: str) -> Any:
    dtype = draw.options(dtype=lambda: draw.choose("float32", "float64"))
    seed, bias = draw.options(seed=lambda: draw.size(0, 9)), draw.options(bias=draw.flag)
    start, first = draw.options(init=lambda: a_start(draw)), draw.options(batch_first=draw.flag)
    sizes = (draw.arg(draw.size), draw.arg(draw.size))
    if name == "Linear":
        return bptt.Linear(draw.choose(3, sizes[0]), sizes[1], **bias, **start, **dtype, **seed)
    if name in ("Embedding", "TiedLinear"):
        options = draw.options(padding_idx=lambda: draw.choose(None, 0, -1), sparse=draw.flag)
        if name == "TiedLinear":
            embedding = draw.arg(lambda: bptt.Embedding(4, 3, **dtype, **seed))
            return bptt.TiedLinear(embedding, **bias, **seed)
        return bptt.Embedding(*sizes, **options, **start, **dtype, **seed)
    if name == "Dropout":
        return bptt.Dropout(draw.arg(lambda: draw.choose(0.0, 0.5)), **dtype, **seed)
    if name == "LayerNorm":
        options = draw.options(eps=lambda: draw.choose(1e-5, 1e-12), elementwise_affine=draw.flag)
        return bptt.LayerNorm(draw.choose(3, sizes[0]), **options, **bias, **dtype)
    if name == "Repeat":
        return bptt.Repeat(sizes[0], **first, **dtype)
    return getattr(bptt, name)(**(first if name in POOLS else {}), **dtype)


def stateless(draw: Draw, name: str) -> object:
    layer = make_layer(draw, name)
    T, B = draw.size(0, 4), draw.size(0, 3)
    width = getattr(layer, "in_features", 3) if draw.chance(0.9) else 3
    if name == "Embedding":
        x: Any = draw.arg(lambda: draw.ids(layer.num_embeddings, T, B))
    else:
        x = draw.arg(lambda: draw.numbers(*(() if name == "Repeat" else (T,)), B, width))
    rows = {"lengths": lambda: draw.rng.integers(0, T + 1, B), "skip": lambda: draw.bools(T, B)}
    options = draw.options(**rows) if name in POOLS else {}
    shape = (B, width) if name in POOLS else (T, B, width)
    out = draw.options(out=lambda: np.empty(shape, layer.dtype)) if draw.chance(0.3) else {}
    action = draw.choose("call", "freeze", "summary", "config", "pass", "pass", "pass")
    if action == "summary":
        return layer.summary(**draw.options(T=lambda: 3, B=lambda: 2))
    if action == "config":
        layer.load_state_dict(draw.arg(layer.state_dict))
        return type(layer).from_config(draw.arg(layer.config))
    if action in ("call", "freeze"):
        call = layer if action == "call" else layer.freeze()
        return call(x, draw.arg(lambda: None), **options, **out)
    y, _, tape = layer.forward(x, **options, **out)
    layer.trainable = draw.arg(lambda: draw.choose(True, True, False))
    dx = draw.options(need_dx=draw.flag, out=lambda: draw.choose(None, np.empty(np.shape(x), layer.dtype)))
    given, dy, dstate = draw.arg(lambda: tape), draw.arg(lambda: np.ones_like(y)), draw.arg(lambda: None)
    with unchanged(layer):
        return layer.backward(given, dy, dstate, **dx)


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("Linear", "Embedding", "TiedLinear", "Dropout", "LayerNorm", "Repeat"), stateless),
    **dict.fromkeys((*POOLS, *ACTIVATIONS), stateless),
}
