"""Models of Keras whose layers follow each other: `Sequential`, and `Model` with one path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bptt.arguments import short

MODELS = ("Sequential", "Functional")
_MASKS = ("NotEqual", "Any")
"""Operations with which Keras computes masks, beside the path."""

Entry = Mapping[str, Any]
"""A layer in the configuration of a model: class_name, config, and in a graph inbound_nodes."""


def chain_of(class_name: str, config: Mapping[str, Any], place: str) -> list[Entry]:
    """Return the layers of a model in the order in which they run.

    Raises
    ------
    TypeError
        If the configuration has another form.
    ValueError
        If the layers of a graph do not follow each other.
    """
    entries: Any = config.get("layers", ())
    for entry in entries if isinstance(entries, (list, tuple)) else [entries]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
            raise TypeError(
                f"{place} must have a config for each layer; got {short(entry)}. Fix: pass get_config()."
            )
    return list(entries) if class_name == "Sequential" else _path(entries, config, place)


def _path(entries: Sequence[Entry], config: Mapping[str, Any], place: str) -> list[Entry]:
    """Return the layers from the input to the output of a graph."""
    named = {entry.get("name", entry["config"].get("name")): entry for entry in entries}
    tensor = _history(config.get("output_layers"))
    found: list[Entry] = []
    while tensor is not None and tensor[0] in named and tensor[1:] == (0, 0) and len(found) < len(named):
        entry = named[tensor[0]]
        found.append(entry)
        if entry.get("class_name") == "InputLayer":
            aside = [name for name, other in named.items() if not any(other is part for part in found)]
            aside = [name for name in aside if named[name].get("class_name") not in _MASKS]
            if aside:
                break
            return found[::-1]
        tensor = _history(_inputs(entry))
    names = ", ".join(repr(name) for name in list(named)[:8])
    raise ValueError(
        f"{place} must have layers that follow each other, with one input and one output; got a graph of "
        f"{names}. Fix: pass a list of its layers in their order, model.layers, if they form a chain."
    )


def _inputs(entry: Entry) -> Any:
    """Return the place of the only tensor that a layer reads; None if it reads others."""
    nodes = entry.get("inbound_nodes")
    if not isinstance(nodes, Sequence) or len(nodes) != 1 or not isinstance(nodes[0], Mapping):
        return None
    options = nodes[0].get("kwargs", {})
    tensors = list(_tensors(nodes[0].get("args")))
    others = [name for name, value in options.items() if name != "mask" and list(_tensors(value))]
    return tensors[0] if len(tensors) == 1 and not others else None


def _tensors(value: Any) -> Iterator[Any]:
    """Yield the places of the tensors in the arguments of a call."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"].get("keras_history")
        else:
            for inner in value.values():
                yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)


def _history(value: Any) -> tuple[Any, ...] | None:
    """Return the name of a layer, and which of its calls and outputs a tensor is."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    fits = isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str)
    return tuple(value) if fits else None
