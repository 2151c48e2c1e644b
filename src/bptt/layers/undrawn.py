"""Layers without initial values, for code that writes all parameters itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_undrawn: ContextVar[bool] = ContextVar("layers are built without initial values", default=False)


@contextmanager
def undrawn() -> Iterator[None]:
    """Build layers with parameters of 0 inside the context.

    Drawing random numbers takes longer than reading the weights of a file. The layers count as copies: they
    do not know how to draw initial values.
    """
    token = _undrawn.set(True)
    try:
        yield
    finally:
        _undrawn.reset(token)


def is_undrawn() -> bool:
    """Return whether layers are built without initial values."""
    return _undrawn.get()
