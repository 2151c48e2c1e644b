"""States of any layer: None, an array, or a tuple of states of any depth. Inputs: an array or a mapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

State: TypeAlias = Any


def flatten(state: State, name: str = "") -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a state by name.

    A pair called "state" gives "state[0]" and "state[1]".
    """
    if state is None:
        return {}
    if isinstance(state, Mapping):
        return {k: v for key, part in state.items() for k, v in flatten(part, f"{name}[{key!r}]").items()}
    if isinstance(state, (tuple, list)):
        return {k: v for i, part in enumerate(state) for k, v in flatten(part, f"{name}[{i}]").items()}
    return {name: state}


def map_state(function: Callable[[Any], Any], state: State) -> State:
    """Return the state, or the inputs, with `function` applied to every array."""
    if state is None:
        return None
    if isinstance(state, Mapping):
        return {key: map_state(function, part) for key, part in state.items()}
    if isinstance(state, (tuple, list)):
        return tuple(map_state(function, part) for part in state)
    return function(state)


def fill(state: State, model: State) -> State:
    """Return a float64 copy of the state, with zeros in place of None.

    `model` is a complete state, which has the shapes of the zeros.
    """
    if state is None or model is None:
        return map_state(np.zeros_like, model)
    if isinstance(model, (tuple, list)):
        return tuple(fill(part, shape) for part, shape in zip(state, model, strict=True))
    return np.array(state, np.float64)


def differentiable(x: Any, dx: Any) -> Any:
    """Return the inputs, with a float64 copy of each array that has a gradient in `dx`."""
    if isinstance(x, Mapping):
        return {key: differentiable(part, None if dx is None else dx[key]) for key, part in x.items()}
    return x if dx is None else np.array(x, np.float64)
