"""A layer that the user wrote as a function, for `crosscheck(layer, x, against=function)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from bptt.arguments import takes
from bptt.arrays import as_real
from bptt.checks.layer_run import Problem
from bptt.checks.nested import State, fill, flatten, map_state
from bptt.checks.training_step import Tensor, kind_of
from bptt.layers.module import Module

Function: TypeAlias = Callable[[Mapping[str, Tensor], Tensor, State], tuple[Any, State]]
"""f(parameters, x, state) -> y, state."""


class OwnFunction:
    """A function of parameters, x and state, with float64 copies of a layer's parameters and data.

    Attributes
    ----------
    parameters : dict of str to ndarray
    x : ndarray, or mapping from names to them
        float64, or the integers of the layer's input.
    state : ndarray, nested tuples of them, or None
        Complete: zeros in place of None.

    Raises
    ------
    TypeError
        If the function cannot be called with three arguments.
    """

    def __init__(self, function: Function, layer: Module, problem: Problem) -> None:
        if not takes(function, 3):
            raise TypeError(
                f"against must be callable as f(parameters, x, state); got {kind_of(function)} with other "
                "arguments. Fix: def f(parameters, x, state): ...; return y, state."
            )
        self.function = function
        self.parameters = {name: np.array(value, np.float64) for name, value in layer.parameters.items()}
        self.x = map_state(_wide, problem.x)
        self.y, self.last = layer(problem.x, problem.state, **problem.options)
        self.state = map_state(_exact, fill(problem.state, self.last))

    def __call__(self) -> dict[str, Tensor]:
        """Return the function's y and last state by name, in float64.

        Raises
        ------
        TypeError
            If the function does not return a pair of y and a state of the layer's form.
        ValueError
            If an array has another shape than the layer's.
        """
        returned = self.function(dict(self.parameters), self.x, self.state)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(
                f"against must return a pair, y and the last state; got {kind_of(returned)}. "
                "Fix: end the function with `return y, state`; a layer without state has state None."
            )
        y, last = returned
        results = _arrays(y, "y") | _arrays(last, "state")
        expected = flatten(self.y, "y") | flatten(self.last, "state")
        if results.keys() != expected.keys():
            raise TypeError(
                f"against must return {_listed(expected)}, as the layer does; got {_listed(results)}. "
                "Fix: return y and the last state in the form of `y, state = layer(x)`."
            )
        for name, value in results.items():
            if value.shape != expected[name].shape:
                raise ValueError(
                    f"against must return {name} of shape {expected[name].shape}, as the layer does; got "
                    f"{value.shape}. Fix: return arrays in the layout of `y, state = layer(x)`."
                )
        return results


def _wide(x: Tensor) -> Tensor:
    return np.array(x, np.float64) if x.dtype.kind == "f" else x.copy()


def _arrays(value: Any, name: str) -> dict[str, Tensor]:
    return {
        key: np.array(as_real(part, f"{key} of against"), np.float64)
        for key, part in flatten(value, name).items()
    }


def _exact(array: Tensor) -> Tensor:
    return np.array(array, np.float64)


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(tensors) or "nothing"
