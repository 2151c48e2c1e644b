"""Activation functions of cells, with the names of ONNX in lower case, and three more."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from bptt.arguments import real

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
    "linear": (),
    "gelu": (),
    "silu": (),
}
"""The parameters of each function, alpha and beta, with ONNX's defaults. ONNX has none for "affine"."""

ALIASES: dict[str, Choice] = {"hard_sigmoid_keras3": ("hard_sigmoid", 1 / 6, 0.5)}
"""Keras 3 and PyTorch use relu6(x + 3) / 6. ONNX and Keras 2 use 0.2 x + 0.5, clipped to [0, 1]."""

PLAIN: dict[str, Choice] = {
    "gates": ("sigmoid", 0.0, 0.0),
    "candidate": ("tanh", 0.0, 0.0),
    "output": ("tanh", 0.0, 0.0),
}
"""The places of functions in a cell, with their usual functions. A GRU and an MGU have no output."""


def parse_activations(value: object, count: int) -> tuple[Choice, ...]:
    """Check the functions of a cell's gates, of its candidate and of its output.

    Parameters
    ----------
    value : sequence
        Each entry is a name, or a tuple of a name and its parameters.
    count : int
        The number of functions: 3, or 2 without the output.

    Raises
    ------
    TypeError
        If `value` is not a sequence, an entry is neither a name nor such a tuple, or a parameter is not a
        number.
    ValueError
        If there are not `count` entries, a name is unknown, or there are too many parameters or parameters
        out of range.
    """
    places = tuple(PLAIN)[:count]
    expected = f"activations must be {('two', 'three')[count - 2]} functions"
    usual = ", ".join(f'"{PLAIN[place][0]}"' for place in places)
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"{expected}; got {value!r} of type {type(value).__name__}. Fix: pass activations=({usual})."
        )
    if len(value) != count:
        raise ValueError(
            f"{expected}, of {', '.join(places)}; got {len(value)}. Fix: pass activations=({usual})."
        )
    return tuple(
        _read(entry, "activations", f"activations: the activation of the {place}")
        for entry, place in zip(value, places, strict=True)
    )


def parse_nonlinearity(value: object) -> Choice:
    """Check the function of an RNN: a name, or a tuple of a name and its parameters.

    Raises
    ------
    TypeError, ValueError
        As for an entry of `parse_activations`.
    """
    return _read(value, "nonlinearity", "nonlinearity")


def is_plain(activations: tuple[Choice, ...]) -> bool:
    """Return whether these are the usual functions."""
    return activations == tuple(PLAIN.values())[: len(activations)]


def parse_gate_clip(value: float | None) -> float | None:
    """Check the bound of the arguments of activations. None: no bound."""
    return None if value is None else real(value, "gate_clip", 0.0, above=True)


def clip_option(gate_clip: float | None) -> dict[str, float]:
    """Return the bound as an option of the core, which has no bound by default."""
    return {} if gate_clip is None else {"gate_clip": gate_clip}


def as_argument(choice: Choice) -> Activation:
    """Return a choice as a user would write it.

    If the parameters are the defaults, this is only the name.
    """
    name, alpha, beta = choice
    count = len(DEFAULTS[name])
    parameters = (alpha, beta)[:count]
    return name if parameters == DEFAULTS[name] else (name, *parameters)  # type: ignore[return-value]


def _read(entry: Any, argument: str, subject: str) -> Choice:
    name, *values = entry if isinstance(entry, (tuple, list)) and len(entry) else (entry,)
    if not isinstance(name, str):
        raise TypeError(
            f"{subject} must be a name, or a tuple of a name and numbers; got {entry!r} of type "
            f"{type(entry).__name__}. "
            'Fix: pass "tanh", or ("scaled_tanh", 1.7159, 2 / 3).'
        )
    if name in ALIASES and not values:
        return ALIASES[name]
    if name not in DEFAULTS:
        names = ", ".join((*DEFAULTS, *ALIASES))
        raise ValueError(f"{subject} must be one of {names}; got {name!r}. Fix: use one of these.")
    defaults = DEFAULTS[name]
    if len(values) > len(defaults):
        raise ValueError(
            f"{argument}: {name} must have at most {len(defaults)} parameters; got {len(values)}. "
            "Fix: drop the rest."
        )
    parameters = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(
                f"{argument}: parameters of {name} must be numbers; got {value!r}. Fix: pass floats."
            )
        if not math.isfinite(value):
            raise ValueError(
                f"{argument}: parameters of {name} must be finite; got {value!r}. Fix: pass a number."
            )
        parameters.append(float(value))
    alpha, beta = (*parameters, *defaults[len(parameters) :], 0.0, 0.0)[:2]
    # The backward pass computes the slope from the function's value, so equal values must have equal slopes.
    if name in ("leaky_relu", "thresholded_relu", "elu") and alpha < 0:
        raise ValueError(
            f"{argument}: alpha of {name} must be >= 0; got {alpha:g}. Fix: pass its absolute value."
        )
    if name == "scaled_tanh" and alpha == 0:
        raise ValueError(
            f"{argument}: alpha of scaled_tanh must not be 0; got 0. "
            'Fix: pass ("affine", 0.0, 0.0) for a constant function.'
        )
    return name, alpha, beta
