"""The classes that a file may name: the layers of this package, and layers that `register` adds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TypeVar

from bptt.arguments import short
from bptt.layers.module import Module

KINDS: dict[str, type[Module]] = {}
"""The classes that a checkpoint may name. No other class is built from a file."""

LayerClass = TypeVar("LayerClass", bound=type[Module])


def register(cls: LayerClass) -> LayerClass:
    """Let files hold layers of your own class, so that `bptt.save` and `bptt.load` work with them.

    Use it as a decorator of the class. A file holds the name of the class, its `config()` and its parameters,
    but no code. Before you load the file, import the module that registers the class. `bptt.load` calls the
    constructor with values from the file, so the constructor must check them.

    Parameters
    ----------
    cls : type
        A subclass of `Module`. `cls(**layer.config())` must build a layer of the same form.

    Returns
    -------
    type
        `cls` itself.

    Raises
    ------
    TypeError
        If `cls` is not a subclass of `Module`, or is abstract.
    ValueError
        If another class of this name is registered, or this package has a layer of this name.

    Examples
    --------
    >>> import bptt
    >>> @bptt.register
    ... class Tripled(bptt.Linear):
    ...     def forward(self, x, state=None):
    ...         return super().forward(2 * x, state)
    >>> bptt.save("tripled.safetensors", Tripled(3, 8))
    >>> bptt.load("tripled.safetensors").kind
    'Tripled'
    """
    if not (isinstance(cls, type) and issubclass(cls, Module)):
        raise TypeError(
            f"cls must be a subclass of bptt.Module; got {short(cls)}. "
            "Fix: write @bptt.register above the line class MyLayer(bptt.Module):"
        )
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise TypeError(
            f"cls must define all methods of a layer; got {cls.__name__} without {missing}. "
            f"Fix: define {missing} in the class."
        )
    known = KINDS.get(cls.kind)
    # A notebook defines the same class again whenever its cell runs.
    same = known is not None and (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
    if known is not None and known is not cls and not same:
        raise ValueError(
            f"cls must have a name that no other layer has; got {cls.__name__}, the name of "
            f"{known.__module__}.{known.__qualname__}. "
            "Fix: rename the class, because a file holds only its name."
        )
    KINDS[cls.kind] = cls
    return cls


def unknown_kind(kind: object) -> str:
    """Return the end of a message about a kind that is not registered."""
    return (
        f"the known kinds are {', '.join(KINDS)}. Fix: if {short(kind)} is a class of your own, put "
        "@bptt.register above it, and import its module first"
    )


def build_layer(entry: object) -> Module:
    """Build a layer from its kind and its configuration, as a configuration of a model holds them.

    Raises
    ------
    TypeError, ValueError
        If the entry has another form, the kind is unknown, or the configuration does not fit the kind.
    """
    if (
        not isinstance(entry, Mapping)
        or set(entry) != {"kind", "config"}
        or not isinstance(entry["config"], Mapping)
    ):
        raise ValueError(
            "config must hold a kind and a config for each layer; got an entry without them. "
            "Fix: pass the result of config()."
        )
    kind = entry["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be the kind of a layer; got {kind!r:.40}; {unknown_kind(kind)}.")
    return KINDS[kind].from_config(entry["config"])
