"""Copies of a model whose vectors are filled later, so that large vectors are copied once only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

_root: ContextVar[object] = ContextVar("model whose copy gets vectors of zeros", default=None)


class Blank(NamedTuple):
    """The size and type of a vector that a copy does not copy."""

    size: int
    dtype: np.dtype[Any]


@contextmanager
def blank_copies(model: object) -> Iterator[None]:
    """Give copies of a model, and of the layers in it, vectors of zeros inside the context."""
    token = _root.set(model)
    try:
        yield
    finally:
        _root.reset(token)


def blank_root() -> object:
    """Return the model whose copies get zeros; None if there is none."""
    return _root.get()
