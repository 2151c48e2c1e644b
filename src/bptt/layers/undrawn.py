"""Layers without initial values, for code that writes all parameters itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import aligned_zeros, constant_zeros

Make: TypeAlias = "Callable[[int, np.dtype[Any]], npt.NDArray[Any]]"

_gradients: ContextVar[Make | None] = ContextVar("layers are built without initial values", default=None)


@contextmanager
def undrawn(*, for_training: bool = True) -> Iterator[None]:
    """Build layers whose parameters have any values inside the context.

    Drawing random numbers takes longer than reading the weights of a file. The layers count as copies: they
    do not know how to draw initial values.

    Parameters
    ----------
    for_training : bool
        False: the gradients of the layers are constant zeros, which need no memory. Only for layers that
        nobody trains, such as those of a snapshot.
    """
    token = _gradients.set(aligned_zeros if for_training else constant_zeros)
    try:
        yield
    finally:
        _gradients.reset(token)


def undrawn_gradients() -> Make | None:
    """Return what makes the gradients of layers without initial values; None if values are drawn."""
    return _gradients.get()
