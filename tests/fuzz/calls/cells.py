"""Random calls of recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.fuzz.calls.target import Target, unchanged
from tests.fuzz.draw import Draw

import bptt

CELLS = {name: getattr(bptt, name) for name in ("RNN", "LSTM", "GRU", "MGU", "MemoryBlocks")}


def cell_options(draw: Draw, kind: str) -> dict[str, Any]:
    if kind == "MemoryBlocks":
        return draw.options(
            gradient=lambda: draw.choose("truncated", "full"),
            bias=lambda: draw.choose(True, False, "gates"),
            batch_first=draw.flag,
            squash=draw.flag,
            input_bias=lambda: draw.choose(None, -1.0, [-1.0, -2.0]),
            output_bias=lambda: draw.choose(None, [0.5]),
            init=lambda: draw.choose("default", *bptt.init.__all__[1:]),
            dtype=lambda: draw.choose("float32", "float64", np.float32),
            seed=lambda: draw.size(0, 9),
        )
    share = lambda: draw.choose(0.0, 0.3)  # noqa: E731
    options = draw.options(
        bias=draw.flag,
        batch_first=draw.flag,
        dropout=share,
        bidirectional=draw.flag,
        reverse=draw.flag,
        merge=lambda: draw.choose("concat", "concat", "sum", "mean", "mul"),
        layer_norm=draw.flag,
        recurrent_dropout=share,
        input_dropout=share,
        zoneout=share,
        init=lambda: draw.choose("default", *bptt.init.__all__[1:]),
        dtype=lambda: draw.choose("float32", "float64", np.float32),
        seed=lambda: draw.size(0, 9),
    )
    if kind == "LSTM":
        options |= draw.options(
            peephole=draw.flag,
            coupled=draw.flag,
            forget_gate=lambda: draw.choose(True, True, False),
            proj_size=lambda: draw.choose(0, 1, 2),
            forget_bias=lambda: draw.choose(None, 1.0, 3.0),
            input_bias=lambda: draw.choose(None, None, -1.0),
            output_bias=lambda: draw.choose(None, None, [0.5]),
            cell_clip=lambda: draw.choose(None, 0.5),
            gate_clip=lambda: draw.choose(None, 0.5),
        )
    if kind == "RNN":
        options |= draw.options(
            nonlinearity=lambda: draw.choose("tanh", "relu", "gelu", ("elu", 0.5)),
            gate_clip=lambda: draw.choose(None, 0.5),
        )
    if kind == "GRU":
        options |= draw.options(reset_after=draw.flag)
    if kind in ("GRU", "MGU"):
        options |= draw.options(
            activations=lambda: draw.choose(("sigmoid", "tanh"), ("hard_sigmoid", "silu")),
            gate_clip=lambda: draw.choose(None, 0.5),
        )
    return options


def a_layer(draw: Draw, **more: Any) -> Any:
    """A recurrent layer with valid options; None where they do not go together."""
    kind = draw.choose(*CELLS)
    calm = Draw(int(draw.rng.integers(2**32)), wildness=0.0)
    try:
        return CELLS[kind](calm.size(), calm.size(), calm.size(1, 2), **(cell_options(calm, kind) | more))
    except ValueError:
        return None


def an_input(draw: Draw, layer: Any, T: int, B: int) -> Any:
    shape = (B, T) if layer.batch_first else (T, B)
    return draw.numbers(*shape, layer.input_size)


def an_output(draw: Draw, layer: Any, T: int, B: int) -> Any:
    """An array for the outputs of a layer."""
    lead = (B, T) if layer.batch_first else (T, B)
    return draw.choose(None, np.empty((*lead, layer.y_size), draw.choose(layer.dtype, layer.dtype, "f4")))


def sequence_options(draw: Draw, T: int, B: int) -> dict[str, Any]:
    return draw.options(
        lengths=lambda: draw.choose(None, draw.rng.integers(0, T + 1, B)),
        reset=lambda: draw.choose(None, draw.bools(T, B)),
        skip=lambda: draw.choose(None, draw.bools(T, B)),
    )


def a_state(draw: Draw, layer: Any, B: int) -> Any:
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    h = draw.numbers(rows, B, layer.output_size)
    return (h, draw.numbers(rows, B, layer.hidden_size)) if layer.has_cell_state else h


def make_cell(draw: Draw, name: str) -> object:
    home = bptt.reference if name.startswith("reference.") else bptt
    kind = name.removeprefix("reference.")
    sizes = [draw.arg(draw.size) for _ in range(draw.choose(2, 3))]
    return repr(getattr(home, kind)(*sizes, **cell_options(draw, kind)))


def use_cell(draw: Draw, name: str) -> object:
    layer = a_layer(draw)
    if layer is None:
        return None
    T, B = draw.size(0, 4), draw.size(0, 3)
    x = draw.arg(lambda: an_input(draw, layer, T, B))
    state = draw.arg(lambda: draw.choose(None, a_state(draw, layer, B)))
    options = sequence_options(draw, T, B)
    out = draw.options(out=lambda: an_output(draw, layer, T, B))
    if name == "call":
        return layer(x, state, **options, **out)
    if name == "reference.like":
        return bptt.reference.like(draw.arg(lambda: layer))(x, state, **options)
    if name == "freeze":
        return layer.freeze()(x, state, **options, **out)
    if name == "stream":
        stream = layer.stream(draw.arg(lambda: B))
        stream.run(x)
        stream.step(draw.arg(lambda: draw.numbers(B, layer.input_size)))
        stream.state = draw.arg(lambda: a_state(draw, layer, B))
        return stream.state
    options |= draw.options(checkpoint=lambda: draw.choose(None, 1, 2, "auto"))
    y, end, tape = layer.forward(x, state, **options, **out)
    layer.trainable = draw.arg(lambda: draw.choose(True, True, False))
    dy = draw.arg(lambda: draw.choose(None, np.ones_like(y)))
    dstate = draw.arg(lambda: draw.choose(None, end))
    options = draw.options(
        clip_state=lambda: draw.choose(None, 0.1, bptt.ClipNorm(0.1), bptt.ClipValue(0.1)),
        steps=lambda: draw.choose(None, 1, 2),
        need_dx=draw.flag,
        keep_errors=draw.flag,
        out=lambda: draw.choose(None, np.empty(np.shape(x), layer.dtype)),
    )
    given = draw.arg(lambda: tape)
    with unchanged(layer):
        return layer.backward(given, dy, dstate, **options)


def parameters(draw: Draw, name: str) -> object:
    layer = a_layer(draw)
    if layer is None:
        return None
    state = layer.state_dict()
    if name == "load_state_dict":
        if draw.chance(0.7) and state:
            key = draw.choose(*state)
            state[key] = draw.arg(lambda: draw.numbers(*state[key].shape[::-1]))
        if draw.chance(0.2):
            state.pop(draw.choose(*state))
        if draw.chance(0.2):
            state[draw.choose("weight", "a.b", 3)] = draw.wild()
        given, options = draw.arg(lambda: state), draw.options(strict=draw.flag)
        with unchanged(layer):
            return layer.load_state_dict(given, **options)
    layer.flat_parameters = draw.arg(lambda: layer.flat_parameters * 2)
    layer.zero_grad()
    return type(layer).from_config(draw.arg(layer.config))


TARGETS: dict[str, Target] = {
    **dict.fromkeys((*CELLS, *(f"reference.{cell}" for cell in CELLS)), make_cell),
    **dict.fromkeys(("call", "forward", "freeze", "stream", "reference.like"), use_cell),
    **dict.fromkeys(("load_state_dict", "from_config"), parameters),
}
