"""Parts that both checks share: names of results, and restoring a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.checks.nested import State, flatten
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.module import Module
from bptt.layers.sparse import restored_gradients
from bptt.reference.copies import generators

Tensor: TypeAlias = npt.NDArray[Any]


def check_layer(layer: object) -> None:
    """Raise TypeError if `layer` is not a layer or a model."""
    if not isinstance(layer, Module):
        raise TypeError(
            f"layer must be a layer or a Sequential of bptt; got {kind_of(layer)}. "
            "Fix: pass the layer first, then its input."
        )


def kind_of(value: object) -> str:
    """Return the type of a value for an error message.

    If the value is a class, this is the name of the class.
    """
    return f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__


def rounds_operands(layer: Module) -> bool:
    """Return whether a layer inside rounds the operands of its products."""
    return any(getattr(part, "precision", "highest") != "highest" for part in iter_layers(layer))


def rounds_tape(layer: Module) -> bool:
    """Return whether a layer inside keeps its tape in bfloat16."""
    return any(getattr(part, "tape_dtype", None) is not None for part in iter_layers(layer))


def options_of(layer: Module, **arguments: npt.ArrayLike | None) -> dict[str, Any]:
    """Return the arguments of `forward` other than x and state, without those that are None.

    Raises
    ------
    TypeError
        If an argument is passed for a layer that does not accept it.
    """
    options = {name: value for name, value in arguments.items() if value is not None}
    for name in options:
        if name not in layer.call_options:
            raise TypeError(
                f"{name} must be None for a {layer.kind}; got {short(options[name])}. Fix: leave it out."
            )
    return options


@contextmanager
def untouched(layer: Module) -> Iterator[Callable[[], None]]:
    """Restore parameters, gradients and generators at the end.

    Yield a function that rewinds generators.
    """
    parameters = layer.flat_parameters.copy()
    states = [(rng.bit_generator, rng.bit_generator.state) for rng in generators(layer)]

    def rewind() -> None:
        for bit_generator, state in states:
            bit_generator.state = state

    try:
        with restored_gradients(layer):
            yield rewind
    finally:
        layer.flat_parameters[:] = parameters
        rewind()


def normal(rng: np.random.Generator, like: Tensor) -> Tensor:
    """Draw numbers from N(0, 1) in the shape of `like`."""
    return rng.standard_normal(like.shape)


def named_gradients(layer: Module, dx: Tensor | None, dstate: State) -> dict[str, Tensor]:
    """Return all gradients of a backward pass by name, without those that training does not compute."""
    fixed = layer.fixed_parameters
    parameters = {
        f"gradients[{name}]": gradient for name, gradient in layer.gradients.items() if name not in fixed
    }
    return flatten(dx, "dx") | flatten(dstate, "dstate") | parameters
