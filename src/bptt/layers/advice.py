"""Warnings about arguments that are valid but probably a mistake."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_silent: ContextVar[bool] = ContextVar("advice is off while layers are rebuilt", default=False)


def advise(message: str) -> None:
    """Issue a UserWarning at the line outside this package that called it."""
    if _silent.get():
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("bptt."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def advise_other_dropout(p: float) -> None:
    """Warn that dropout between layers does nothing in a single layer."""
    advise(
        f"dropout={p:g} does nothing in one layer, because it drops outputs between layers. "
        f"Fix: pass num_layers=2 or more, or put Dropout({p:g}) after the layer."
    )


@contextmanager
def unadvised() -> Iterator[None]:
    """Silence `advise` while layers are rebuilt from a file or from another layer."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)
