"""Copies of a model whose parameters are written later, so that large vectors are copied once only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

_root: ContextVar[object] = ContextVar("model whose copies get no values", default=None)


class Blank(NamedTuple):
    """The size and type of vectors that a copy does not copy."""

    size: int
    dtype: np.dtype[Any]


@contextmanager
def blank_copies(model: object) -> Iterator[None]:
    """Give copies of a model, and of the layers in it, parameters of any values inside the context.

    Their gradients are constant zeros: these copies are for inference.
    """
    token = _root.set(model)
    try:
        yield
    finally:
        _root.reset(token)


def blank_root() -> object:
    """Return the model whose copies get no values; None if there is none."""
    return _root.get()
