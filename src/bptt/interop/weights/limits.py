"""What another library cannot express of a layer."""

from __future__ import annotations

import inspect
from collections.abc import Collection

from bptt.arguments import short
from bptt.layers import Module

SIZES = frozenset(
    ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional", "dtype")
)
"""Options of recurrent layers that every library has in some way."""
_INITIAL = frozenset(("precision", "tape_dtype", "forget_bias", "input_bias", "output_bias"))
"""Options that change no outputs of a layer with given weights."""


def refuse_options(layer: Module, supported: Collection[str], library: str) -> None:
    """Raise ValueError if a layer has an option that the other library lacks.

    Parameters
    ----------
    supported : collection of str
        Options that may have any value. The others must have their defaults.
    library : str
        For the message.
    """
    defaults = inspect.signature(type(layer)).parameters
    for name, value in layer.config().items():
        if name not in supported and name not in _INITIAL and value != defaults[name].default:
            raise ValueError(
                f"layer must have only options that {library} has; got {name}={short(value)} of "
                f"{layer.kind}. Fix: build the layer without {name}."
            )


def unsupported(layer: object, library: str, place: str = "layer") -> TypeError:
    """Return the error for a layer that the other library does not have."""
    return TypeError(
        f"{place} must be a layer that {library} has; got {type(layer).__name__}. "
        "Fix: convert the other layers of the model, each separately."
    )
