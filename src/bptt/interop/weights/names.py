"""Names of weights: prefixes of a state dict, and messages about names that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bptt.arguments import short

Shapes = Mapping[str, tuple[int, ...]]

_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""


def shapes_of(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of arrays by name."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def listing(shapes: Shapes, limit: int = 8) -> str:
    """Format names with their shapes for a message, at most `limit` of them."""
    entries = [f"{name!r:.80} {shape}" for name, shape in shapes.items()]
    more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
    return ", ".join(entries[:limit]) + more


def unwrap(arrays: Mapping[str, Any], prefix: str | None) -> tuple[dict[str, Any], str | None]:
    """Remove the prefixes of wrappers of the whole model, from the names and from `prefix`."""
    found = dict(arrays)
    for wrapper in _WRAPPERS * 2:
        if found and all(name.startswith(wrapper) for name in found):
            found = {name[len(wrapper) :]: value for name, value in found.items()}
            prefix = None if prefix is None else prefix.removeprefix(wrapper)
    return found, prefix


def parse_prefix(prefix: object) -> str:
    """Return a prefix that ends with a dot, or is empty.

    Raises
    ------
    TypeError
        If it is not a str.
    """
    if not isinstance(prefix, str):
        raise TypeError(
            f"prefix must be a str; got {short(prefix)} of type {type(prefix).__name__}. "
            "Fix: pass the name of the layer in the model, such as 'encoder.rnn'."
        )
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."


def below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the arrays whose names begin with the prefix, without it."""
    dotted = parse_prefix(prefix)
    return {name[len(dotted) :]: array for name, array in arrays.items() if name.startswith(dotted)}


def check_shapes(found: Shapes, expected: Shapes, subject: str, fix: str) -> None:
    """Raise ValueError unless both have the same names and shapes.

    The message lists missing names, unused names and wrong shapes.
    """
    missing = {name: shape for name, shape in expected.items() if name not in found}
    unused = {name: shape for name, shape in found.items() if name not in expected}
    wrong = [
        f"{name!r} {found[name]} in place of {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    complaints = [
        *([f"missing {listing(missing)}"] if missing else []),
        *([f"unused {listing(unused)}"] if unused else []),
        *([f"wrong shapes {', '.join(wrong[:8])}"] if wrong else []),
    ]
    if complaints:
        raise ValueError(f"{subject}; got {'; '.join(complaints)}. Fix: {fix}.")
