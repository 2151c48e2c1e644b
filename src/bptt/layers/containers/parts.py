"""The layers of a model by name: their places, their options, and their states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from bptt.layers.module import Module

Key: TypeAlias = int | str
"""The name of a layer in its model: an index in a `Sequential`."""


def per_part(parts: Mapping[Key, Module], state: Any, name: str, pattern: str) -> tuple[Any, ...]:
    """Return a state with one entry per layer. `pattern` is the form of the model's state.

    Raises
    ------
    TypeError, ValueError
        If the state does not have one entry per layer.
    """
    if state is None:
        return (None,) * len(parts)
    expected = f"{name} must be a tuple with one entry per layer, such as {pattern}"
    fix = f"Fix: pass a state that the model returned, or {pattern}."
    if not isinstance(state, (tuple, list)):
        raise TypeError(f"{expected}; got {type(state).__name__}. {fix}")
    if len(state) != len(parts):
        raise ValueError(f"{expected}; got {len(state)} for {len(parts)} layers. {fix}")
    for (key, layer), entry in zip(parts.items(), state, strict=True):
        is_array = entry is not None and not isinstance(entry, (tuple, list))
        if is_array and layer.state_pattern not in ("h", "state"):
            actual = f"{type(entry).__name__} for layer {key!r}, {layer.kind}"
            raise TypeError(f"{expected}; got {actual}. {fix}")
    return tuple(state)


def inside(place: str, key: Key) -> str:
    """Return the place of a layer in the model at `place`."""
    return f"{place or 'model'}[{key!r}]"


def accepted(layer: Module, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call that a layer accepts."""
    return {name: value for name, value in options.items() if name in layer.call_options}
