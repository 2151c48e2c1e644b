"""Activation functions of Keras 3, by name."""

from __future__ import annotations

from typing import Any

from bptt.arguments import short
from bptt.layers import GELU, Module, ReLU, Sigmoid, SiLU, Softmax, Tanh
from bptt.layers.activations import Activation

IN_CELLS: dict[str, Activation] = {
    **{name: name for name in ("sigmoid", "tanh", "relu", "linear", "softsign", "softplus", "elu", "gelu")},
    "silu": "silu",
    "leaky_relu": ("leaky_relu", 0.2),
    "hard_sigmoid": ("hard_sigmoid", 1 / 6, 0.5),
}
"""The functions that cells of bptt have, with Keras's parameters."""
_LAYERS: dict[str, type[Module]] = {
    "tanh": Tanh,
    "relu": ReLU,
    "sigmoid": Sigmoid,
    "gelu": GELU,
    "silu": SiLU,
    "softmax": Softmax,
}
KERAS_2 = {"hard_sigmoid": ("hard_sigmoid", 0.2, 0.5)}
"""What differs in Keras 2."""


def in_cell(name: Any, place: str, old: bool) -> Activation:
    """Return bptt's function for the cell's function of this name.

    Parameters
    ----------
    old : bool
        Whether the layer comes from Keras 2.
    """
    name = _plain(name)
    if isinstance(name, str) and name in IN_CELLS:
        return KERAS_2.get(name, IN_CELLS[name]) if old else IN_CELLS[name]
    raise ValueError(
        f"{place} must have one of the activations {', '.join(IN_CELLS)}; got {short(name)}. "
        "Fix: bptt has no other functions in cells."
    )


def as_layer(name: Any, place: str, dtype: str) -> list[Module]:
    """Return the layer that applies the function after another layer. No layer for "linear"."""
    name = _plain(name)
    if name == "linear":
        return []
    if isinstance(name, str) and name in _LAYERS:
        return [_LAYERS[name](dtype=dtype)]  # type: ignore[call-arg]
    raise ValueError(
        f"{place} must have one of the activations linear, {', '.join(_LAYERS)}; got {short(name)}. "
        "Fix: bptt has no other functions as layers."
    )


def _plain(name: Any) -> Any:
    """Return the name as Keras 3 writes it."""
    return {None: "linear", "swish": "silu"}.get(name, name) if isinstance(name, (str, type(None))) else name


def keras_name(function: Any, place: str) -> str:
    """Return Keras's name of a cell's function, as `config()` holds it."""
    found = tuple(function) if isinstance(function, (list, tuple)) else function
    for name, known in IN_CELLS.items():
        if known == found:
            return name
    raise ValueError(
        f"{place} must have activations of Keras: {', '.join(IN_CELLS)}; got {short(function)}. "
        "Fix: build the layer with one of these."
    )


def keras_layer_name(layer: Module) -> str | None:
    """Return Keras's name of an activation that is a layer; None for another layer."""
    return next((name for name, known in _LAYERS.items() if type(layer) is known), None)
