"""States of any layer: None, an array, or a tuple of states, as deep as the model has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

State: TypeAlias = Any


def flatten(state: State, name: str = "") -> dict[str, npt.NDArray[Any]]:
    """The arrays of a state, named by their place in it: "state[0]", "state[1]" of a pair called "state"."""
    if state is None:
        return {}
    if isinstance(state, (tuple, list)):
        return {k: v for i, part in enumerate(state) for k, v in flatten(part, f"{name}[{i}]").items()}
    return {name: state}


def each(function: Callable[[Any], Any], state: State) -> State:
    """The same state with `function` applied to every array."""
    if state is None:
        return None
    if isinstance(state, (tuple, list)):
        return tuple(each(function, part) for part in state)
    return function(state)


def filled(state: State, model: State) -> State:
    """A float64 copy of the state, with zeros where it has None and `model` an array."""
    if state is None or model is None:
        return each(np.zeros_like, model)
    if isinstance(model, (tuple, list)):
        return tuple(filled(part, shape) for part, shape in zip(state, model, strict=True))
    return np.array(state, np.float64)
