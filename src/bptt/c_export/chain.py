"""The layers of a model that C can run one step at a time."""

from __future__ import annotations

from typing import Any, NoReturn

from bptt.layers import (
    GELU,
    GRU,
    LSTM,
    MGU,
    RNN,
    Dropout,
    Embedding,
    Last,
    LayerNorm,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    TiedLinear,
)
from bptt.layers.model_argument import parse_model
from bptt.layers.recurrent import Recurrent
from bptt.layers.stateless.activations import Elementwise
from bptt.layers.stateless.over_time import OverTime

CLASSES: tuple[type[Module], ...] = (
    *(RNN, LSTM, GRU, MGU, Linear, TiedLinear, Embedding, LayerNorm, Dropout, Last),
    *(Softmax, Tanh, ReLU, Sigmoid, GELU, SiLU),
)


def read_chain(model: object) -> list[Module]:
    """Return the layers of a model in the order in which they run.

    Raises
    ------
    TypeError
        If `model` is not a model.
    ValueError
        If a layer cannot run one step at a time, or its weights are not finite.
    """
    chain = _flat(parse_model(model, "model"))
    for place, layer in enumerate(chain):
        _check(place, layer)
    return chain


def width_of(layer: Module, before: int) -> int:
    """Return the number of outputs of a layer that reads `before` numbers; 0: not known yet."""
    if isinstance(layer, Recurrent):
        return layer.output_size
    if isinstance(layer, Linear):
        return layer.out_features
    if isinstance(layer, TiedLinear):
        return layer.num_embeddings
    if isinstance(layer, Embedding):
        return layer.embedding_dim
    return before


def input_width(chain: list[Module]) -> int:
    """Return the number of inputs of a chain; 1 for an integer.

    Raises
    ------
    ValueError
        If no layer says how many inputs there are, or two neighbours do not fit.
    """
    first = 0
    before = 0
    for place, layer in enumerate(chain):
        read = _inputs(layer)
        if read and before and read != before:
            raise ValueError(
                f"model[{place}] must read the {before} outputs of the layer before it; got {layer!r:.80}, "
                f"which reads {read}. Fix: make both sizes equal."
            )
        first = first or read
        before = width_of(layer, read or before)
    if not first:
        raise ValueError(
            "model must have a layer with a size, because a header has arrays of fixed sizes; got "
            f"{', '.join(layer.kind for layer in chain)}. Fix: add a Linear or a recurrent layer."
        )
    return first


def _inputs(layer: Module) -> int:
    """Return the number of inputs of a layer; 0 if it reads any number."""
    if isinstance(layer, Recurrent):
        return layer.input_size
    if isinstance(layer, Linear):
        return layer.in_features
    if isinstance(layer, TiedLinear):
        return layer.embedding_dim
    if isinstance(layer, LayerNorm):
        return layer.normalized_shape
    return 1 if isinstance(layer, Embedding) else 0


def _flat(model: Module) -> list[Module]:
    if not isinstance(model, Sequential):
        return [model]
    return [layer for part in model for layer in _flat(part)]


def _check(place: int, layer: Module) -> None:
    if isinstance(layer, Recurrent) and (layer.bidirectional or layer.reverse):
        option = "bidirectional" if layer.bidirectional else "reverse"
        _refuse(
            place,
            layer,
            f"with {option}=True, which reads the sequence from its end",
            f"train the model with {option}=False",
        )
    if isinstance(layer, OverTime) and type(layer) not in CLASSES:
        _refuse(
            place,
            layer,
            "which reads the whole sequence",
            f"export the model without {layer.kind}, and read the output of the last step",
        )
    if type(layer) not in CLASSES:  # a subclass may compute something else
        _refuse(
            place,
            layer,
            "which has no form in C",
            "export the rest of the model, or use other layers of bptt",
        )


def _refuse(place: int, layer: Any, reason: str, fix: str) -> NoReturn:
    raise ValueError(
        f"model must run one step at a time; got {layer.kind} as layer {place}, {reason}. Fix: {fix}."
    )


def describe(layer: Module) -> str:
    """Return a short line about a layer, for comments."""
    if isinstance(layer, Recurrent):
        stack = f"{layer.num_layers} layers, " if layer.num_layers > 1 else ""
        return f"{layer.kind}, {stack}{count(layer.input_size, 'input')}, {count(layer.hidden_size, 'unit')}"
    if isinstance(layer, Last):
        return "Last: y of the last step is the output of the model"
    if isinstance(layer, (Elementwise, Softmax, Dropout)):
        return layer.kind
    if isinstance(layer, LayerNorm):
        return f"LayerNorm over {count(layer.normalized_shape, 'value')}"
    if isinstance(layer, Embedding):
        return f"Embedding, {count(layer.num_embeddings, 'row')} of {count(layer.embedding_dim, 'value')}"
    inputs, outputs = _inputs(layer), width_of(layer, 0)
    return f"{layer.kind}, {count(inputs, 'input')}, {count(outputs, 'output')}"


def count(number: int, noun: str) -> str:
    """Return a number and its noun, such as 2 units."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
