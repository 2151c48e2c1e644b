"""Layers and models of Keras from those of bptt."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from bptt.interop.weights.keras.arrays import KerasArrays
from bptt.interop.weights.keras.functions import keras_layer_name
from bptt.interop.weights.keras.stacks import REVERSED, Part, nested, write_recurrent
from bptt.interop.weights.limits import unsupported
from bptt.layers import (
    GRU,
    LSTM,
    RNN,
    Dropout,
    Embedding,
    Ends,
    Last,
    LayerNorm,
    Linear,
    MaxPool,
    MeanPool,
    Module,
    Repeat,
    Sequential,
)
from bptt.layers.model_argument import parse_model
from bptt.layers.passes.frozen import Frozen


def to_keras(layer: Module | Frozen[Any]) -> Any:
    """Build a layer or model of Keras 3 from a layer or model, with copies of its weights.

    Parameters
    ----------
    layer : Module or Frozen
        An `RNN`, `LSTM` or `GRU` with only the options that Keras has, a layer without state, or a
        `Sequential` of such layers.

    Returns
    -------
    keras.Layer or keras.Sequential
        It reads (B, T, I), whatever `batch_first` is. A model without a layer that reads time takes any
        number of axes in its first call. A stack becomes a `keras.Sequential` of its layers.
        `Last` and `Ends` after a recurrent layer become `return_sequences=False`.

    Raises
    ------
    TypeError
        If `layer` is not a layer, or Keras has no such layer. The message names it.
    ValueError
        If the layer has an option that Keras lacks.
    ImportError
        If Keras is not installed. `keras_arrays` needs no Keras.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.interop.to_keras(bptt.GRU(3, 8))
    >>> layer.__class__.__name__, tuple(layer(np.ones((4, 20, 3), "float32")).shape)
    ('GRU', (4, 20, 8))
    """
    layer = parse_model(layer, "layer")
    saved, parts = _convert(layer)
    try:
        keras: Any = import_module("keras")
    except ModuleNotFoundError as error:
        if error.name != "keras":
            raise
        raise ImportError("bptt.interop.to_keras needs Keras: pip install keras") from error
    made = [_made(keras, part) for part in parts]
    if saved.class_name != "Sequential":
        return made[0]
    if layer.reads_time:  # otherwise, the first call tells how many axes x has
        try:
            x = layer.sample(1, 1)
        except ValueError:  # no layer has a width
            return keras.Sequential(made)
        made = [keras.Input((None, *x.shape[2:]), dtype=x.dtype.name), *made]
    return keras.Sequential(made)


def _made(keras: Any, part: Part) -> Any:
    """Return the layer of Keras."""
    layer = getattr(keras.layers, part.class_name).from_config(part.config)
    if part.shape is not None:
        layer.build(part.shape)
    if part.weights:
        layer.set_weights(part.weights)
    return layer


def keras_arrays(layer: Module | Frozen[Any]) -> KerasArrays:
    """Return a layer or model as a class, configuration and weights of Keras 3, without Keras.

    Parameters, errors and the conversion are those of `to_keras`.

    Returns
    -------
    KerasArrays
        `class_name`, `config` and `weights`: `keras.layers.LSTM.from_config(config)` makes a layer with
        class_name "LSTM", and `set_weights(weights)` fills it after `build`.

    Examples
    --------
    >>> import bptt
    >>> arrays = bptt.interop.keras_arrays(bptt.LSTM(3, 8))
    >>> arrays.class_name, arrays.config["units"]
    ('LSTM', 8)
    """
    return _convert(parse_model(layer, "layer"))[0]


def _convert(layer: Module) -> tuple[KerasArrays, list[Part]]:
    """Return the layer for Keras, and its parts."""
    parts = list(_parts(list(_chain(layer, "layer"))))
    if len(parts) == 1 and not isinstance(layer, Sequential):
        return KerasArrays(parts[0].class_name, parts[0].config, parts[0].weights), parts
    entries = [nested(part.class_name, part.config) for part in parts]
    weights = [array for part in parts for array in part.weights]
    return KerasArrays("Sequential", {"layers": entries}, weights), parts


def _chain(layer: Module, place: str) -> Iterator[tuple[str, Module]]:
    """Yield the layers of a chain, including those of chains inside it, with their places."""
    if isinstance(layer, Sequential):
        for number, part in enumerate(layer):
            yield from _chain(part, f"{place}[{number}]")
    else:
        yield place, layer


def _parts(chain: list[tuple[str, Module]]) -> Iterator[Part]:
    """Yield the layers for Keras."""
    number = 0
    while number < len(chain):
        place, layer = chain[number]
        number += 1
        if isinstance(layer, (RNN, LSTM, GRU)):
            after = chain[number][1] if number < len(chain) else None
            ends = type(after) in (Last, Ends)
            parts, reversed_steps = write_recurrent(layer, after if ends else None, place)
            number += ends
            if reversed_steps and number < len(chain):
                raise ValueError(f"{place} must have no layer after it but Ends. {REVERSED}")
            yield from parts
        else:
            yield _stateless(layer, place)


def _stateless(layer: Module, place: str) -> Part:
    config: dict[str, Any]
    common: dict[str, Any] = {"dtype": layer.dtype.name, "trainable": layer.trainable}
    values = {name: value.copy() for name, value in layer.parameters.items()}
    name = keras_layer_name(layer)
    if name is not None:
        return Part("Activation", common | {"activation": name}, [], None)
    if isinstance(layer, Linear):
        config = {"units": layer.out_features, "use_bias": layer.bias}
        weights = [values.pop("weight").T.copy(), *values.values()]
        return Part("Dense", common | config, weights, (None, None, layer.in_features))
    if isinstance(layer, Embedding):
        config = {"input_dim": layer.num_embeddings, "output_dim": layer.embedding_dim}
        return Part("Embedding", common | config, [values["weight"]], (None, None))
    if isinstance(layer, LayerNorm):
        config = {"epsilon": layer.eps, "center": layer.bias, "scale": layer.elementwise_affine}
        return Part("LayerNormalization", common | config, [*values.values()], (None, layer.normalized_shape))
    if isinstance(layer, Dropout):
        return Part("Dropout", common | {"rate": layer.p}, [], None)
    if isinstance(layer, (MeanPool, MaxPool)):
        kind = "GlobalAveragePooling1D" if isinstance(layer, MeanPool) else "GlobalMaxPooling1D"
        return Part(kind, common, [], None)
    if isinstance(layer, Repeat):
        return Part("RepeatVector", common | {"n": layer.steps}, [], None)
    if type(layer) in (Last, Ends):
        raise ValueError(
            f"{place} must follow a recurrent layer, because Keras selects steps there; got {layer!r} after "
            "another layer. Fix: put it directly after the recurrent layer."
        )
    raise unsupported(layer, "Keras", place)
