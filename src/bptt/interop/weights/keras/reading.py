"""Layers and models from Keras."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from bptt.arguments import short
from bptt.interop.weights.keras.arrays import KerasArrays, WeightReader, describe
from bptt.interop.weights.keras.cells import CLASSES, read_bidirectional, read_recurrent
from bptt.interop.weights.keras.functions import as_layer
from bptt.interop.weights.keras.graphs import MODELS, chain_of
from bptt.layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    MaxPool,
    MeanPool,
    Module,
    Repeat,
    Sequential,
)
from bptt.layers.undrawn import undrawn

_WRAPPED = ("Dense", "Activation", "ReLU", "Softmax", "Dropout", "LayerNormalization", "Embedding")
"""Layers that TimeDistributed does not change."""
_KNOWN = (
    *(*CLASSES, "Bidirectional", *_WRAPPED, "TimeDistributed", "Masking", "InputLayer", *MODELS),
    *("GlobalAveragePooling1D", "GlobalMaxPooling1D", "RepeatVector"),
)


def from_keras(layer: Any) -> Any:
    """Build a layer or model from a layer of Keras, with copies of its weights.

    The layer is read through `get_config()` and `get_weights()`, so neither Keras nor TensorFlow is imported.

    Parameters
    ----------
    layer : Keras layer, KerasArrays, or sequence of them
        A layer that has its weights, of one of these classes: `LSTM`, `GRU`, `SimpleRNN`, `Bidirectional`,
        `Dense`, `Embedding`, `LayerNormalization`, `Dropout`, `Activation`, `ReLU`, `Softmax`,
        `TimeDistributed`, `GlobalAveragePooling1D`, `GlobalMaxPooling1D`, `RepeatVector`, `Masking`, or a
        `keras.Sequential` of them, or a functional `keras.Model` whose layers follow each other. A list of
        layers in the order in which they run, which may also hold layers of bptt, becomes a `Sequential`.

    Returns
    -------
    Module
        It reads (B, T, I), as in Keras. A recurrent layer without `return_sequences` is followed by `Last` or
        `Ends`. The model is float64 if the first weight is, otherwise float32. A layer with
        `trainable=False` keeps this setting.

    Raises
    ------
    TypeError
        If a layer has no counterpart. The message names it.
    ValueError
        If a layer has an option that bptt lacks, or its weights are missing, too many or of wrong shapes.

    Warns
    -----
    UserWarning
        If the layer computes a mask from its input, because bptt reads masks from `skip` and `lengths`. Or if
        `go_backwards` comes with `return_sequences`: Keras returns these steps in reverse order, and bptt
        returns them in the order of x.

    Notes
    -----
    `stateful`, `return_state`, `unroll`, initialisers, regularizers and constraints have no counterpart in a
    layer of bptt, and are not read. `dropout` becomes `input_dropout`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> keras_layer = bptt.interop.keras_arrays(bptt.GRU(3, 8))  # or a layer of Keras
    >>> layer = bptt.interop.from_keras(keras_layer)
    >>> y, h = layer(np.ones((4, 20, 3)))  # (B, T, I), as in Keras
    >>> y.shape
    (4, 20, 8)
    """
    several = isinstance(layer, (list, tuple)) and not isinstance(layer, KerasArrays)
    entries = list(layer) if several else [layer]
    parts: list[Module] = []
    notes: list[str] = []
    chain = several
    for number, entry in enumerate(entries):
        place = f"layer[{number}]" if several else "layer"
        if several and isinstance(entry, Module):
            parts.append(entry)
            continue
        saved, old = describe(entry, place)
        chain |= saved.class_name in MODELS
        weights = WeightReader(saved.weights, place)
        reader = _Reader(weights, old, last=number == len(entries) - 1)
        try:
            with undrawn():
                parts += reader.read(saved.class_name, saved.config, place)
        except KeyError as error:
            raise ValueError(
                f"{place} must have a complete config; got one without {error}. Fix: pass get_config()."
            ) from None
        weights.check_all_used()
        notes += reader.notes
    if not parts:
        raise ValueError(
            f"layer must have at least one layer that bptt has; got {short(layer)}. Fix: pass its layers."
        )
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return parts[0] if len(parts) == 1 and not chain else Sequential(*parts)


class _Reader:
    """Reads the layers of a Keras layer or model, whose weights come in order."""

    def __init__(self, weights: WeightReader, old: bool, *, last: bool) -> None:
        self._weights, self._old, self._last = weights, old, last
        self.notes: list[str] = []

    def read(self, class_name: str, config: Mapping[str, Any], place: str) -> list[Module]:
        if class_name in MODELS:
            return self._chain(class_name, config, place)
        parts = self._layers(class_name, config, place)
        if not config.get("trainable", True):
            for part in parts:
                part.trainable = part.parameter_count == 0
        return parts

    def _chain(self, class_name: str, config: Mapping[str, Any], place: str) -> list[Module]:
        parts: list[Module] = []
        last = self._last
        entries = chain_of(class_name, config, place)
        for number, entry in enumerate(entries):
            inner = entry["config"]
            self._last = last and number == len(entries) - 1
            parts += self.read(str(entry.get("class_name")), inner, f"{place}, {inner.get('name', number)}")
        self._last = last
        return parts

    def _layers(self, class_name: str, config: Mapping[str, Any], place: str) -> list[Module]:
        dtype, weights = self._weights.dtype, self._weights
        if class_name in CLASSES:
            parts, reversed_steps = read_recurrent(class_name, config, weights, place, self._old)
            self._check_order(reversed_steps, place)
            return parts
        if class_name == "Bidirectional":
            return read_bidirectional(config, weights, place, self._old)
        if class_name == "TimeDistributed":
            inner: Any = config.get("layer")
            if isinstance(inner, Mapping) and inner.get("class_name") in _WRAPPED:
                return self._layers(inner["class_name"], inner["config"], place)
        simple = self._simple(class_name, config, place, dtype)
        if simple is not None:
            return simple
        raise TypeError(
            f"{place} must be one of {', '.join(_KNOWN)}; got {class_name!r:.60}. Fix: pass a list of the "
            "layers that run one after the other, model.layers, with layers of bptt in place of the others."
        )

    def _simple(
        self, class_name: str, config: Mapping[str, Any], place: str, dtype: str
    ) -> list[Module] | None:
        """Return the layers for a layer without state; None if it is unknown."""
        if class_name == "Dense":
            return self._dense(config, place)
        if class_name == "Embedding":
            return self._embedding(config, place)
        if class_name == "LayerNormalization":
            return [self._layer_norm(config, place)]
        if class_name == "Activation":
            return as_layer(config.get("activation"), place, dtype)
        if class_name in ("ReLU", "Softmax"):
            _check(config, place, max_value=None, negative_slope=0.0, threshold=0.0, axis=-1)
            return as_layer(class_name.lower(), place, dtype)
        if class_name == "Dropout":
            _check(config, place, noise_shape=None)
            return [Dropout(config["rate"], dtype=dtype)]
        if class_name in ("GlobalAveragePooling1D", "GlobalMaxPooling1D"):
            _check(config, place, data_format="channels_last", keepdims=False)
            pool = MeanPool if "Average" in class_name else MaxPool
            return [pool(batch_first=True, dtype=dtype)]
        if class_name == "RepeatVector":
            return [Repeat(config["n"], batch_first=True, dtype=dtype)]
        if class_name == "Masking":
            value = config.get("mask_value", 0.0)
            self._note_mask(place, f"skip=(x == {value}).all(axis=-1)")
            return []
        return [] if class_name == "InputLayer" else None

    def _check_order(self, reversed_steps: bool, place: str) -> None:
        if reversed_steps and not self._last:
            raise ValueError(
                f"{place} must have no layer after it, because Keras passes on its steps in reverse order; "
                "got go_backwards=True and return_sequences=True. Fix: convert the layers separately."
            )
        if reversed_steps:
            self.notes.append(
                f"{place} has go_backwards=True: Keras returns its steps in reverse order, and bptt in the "
                "order of x. Compare y[:, ::-1]."
            )

    def _note_mask(self, place: str, argument: str) -> None:
        self.notes.append(
            f"{place} computes a mask. bptt takes masks as arguments: call the model with {argument}, or "
            "with lengths."
        )

    def _dense(self, config: Mapping[str, Any], place: str) -> list[Module]:
        kernel = self._weights.take("kernel", (None, config.get("units")), place)
        arrays = {"weight": kernel.T}
        if config.get("use_bias", True):
            arrays["bias"] = self._weights.take("bias", (kernel.shape[1],), place)
        layer = Linear(*kernel.shape, bias="bias" in arrays, dtype=self._weights.dtype)
        layer.load_state_dict(arrays)
        return [layer, *as_layer(config.get("activation"), place, self._weights.dtype)]

    def _embedding(self, config: Mapping[str, Any], place: str) -> list[Module]:
        table = self._weights.take("table", (config.get("input_dim"), config.get("output_dim")), place)
        layer = Embedding(*table.shape, dtype=self._weights.dtype)
        layer.load_state_dict({"weight": table})
        if config.get("mask_zero", False):
            self._note_mask(place, "skip=(x == 0)")
        return [layer]

    def _layer_norm(self, config: Mapping[str, Any], place: str) -> Module:
        _check(config, place, rms_scaling=False)
        center, scale = config.get("center", True), config.get("scale", True)
        axis = config.get("axis", -1)
        if axis not in (-1, [-1], (-1,)) or not scale:
            raise ValueError(
                f"{place} must normalise the last axis, with a gain; got axis={axis}, scale={scale}. "
                "Fix: build it with axis=-1 and scale=True."
            )
        arrays = {"weight": self._weights.take("gamma", (None,), place)}
        if center:
            arrays["bias"] = self._weights.take("beta", arrays["weight"].shape, place)
        layer = LayerNorm(
            arrays["weight"].size, config.get("epsilon", 1e-3), bias=center, dtype=self._weights.dtype
        )
        layer.load_state_dict(arrays)
        return layer


def _check(config: Mapping[str, Any], place: str, **expected: Any) -> None:
    """Raise ValueError if the layer has another value of one of these options."""
    for name, value in expected.items():
        if config.get(name, value) != value:
            raise ValueError(
                f"{place} must have {name}={value!r}; got {config[name]!r:.60}. "
                f"Fix: build it with {name}={value!r}."
            )
