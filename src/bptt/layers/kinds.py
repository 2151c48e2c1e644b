"""The classes that a file may name."""

from __future__ import annotations

from collections.abc import Mapping

from bptt.layers.module import Module

KINDS: dict[str, type[Module]] = {}
"""The classes that a checkpoint may name. No other class is built from a file."""


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
        raise ValueError(
            f"kind must be one of {', '.join(KINDS)}; got {kind!r}. Fix: use one of these layers."
        )
    return KINDS[kind].from_config(entry["config"])
