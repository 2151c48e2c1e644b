"""Recurrent layers for Keras: one layer of Keras for each layer of a stack."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt.interop.gate_order import BPTT, KERAS, reorder
from bptt.interop.weights.keras.cells import CLASSES, MERGES
from bptt.interop.weights.keras.functions import keras_name
from bptt.interop.weights.limits import refuse_options
from bptt.layers import GRU, LSTM, RNN, Ends, Module

Recurrent = RNN | LSTM | GRU

REVERSED = (
    "With reverse=True, Keras returns the steps in reverse order, and bptt in the order of x. "
    "Fix: convert the layers separately, or put Ends after the layer."
)
_SUPPORTED = frozenset(
    (
        *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"),
        *("reverse", "merge", "input_dropout", "recurrent_dropout", "dtype"),
        *("activations", "nonlinearity", "reset_after"),
    )
)


class Part(NamedTuple):
    """A layer of Keras.

    Attributes
    ----------
    class_name : str
    config : dict
    weights : list of ndarray
    shape : tuple, optional
        The shape of its input, with None for unknown sizes. None if not even the width is known.
    """

    class_name: str
    config: dict[str, Any]
    weights: list[npt.NDArray[Any]]
    shape: tuple[int | None, ...] | None


def nested(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer as it stands in the configuration of another layer."""
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def write_recurrent(layer: Recurrent, end: Module | None, place: str) -> tuple[list[Part], bool]:
    """Return the layers for a stack, and whether Keras returns the last one's steps in reverse order.

    Parameters
    ----------
    end : Last, Ends or None
        The layer after it, which selects steps.
    place : str
        Of the layer in the model, for messages.

    Raises
    ------
    ValueError
        If Keras lacks an option of the layer, or cannot select these steps.
    """
    refuse_options(layer, _SUPPORTED, "Keras")
    from_end = layer.bidirectional or layer.reverse
    if end is not None and isinstance(end, Ends) != from_end:
        raise ValueError(
            f"{place} must be followed by {'Ends' if from_end else 'Last'}, the step that Keras returns; got "
            f"{type(end).__name__} after {layer!r}. Fix: use {'Ends' if from_end else 'Last'}."
        )
    reversed_steps = layer.reverse and end is None
    if reversed_steps:
        warnings.warn(f"{place}: {REVERSED}", stacklevel=5)
    parts: list[Part] = []
    for k in range(layer.num_layers):
        steps = end is None or k < layer.num_layers - 1
        parts.append(_one_layer(layer, k, steps, place))
        if layer.dropout and k < layer.num_layers - 1:
            parts.append(Part("Dropout", {"rate": layer.dropout, "dtype": layer.dtype.name}, [], None))
    return parts, reversed_steps


def _one_layer(layer: Recurrent, k: int, steps: bool, place: str) -> Part:
    class_name = next(name for name, cell in CLASSES.items() if cell == layer.kind.lower())
    weights = _weights(layer, k, "")
    shape = (None, None, weights[0].shape[0])
    config = _config(layer, class_name, place) | {"return_sequences": steps}
    # The layers above read the steps in the order in which the first layer passes them on.
    config["go_backwards"] = layer.reverse and k == 0
    common = {"dtype": layer.dtype.name, "trainable": layer.trainable}
    if not layer.bidirectional:
        return Part(class_name, config | common, weights, shape)
    inner = nested(class_name, config | common)
    merge = next(name for name, ours in MERGES.items() if ours == layer.merge)
    both = {"layer": inner, "merge_mode": merge, **common}
    return Part("Bidirectional", both, [*weights, *_weights(layer, k, "_reverse")], shape)


def _config(layer: Recurrent, class_name: str, place: str) -> dict[str, Any]:
    options: Mapping[str, Any] = layer.config()
    config: dict[str, Any] = {
        "units": layer.hidden_size,
        "use_bias": layer.bias,
        "dropout": layer.input_dropout,
        "recurrent_dropout": layer.recurrent_dropout,
    }
    if class_name == "SimpleRNN":
        return config | {"activation": keras_name(options["nonlinearity"], place)}
    gates, candidate, *output = (keras_name(function, place) for function in options["activations"])
    if output and output[0] != candidate:
        raise ValueError(
            f"{place} must have one activation for candidate and output, as in Keras; got {candidate!r} and "
            f"{output[0]!r}. Fix: build the layer with equal ones."
        )
    config |= {"activation": candidate, "recurrent_activation": gates}
    return config | ({"reset_after": layer.reset_after} if isinstance(layer, GRU) else {})


def _weights(layer: Recurrent, k: int, way: str) -> list[npt.NDArray[Any]]:
    """Return kernel, recurrent kernel and bias of one layer and direction."""
    cell = CLASSES[{"RNN": "SimpleRNN"}.get(layer.kind, layer.kind)]

    def parameter(name: str) -> npt.NDArray[Any]:
        return reorder(layer.parameters[f"{name}_l{k}{way}"], BPTT[cell], KERAS[cell])

    weights = [parameter("weight_ih").T.copy(), parameter("weight_hh").T.copy()]
    if layer.bias:
        inputs, states = parameter("bias_ih"), parameter("bias_hh")
        two = isinstance(layer, GRU) and layer.reset_after
        weights.append(np.stack((inputs, states)) if two else inputs + states)
    return weights
