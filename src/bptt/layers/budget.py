"""A limit on the number of parameters, for configurations read from files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

_budget: ContextVar[int | None] = ContextVar("parameters that may still be allocated", default=None)


@contextmanager
def parameter_budget(count: int) -> Iterator[None]:
    """Limit the total number of parameters of modules built inside the context.

    A module that exceeds the limit raises ValueError before memory is allocated.
    """
    token = _budget.set(count)
    try:
        yield
    finally:
        _budget.reset(token)


def spend(count: int, dtype: np.dtype[Any]) -> None:
    """Subtract parameters that will be allocated from the budget.

    Raises the errors of `check_count`.
    """
    check_count(count, dtype)
    remaining = _budget.get()
    if remaining is not None:
        _budget.set(remaining - count)


def check_count(count: int, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if parameters do not fit the address space or the budget."""
    if count * dtype.itemsize > sys.maxsize:
        raise ValueError(
            f"sizes must give parameters that fit the address space; got {count} of {dtype.itemsize} bytes. "
            "Fix: use smaller sizes."
        )
    remaining = _budget.get()
    if remaining is not None and count > remaining:
        raise ValueError(
            f"config must describe at most {remaining} more parameters; got one that needs {count}. "
            "Fix: use the configuration that was saved with the parameters."
        )
