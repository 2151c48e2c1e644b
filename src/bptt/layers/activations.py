"""The activations that an LSTM may be given, by ONNX's names in lower case."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

Activation: TypeAlias = "str | tuple[str, float] | tuple[str, float, float]"
Choice: TypeAlias = tuple[str, float, float]
"""A function's name, alpha and beta."""

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
"""The parameters that each function takes, alpha and beta, with ONNX's defaults. "affine" has none there."""

ALIASES: dict[str, Choice] = {"hard_sigmoid_keras3": ("hard_sigmoid", 1 / 6, 0.5)}
"""Keras 3 and PyTorch: relu6(x + 3) / 6, where ONNX and Keras 2 have 0.2 x + 0.5 between 0 and 1."""

_PLACES = ("gates", "candidate", "output")


def parse_activations(value: object) -> tuple[Choice, Choice, Choice]:
    """
    The three functions of an LSTM: of the gates, of the candidate, of the output.

    Parameters
    ----------
    value : sequence of three
        Each a name, or a tuple of a name and its parameters.

    Raises
    ------
    TypeError
        Not a sequence; an entry that is neither a name nor such a tuple; parameters that are not numbers.
    ValueError
        Not three; an unknown name; too many parameters, or parameters out of range.
    """
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"activations must be three functions; got {value!r} of type {type(value).__name__}. "
            'Fix: activations=("sigmoid", "tanh", "tanh").'
        )
    if len(value) != 3:
        raise ValueError(
            f"activations must be three functions, of {', '.join(_PLACES)}; got {len(value)}. "
            'Fix: activations=("sigmoid", "tanh", "tanh").'
        )
    gates, candidate, output = map(_read, value, _PLACES)
    return gates, candidate, output


def shown(choice: Choice) -> Activation:
    """As a user would write it: a bare name where the parameters are the defaults."""
    name, alpha, beta = choice
    count = len(DEFAULTS[name])
    parameters = (alpha, beta)[:count]
    return name if parameters == DEFAULTS[name] else (name, *parameters)  # type: ignore[return-value]


def _read(entry: Any, place: str) -> Choice:
    name, *given = entry if isinstance(entry, (tuple, list)) and len(entry) else (entry,)
    where = f"the activation of the {place}"
    if not isinstance(name, str):
        raise TypeError(
            f"activations: {where} must be a name, or a tuple of a name and numbers; got {entry!r}. "
            'Fix: "tanh", or ("scaled_tanh", 1.7159, 2 / 3).'
        )
    if name in ALIASES and not given:
        return ALIASES[name]
    if name not in DEFAULTS:
        names = ", ".join((*DEFAULTS, *ALIASES))
        raise ValueError(f"activations: {where} must be one of {names}; got {name!r}. Fix: use one of these.")
    defaults = DEFAULTS[name]
    if len(given) > len(defaults):
        raise ValueError(
            f"activations: {name} takes {len(defaults)} parameters; got {len(given)}. Fix: drop the rest."
        )
    parameters = []
    for value in given:
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
    # A gradient is taken from the function's value: that needs one slope for each value.
    if name in ("leaky_relu", "thresholded_relu", "elu") and alpha < 0:
        raise ValueError(
            f"activations: alpha of {name} must be >= 0; got {alpha:g}. Fix: pass its absolute value."
        )
    if name == "scaled_tanh" and alpha == 0:
        raise ValueError(
            'activations: alpha of scaled_tanh must not be 0. Fix: ("affine", 0.0, 0.0) is constant.'
        )
    return name, alpha, beta
