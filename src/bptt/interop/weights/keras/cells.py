"""Recurrent layers of Keras in bptt: configurations and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.interop.gate_order import BPTT, KERAS, reorder
from bptt.interop.weights.keras.arrays import WeightReader
from bptt.interop.weights.keras.functions import in_cell
from bptt.interop.weights.recurrent_state import LAYERS
from bptt.interop.weights.values import Arrays
from bptt.layers import Ends, Last, Module

CLASSES: dict[str, str] = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}
MERGES = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "mean"}


def read_recurrent(
    class_name: str, config: Mapping[str, Any], weights: WeightReader, place: str, old: bool
) -> tuple[list[Module], bool]:
    """Return the layers for a recurrent layer, and whether Keras returns its steps in reverse order."""
    reverse = bool(config.get("go_backwards", False))
    options = _options(class_name, config, place, old)
    sizes, arrays = _weights(class_name, config, weights, place)
    layer = LAYERS[CLASSES[class_name]](**sizes, **options, reverse=reverse, dtype=weights.dtype)
    layer.load_state_dict(arrays)
    if config.get("return_sequences", False):
        return [layer], reverse
    if reverse:
        return [layer, Ends(reverse=True, batch_first=True, dtype=weights.dtype)], False
    return [layer, Last(batch_first=True, dtype=weights.dtype)], False


def read_bidirectional(
    config: Mapping[str, Any], weights: WeightReader, place: str, old: bool
) -> list[Module]:
    """Return the layers for a `Bidirectional`."""
    forward, reverse = _directions(config, place)
    class_name, ahead = forward["class_name"], forward["config"]
    options = _options(class_name, ahead, place, old)
    if options != _options(class_name, reverse["config"], place, old):
        raise ValueError(
            f"{place} must have the same options in both directions; got {ahead.get('name')!r} and "
            f"{reverse['config'].get('name')!r} with other activations or dropouts. "
            "Fix: convert the two layers separately."
        )
    merge = config.get("merge_mode", "concat")
    whole = ahead.get("return_sequences", False)
    if merge not in MERGES or (merge != "concat" and not whole):
        raise ValueError(
            f"{place} must have one of the merge modes {', '.join(MERGES)}, and 'concat' without "
            f"return_sequences; got merge_mode={merge!r}, return_sequences={whole}. "
            "Fix: build it so, or convert the two layers separately."
        )
    sizes, arrays = _weights(class_name, ahead, weights, f"{place}, forward layer")
    other, backward = _weights(class_name, reverse["config"], weights, f"{place}, backward layer")
    if sizes != other:
        raise ValueError(
            f"{place} must have the same sizes in both directions; got {sizes} and {other}. "
            "Fix: convert the two layers separately."
        )
    layer = LAYERS[CLASSES[class_name]](
        **sizes, **options, bidirectional=True, merge=MERGES[merge], dtype=weights.dtype
    )
    layer.load_state_dict(arrays | {f"{name}_reverse": value for name, value in backward.items()})
    return [layer] if whole else [layer, Ends(batch_first=True, dtype=weights.dtype)]


def _directions(config: Mapping[str, Any], place: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the descriptions of the two layers, of which the second reads from the end."""
    forward: Any = config.get("layer")
    reverse: Any = config.get("backward_layer")
    if not isinstance(forward, Mapping) or forward.get("class_name") not in CLASSES:
        name = forward.get("class_name") if isinstance(forward, Mapping) else forward
        raise TypeError(
            f"{place} must wrap one of {', '.join(CLASSES)}; got {name!r:.60}. Fix: wrap such a layer."
        )
    if reverse is None:
        reverse = {**forward, "config": {**forward["config"], "go_backwards": True}}
    flags = ("go_backwards", "return_sequences", "units", "use_bias", "reset_after")
    first, second = (tuple(part["config"].get(flag) for flag in flags) for part in (forward, reverse))
    if forward["class_name"] != reverse["class_name"] or first[1:] != second[1:] or first[0] or not second[0]:
        raise ValueError(
            f"{place} must wrap two layers of one kind, and only the second must go backwards; got "
            f"{forward['class_name']} {dict(zip(flags, first, strict=True))} and "
            f"{reverse['class_name']} {dict(zip(flags, second, strict=True))}. "
            "Fix: convert the two layers separately."
        )
    return forward, reverse


def _options(class_name: str, config: Mapping[str, Any], place: str, old: bool) -> dict[str, Any]:
    """Return the arguments of the layer but for its sizes and directions."""
    options: dict[str, Any] = {
        "batch_first": True,
        "bias": bool(config.get("use_bias", True)),
        "input_dropout": config.get("dropout", 0.0),
        "recurrent_dropout": config.get("recurrent_dropout", 0.0),
    }
    candidate = in_cell(config.get("activation", "tanh"), place, old)
    if class_name == "SimpleRNN":
        return options | {"nonlinearity": candidate}
    gates = in_cell(config.get("recurrent_activation", "sigmoid"), place, old)
    if class_name == "LSTM":
        return options | {"activations": (gates, candidate, candidate)}
    return options | {"activations": (gates, candidate), "reset_after": bool(config.get("reset_after", True))}


def _weights(
    class_name: str, config: Mapping[str, Any], weights: WeightReader, place: str
) -> tuple[dict[str, Any], Arrays]:
    """Return the sizes and the parameters of one direction."""
    cell = CLASSES[class_name]
    gates = len(KERAS[cell])
    units = config.get("units")
    columns = gates * units if isinstance(units, int) else None
    kernel = weights.take("kernel", (None, columns), place)
    hidden = kernel.shape[1] // gates
    recurrent = weights.take("recurrent kernel", (hidden, gates * hidden), place)
    arrays = {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent.T}
    if config.get("use_bias", True):
        if cell == "gru" and config.get("reset_after", True):
            inputs, states = weights.take("bias", (2, gates * hidden), place)
        else:
            inputs = weights.take("bias", (gates * hidden,), place)
            states = np.zeros_like(inputs)
        arrays |= {"bias_ih_l0": inputs, "bias_hh_l0": states}
    arrays = {name: reorder(array, KERAS[cell], BPTT[cell]) for name, array in arrays.items()}
    return {"input_size": kernel.shape[0], "hidden_size": hidden}, arrays
