"""The activations of an LSTM, with the names of ONNX in lower case."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

Activation: TypeAlias = "str | tuple[str, float] | tuple[str, float, float]"
Choice: TypeAlias = tuple[str, float, float]
"""The name of a function, alpha and beta."""

DEFAULTS: dict[str, tuple[float, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
}
"""The parameters of each function, alpha and beta, with ONNX's defaults. ONNX has none for "affine"."""

ALIASES: dict[str, Choice] = {"hard_sigmoid_keras3": ("hard_sigmoid", 1 / 6, 0.5)}
"""Keras 3 and PyTorch use relu6(x + 3) / 6. ONNX and Keras 2 use 0.2 x + 0.5, clipped to [0, 1]."""

_PLACES = ("gates", "candidate", "output")


def parse_activations(value: object) -> tuple[Choice, Choice, Choice]:
    """Check the functions of an LSTM's gates, of its candidate and of its output.

    Parameters
    ----------
    value : sequence of three
        Each entry is a name, or a tuple of a name and its parameters.

    Raises
    ------
    TypeError
        If `value` is not a sequence, an entry is neither a name nor such a tuple, or a parameter is not a
        number.
    ValueError
        If there are not three entries, a name is unknown, or there are too many parameters or parameters out
        of range.
    """
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"activations must be three functions; got {value!r} of type {type(value).__name__}. "
            'Fix: pass activations=("sigmoid", "tanh", "tanh").'
        )
    if len(value) != 3:
        raise ValueError(
            f"activations must be three functions, of {', '.join(_PLACES)}; got {len(value)}. "
            'Fix: pass activations=("sigmoid", "tanh", "tanh").'
        )
    gates, candidate, output = map(_read, value, _PLACES)
    return gates, candidate, output


def as_argument(choice: Choice) -> Activation:
    """Return a choice as a user would write it.

    If the parameters are the defaults, this is only the name.
    """
    name, alpha, beta = choice
    count = len(DEFAULTS[name])
    parameters = (alpha, beta)[:count]
    return name if parameters == DEFAULTS[name] else (name, *parameters)  # type: ignore[return-value]


def _read(entry: Any, place: str) -> Choice:
    name, *values = entry if isinstance(entry, (tuple, list)) and len(entry) else (entry,)
    subject = f"the activation of the {place}"
    if not isinstance(name, str):
        raise TypeError(
            f"activations: {subject} must be a name, or a tuple of a name and numbers; got {entry!r}. "
            'Fix: pass "tanh", or ("scaled_tanh", 1.7159, 2 / 3).'
        )
    if name in ALIASES and not values:
        return ALIASES[name]
    if name not in DEFAULTS:
        names = ", ".join((*DEFAULTS, *ALIASES))
        raise ValueError(
            f"activations: {subject} must be one of {names}; got {name!r}. Fix: use one of these."
        )
    defaults = DEFAULTS[name]
    if len(values) > len(defaults):
        raise ValueError(
            f"activations: {name} must have at most {len(defaults)} parameters; got {len(values)}. "
            "Fix: drop the rest."
        )
    parameters = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(
                f"activations: parameters of {name} must be numbers; got {value!r}. Fix: pass floats."
            )
        if not math.isfinite(value):
            raise ValueError(
                f"activations: parameters of {name} must be finite; got {value!r}. Fix: pass a number."
            )
        parameters.append(float(value))
    alpha, beta = (*parameters, *defaults[len(parameters) :], 0.0, 0.0)[:2]
    # The backward pass computes the slope from the function's value, so equal values must have equal slopes.
    if name in ("leaky_relu", "thresholded_relu", "elu") and alpha < 0:
        raise ValueError(
            f"activations: alpha of {name} must be >= 0; got {alpha:g}. Fix: pass its absolute value."
        )
    if name == "scaled_tanh" and alpha == 0:
        raise ValueError(
            "activations: alpha of scaled_tanh must not be 0; got 0. "
            'Fix: pass ("affine", 0.0, 0.0) for a constant function.'
        )
    return name, alpha, beta
