"""Shared by both checks: run a training step of a layer, name its results, and restore the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.checks.nested import State, flatten
from bptt.layers.module import Module
from bptt.reference.copies import generators

Tensor: TypeAlias = npt.NDArray[Any]


def check_layer(layer: object) -> None:
    """Raise TypeError unless this is a layer or a model."""
    if not isinstance(layer, Module):
        raise TypeError(
            f"layer must be a layer or a Sequential of bptt; got {kind_of(layer)}. "
            "Fix: pass the layer first, then its input."
        )


def kind_of(value: object) -> str:
    """What it is, for an error message. Of a class its own name: that of its type says nothing."""
    return f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__


def options_of(layer: Module, lengths: npt.ArrayLike | None, reset: npt.ArrayLike | None) -> dict[str, Any]:
    """What `forward` takes besides x and state. TypeError: lengths or resets for a layer without time."""
    options = {name: value for name, value in (("lengths", lengths), ("reset", reset)) if value is not None}
    for name in options:
        if name not in layer.call_options:
            raise TypeError(f"{name} must be None for a {layer.kind}, which takes none. Fix: leave it out.")
    return options


@contextmanager
def untouched(layer: Module) -> Iterator[Callable[[], None]]:
    """Puts parameters, gradients and generators back at the end; yields what rewinds the generators."""
    parameters, gradients = layer.flat_parameters.copy(), layer.flat_gradients.copy()
    states = [(rng.bit_generator, rng.bit_generator.state) for rng in generators(layer)]

    def rewind() -> None:
        for bits, kept in states:
            bits.state = kept

    try:
        yield rewind
    finally:
        layer.flat_parameters[:] = parameters
        layer.flat_gradients[:] = gradients
        rewind()


def normal(rng: np.random.Generator, like: Tensor) -> Tensor:
    """Draws from N(0, 1) in the shape of `like`."""
    return rng.standard_normal(like.shape)


def named_gradients(layer: Module, dx: Tensor | None, dstate: State) -> dict[str, Tensor]:
    """Everything that a backward pass gives, by name."""
    parameters = {f"gradients[{name}]": gradient for name, gradient in layer.gradients.items()}
    return flatten(dx, "dx") | flatten(dstate, "dstate") | parameters
