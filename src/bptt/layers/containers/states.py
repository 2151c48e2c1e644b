"""States of models: tuples with one entry per layer."""

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
