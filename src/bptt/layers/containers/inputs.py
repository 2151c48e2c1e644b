"""Inputs of models: one array, or a mapping from names of layers to their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from bptt.arrays import as_real
from bptt.layers.containers.container import Container
from bptt.layers.containers.named import Named
from bptt.layers.module import Module
from bptt.layers.stateless.embedding import Embedding

Inputs: TypeAlias = Any
"""An array, or a mapping from names to inputs."""

InputsLike: TypeAlias = npt.ArrayLike | Mapping[str, Any]
"""An array-like, or a mapping from names to array-likes."""

Path: TypeAlias = tuple[str, ...]
"""The names that lead to an array, outermost first: () for a model with one input."""


@dataclass(frozen=True)
class Port:
    """An array that a model reads.

    Attributes
    ----------
    path : tuple of str
        The names that lead to the array.
    layer : Module
        The layer that reads the array.
    has_time : bool
        Whether a layer that reads the array treats its steps as time.
    """

    path: Path
    layer: Module
    has_time: bool

    @property
    def features(self) -> int:
        """Number of axes of one step: 0 for ids, which an `Embedding` reads, else 1."""
        return 0 if isinstance(self.layer, Embedding) else 1


def ports(model: Module) -> list[Port]:
    """Return the arrays that a model may read, the main one first, whose time axis is that of the model."""
    return sorted(_ports(model, model, ()), key=lambda port: not port.has_time)


def _ports(model: Module, branch: Module, path: Path) -> Iterator[Port]:
    if isinstance(model, Named):
        for name in model.main_first:
            yield from _ports(model[name], model[name], (*path, name))
    elif isinstance(model, Container):
        yield from _ports(next(iter(model.parts.values())), branch, path)
    else:
        yield Port(path, model, branch.reads_time)


def parse_inputs(value: object, name: str) -> Inputs:
    """Read an array, or a mapping from names to inputs.

    Raises
    ------
    TypeError, ValueError
        If an array does not hold real numbers.
    """
    if isinstance(value, Mapping):
        return {key: parse_inputs(part, f"{name}[{key!r}]") for key, part in value.items()}
    return as_real(value, name)


def map_inputs(function: Callable[[Path, Any], Any], x: Inputs, path: Path = ()) -> Inputs:
    """Return the inputs with `function` applied to each path and its array."""
    if isinstance(x, Mapping):
        return {name: map_inputs(function, part, (*path, name)) for name, part in x.items()}
    return function(path, x)


def arrays_of(x: Inputs) -> dict[Path, Any]:
    """Return all arrays by their paths."""
    arrays: dict[Path, Any] = {}
    map_inputs(arrays.__setitem__, x)
    return arrays


def main_array(x: Inputs, path: Path, name: str) -> Any:
    """Return the array at the path of the model's main input.

    If layers share an array, this array stands before the end of the path.

    Raises
    ------
    ValueError
        If a mapping lacks a name of the path, or the path ends before an array.
    """
    for key in path:
        if not isinstance(x, Mapping):
            return x
        if key not in x:
            raise ValueError(
                f"{name} must have an entry for each layer with an input; got {', '.join(map(str, x))} "
                f"without {key}. Fix: pass {name}={{{key!r}: ..., ...}}."
            )
        x, name = x[key], f"{name}[{key!r}]"
    if isinstance(x, Mapping):
        raise ValueError(
            f"{name} must be one array; got a mapping with the names {', '.join(map(str, x))}. "
            "Fix: pass the array, or begin the model with Parallel."
        )
    return x
