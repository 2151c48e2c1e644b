"""Random calls of what converts models: weights of other libraries, and ONNX.

Only ONNX needs a package. Without it, its targets do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from tests.fuzz.calls.cells import a_layer
from tests.fuzz.calls.models import a_container, a_model, a_part
from tests.fuzz.calls.target import Target
from tests.fuzz.draw import Draw

import bptt
from bptt import interop


def _a_source(draw: Draw) -> Any:
    """A layer or model, perhaps as a snapshot."""
    kinds: list[Callable[[], Any]] = [
        lambda: a_layer(draw),
        lambda: a_model(draw),
        lambda: a_part(draw),
        lambda: a_container(Draw(draw.size(0, 10**6), 0.0), draw.choose("Sequential", "Parallel")),
        lambda: bptt.GRU(3, 4, 2, bidirectional=True, seed=0),
        lambda: bptt.LSTM(3, 4, seed=0),
    ]
    model = draw.arg(draw.choose(*kinds))
    return model.freeze() if isinstance(model, bptt.Module) and draw.chance(0.1) else model


def _changed(draw: Draw, tree: Any) -> Any:
    """A copy of nested mappings and sequences, in which entries are now and then gone, renamed or wild."""
    if draw.chance(draw.wildness):
        return draw.wild()
    if isinstance(tree, Mapping):
        kept = {name: value for name, value in tree.items() if not draw.chance(draw.wildness / 2)}
        return {
            draw.choose(f"{name}_", "", 3) if draw.chance(draw.wildness / 4) else name: _changed(draw, value)
            for name, value in kept.items()
        }
    if isinstance(tree, interop.KerasArrays):
        return interop.KerasArrays(*(_changed(draw, part) for part in tree))
    if isinstance(tree, (list, tuple)):
        return [_changed(draw, value) for value in tree if not draw.chance(draw.wildness / 2)]
    if isinstance(tree, np.ndarray) and draw.chance(draw.wildness):
        return draw.choose(tree.T, tree[..., :-1], tree[None], tree.astype("f8"), tree.astype("O"))
    return tree


def _written(draw: Draw, name: str) -> Any:
    """The result of a function that writes a model, called with drawn arguments."""
    source = _a_source(draw)
    if name == "to_state_dict":
        return interop.to_state_dict(source, draw.arg(lambda: draw.choose("", "rnn", "a.b.")))
    if name == "keras_arrays":
        return interop.keras_arrays(source)
    one = draw.options(index=lambda: draw.size(0, 1), reverse=draw.flag)
    return getattr(interop, name)(source, **one)


def _made(draw: Draw, name: str) -> Any:
    """What the function of this name returns for a layer that it can write."""
    layer = draw.choose(bptt.GRU, bptt.LSTM)(3, 4, seed=draw.size(0, 9))
    chain: Any = bptt.Sequential(layer, bptt.Last(), bptt.Linear(4, 2)) if draw.flag() else layer
    return getattr(interop, name)(chain if name == "keras_arrays" else layer)


def writers(draw: Draw, name: str) -> object:
    return _written(draw, name)


def readers(draw: Draw, name: str) -> object:
    """Read what the library itself has written, after random changes."""
    options = draw.options(
        batch_first=draw.flag, dropout=lambda: 0.1, dtype=lambda: draw.choose("float32", "float64")
    )
    if name == "from_keras":
        return interop.from_keras(_changed(draw, _made(draw, "keras_arrays")))
    if name == "from_state_dict":
        more = draw.options(
            prefix=lambda: draw.choose(None, "", "rnn"),
            cell=lambda: draw.choose(None, "lstm", "gru", "rnn"),
            nonlinearity=lambda: draw.choose("tanh", "relu"),
            layers=lambda: draw.choose(None, ["rnn"], ["rnn", bptt.Last()], [draw.wild()]),
        )
        layer = draw.choose(bptt.GRU, bptt.LSTM)(3, 4, draw.size(1, 2), bidirectional=draw.flag())
        state = interop.to_state_dict(layer, draw.choose("", "", "rnn"))
        return interop.from_state_dict(_changed(draw, state), **more, **options)
    made = _made(draw, name.replace("from", "to"))
    both = draw.options(backward=lambda: _changed(draw, made))
    more = draw.options(prefix=lambda: draw.choose(None, "", "params")) if name == "from_flax" else {}
    return getattr(interop, name)(_changed(draw, made), **more, **both, **options)


def onnx(draw: Draw, name: str) -> object:
    """Write a model, and read it again with and without the description of the model."""
    if find_spec("onnx") is None:
        return None
    proto = interop.onnx.to_proto(
        _a_source(draw),
        **draw.options(
            lengths=draw.flag,
            states=lambda: draw.choose("none", "required", "optional"),
            shared_input=draw.flag,
            scan=lambda: draw.choose("auto", "always", "never"),
            dtype=lambda: draw.choose(None, "float32", "float64"),
            metadata=lambda: {"a": draw.arg(lambda: "b")},
        ),
    )
    if draw.flag():
        del proto.metadata_props[:]
    options = draw.options(
        clip_mode=lambda: draw.choose("onnxruntime", "spec"),
        output=lambda: draw.choose(None, "y", *[node.output[0] for node in proto.graph.node]),
        frozen=draw.flag,
    )
    try:
        return interop.onnx.load(draw.arg(lambda: draw.choose(proto, proto.SerializeToString())), **options)
    except interop.onnx.OnnxError:  # the graph of a Scan, for example
        return None


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("to_state_dict", "keras_arrays", "to_flax", "to_equinox"), writers),
    **dict.fromkeys(("from_state_dict", "from_keras", "from_flax", "from_equinox"), readers),
    "interop.onnx": onnx,
}
