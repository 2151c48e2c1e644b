"""Random calls of models of several layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tests.fuzz.calls.cells import a_layer, sequence_options
from tests.fuzz.calls.target import Target, unchanged
from tests.fuzz.draw import Draw

import bptt


def a_model(draw: Draw) -> Any:
    layer = a_layer(draw, batch_first=False)
    if layer is None:
        return None
    both = layer.reverse or (layer.bidirectional and layer.merge == "concat")
    pick = draw.choose((), (bptt.Ends() if both else draw.choose(bptt.Last, bptt.MeanPool)(),))
    return bptt.Sequential(layer, *pick, bptt.Linear(layer.y_size, 2, seed=1, dtype=layer.dtype))


def a_part(draw: Draw) -> Any:
    """A layer that may not fit the others."""
    parts: list[Callable[[], Any]] = [
        lambda: bptt.LSTM(3, 4, seed=1),
        lambda: bptt.GRU(4, 4, seed=2, batch_first=draw.flag()),
        lambda: bptt.RNN(3, 2, bidirectional=True),
        lambda: bptt.Linear(4, 3),
        lambda: bptt.Embedding(5, 3, padding_idx=draw.choose(None, 0), sparse=draw.flag()),
        lambda: bptt.Dropout(0.2),
        lambda: draw.choose(bptt.Tanh, bptt.GELU, bptt.Softmax)(),
        lambda: bptt.LayerNorm(draw.choose(3, 4)),
        lambda: draw.choose(bptt.Last, bptt.Ends, bptt.MeanPool, bptt.MaxPool)(),
        lambda: bptt.Repeat(draw.size(1, 3)),
        lambda: bptt.Sequential(bptt.Linear(3, 3)),
        lambda: bptt.Parallel(a=bptt.Linear(3, 2), b=bptt.LSTM(3, 2)),
        lambda: bptt.EncoderDecoder(bptt.GRU(3, 4), bptt.GRU(3, 4)),
    ]
    return draw.choose(*parts)()


def a_container(draw: Draw, name: str) -> Any:
    """A model with the class of this name, from drawn parts."""
    seed = draw.options(seed=lambda: draw.choose(None, 1, np.random.default_rng(2)))
    part = lambda: draw.arg(lambda: a_part(draw))  # noqa: E731
    if name == "Parallel":
        names = draw.choose(("a",), ("a", "b"), ("a", "b"), ("a.b", "a"), ("config", "0"))
        first, second = bptt.LSTM(3, 2, seed=1), bptt.Sequential(bptt.Linear(3, 2, seed=1))
        if draw.chance(0.5):
            return bptt.Parallel(a=first, b=draw.arg(lambda: second), **seed)
        return bptt.Parallel(**{key: part() for key in names}, **seed)
    if name == "EncoderDecoder":
        make = draw.choose(bptt.LSTM, bptt.GRU)
        encoder: Any = bptt.Sequential(make(3, 4, seed=1))
        decoder: Any = bptt.Sequential(make(2, 4, seed=2), bptt.Linear(4, 3, seed=3))
        if draw.chance(0.2):
            encoder, decoder = part(), part()
        return bptt.EncoderDecoder(draw.arg(lambda: encoder), draw.arg(lambda: decoder), **seed)
    return bptt.Sequential(*[part() for _ in range(draw.size(0, 3))], **seed)


def inputs_for(draw: Draw, model: Any, T: int, B: int) -> Any:
    """An input for a model: an array, or a mapping with the names of its parts."""

    def one(size: int = 3) -> Any:
        return draw.arg(lambda: draw.numbers(T, B, size))

    if isinstance(model, bptt.EncoderDecoder) and draw.chance(0.9):
        return {"encoder": one(), "decoder": one(2)}
    if isinstance(model, bptt.Parallel) and draw.chance(0.7):
        keys = tuple(model.parts) if draw.chance(0.8) else ("encoder", "a")
        return {key: one() for key in keys}
    return draw.choose(one, one, one, lambda: draw.numbers(B, 3), lambda: draw.ids(5, T, B))()


def options_for(draw: Draw, model: Any, T: int, B: int) -> dict[str, Any]:
    """Options of a pass, as arrays or as mappings."""
    options = sequence_options(draw, T, B) if draw.chance(0.5) else {}
    if isinstance(model, bptt.EncoderDecoder) or (isinstance(model, bptt.Parallel) and draw.chance(0.5)):
        key = draw.choose(*model.parts) if draw.chance(0.9) else "other"
        return {name: {key: value} if draw.chance(0.9) else value for name, value in options.items()}
    return options


def containers(draw: Draw, name: str) -> object:
    model = a_container(draw, name)
    T, B = draw.size(0, 3), draw.size(0, 3)
    x = draw.arg(lambda: inputs_for(draw, model, T, B))
    options = options_for(draw, model, T, B)
    out = draw.options(out=lambda: draw.choose(None, None, np.empty((T, B, 3), "f4")))
    checkpoint = draw.options(checkpoint=lambda: draw.choose(None, 2, "auto"))
    y, state, tape = model.forward(x, **options, **out, **checkpoint)
    model.trainable = draw.arg(lambda: draw.choose(True, False))
    dy = draw.arg(lambda: draw.choose(None, np.ones_like(y)))
    dstate = draw.arg(lambda: draw.choose(None, state, tuple(draw.arg(lambda e=e: e) for e in state)))
    more = draw.options(
        need_dx=draw.flag,
        keep_errors=draw.flag,
        steps=lambda: draw.choose(None, 1),
        clip_state=lambda: draw.choose(None, 0.1),
        out=lambda: draw.choose(None, np.empty(np.shape(x), "f4")),
    )
    with unchanged(model):
        return model.backward(tape, dy, dstate, **more)


def whole_models(draw: Draw, name: str) -> object:
    """What models do besides passes: calls, summaries, snapshots, streams, state dicts and configurations."""
    kind = draw.choose("Sequential", "Parallel", "EncoderDecoder")
    try:
        model = a_container(Draw(int(draw.rng.integers(2**32)), wildness=0.0), kind)
    except (TypeError, ValueError):
        return None
    T, B = draw.size(0, 3), draw.size(0, 3)
    x = draw.arg(lambda: inputs_for(draw, model, T, B))
    options = options_for(draw, model, T, B)
    out = draw.options(out=lambda: draw.choose(None, None, np.empty((T, B, 3), "f4")))
    action = name.removeprefix("model.")
    if action == "call":
        return model(x, draw.arg(lambda: None), **options, **out)
    if action == "encode":
        return (
            model.encode(x.get("encoder"), **options)
            if isinstance(x, dict) and kind == "EncoderDecoder"
            else None
        )
    if action == "summary":
        return model.summary(
            *[draw.arg(lambda: draw.choose(None, 3)), draw.arg(lambda: 2)][: draw.size(0, 2)]
        )
    if action == "freeze":
        frozen = model.freeze()
        return frozen(x, draw.arg(lambda: None), **options, **out)
    if action == "stream":
        stream = model.stream(draw.arg(lambda: draw.choose(1, B)))
        y = stream.run(x)
        stream.step(
            draw.arg(lambda: draw.numbers(B, 3)), **draw.options(out=lambda: y[0] if len(y) else None)
        )
        stream.state = draw.arg(lambda: stream.state)
        return stream.state
    if action == "load_state_dict":
        state = model.state_dict()
        if state and draw.chance(0.7):
            key = draw.choose(*state)
            state[key] = draw.arg(lambda: draw.numbers(*state[key].shape[::-1]))
        given, strict = draw.arg(lambda: state), draw.options(strict=draw.flag)
        with unchanged(model):
            return model.load_state_dict(given, **strict)
    return type(model).from_config(draw.arg(model.config))


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("Sequential", "Parallel", "EncoderDecoder"), containers),
    **dict.fromkeys(("model.call", "model.encode", "model.summary", "model.freeze"), whole_models),
    **dict.fromkeys(("model.stream", "model.load_state_dict", "model.from_config"), whole_models),
}
