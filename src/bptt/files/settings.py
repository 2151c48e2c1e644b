"""Settings of a training run as JSON values, which are compared when the run is resumed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from bptt.optim.clip import ClipNorm, NoClip
from bptt.optim.optimizer import Optimizer


def describe(value: Any) -> Any:
    """Describe a value in JSON: an object by its kind and the arguments of its constructor.

    Numbers and texts stay as they are. A function is described by its name, any other value by its type.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [describe(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(name): describe(entry) for name, entry in value.items()}
    if inspect.isroutine(value):
        return getattr(value, "__name__", type(value).__name__)
    kind = type(value)
    try:
        names = list(inspect.signature(kind).parameters)
    except (TypeError, ValueError):
        names = []
    known = {name: getattr(value, name) for name in names if hasattr(value, name)}
    if isinstance(value, ClipNorm) and value.auto:
        known["max_norm"] = "auto"
    if isinstance(value, Optimizer):
        known["lr"] = value.given_lr
    return {"kind": kind.__name__, **{name: describe(entry) for name, entry in known.items()}}


def differences(saved: Any, given: Any, name: str = "", words: tuple[str, str] = ("was", "now")) -> list[str]:
    """Return a short text for each difference of two descriptions, with `words` before the two values."""
    was, now = words
    if isinstance(saved, Mapping) and isinstance(given, Mapping):
        if saved.get("kind") != given.get("kind"):
            return [f"{name} {was} {_kind(saved)}, {now} {_kind(given)}"]
        changed: list[str] = []
        for key in (*saved, *(key for key in given if key not in saved)):
            inner = (f"{name}.{key}" if name else str(key))[:200]
            if key in saved and key in given:
                changed += differences(saved[key], given[key], inner, words)
            else:
                changed.append(f"{inner} {was} {_short(saved.get(key))}, {now} {_short(given.get(key))}")
        return changed
    return [] if saved == given else [f"{name} {was} {_short(saved)}, {now} {_short(given)}"]


def _short(value: Any) -> str:
    return _kind(value) if isinstance(value, Mapping) and "kind" in value else f"{value!s:.60}"


def _kind(described: Mapping[str, Any]) -> str:
    kind = str(described.get("kind", "a mapping"))[:60]
    return "None" if kind == NoClip.__name__ else kind  # Trainer(clip=None) keeps a NoClip
