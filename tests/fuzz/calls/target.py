"""The form of a target of random calls, and what every target checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from tests.fuzz.draw import Draw

Target: TypeAlias = Callable[[Draw, str], object]
"""Makes what a public callable needs, and calls it with drawn arguments. The second argument is its name."""


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Check that parameters and gradients are as before if an error is raised."""
    before = model.flat_parameters.tobytes(), model.flat_gradients.tobytes()
    try:
        yield
    except Exception as error:
        after = model.flat_parameters.tobytes(), model.flat_gradients.tobytes()
        if after != before:
            raise AssertionError(f"{type(model).__name__} changed before this error: {error}") from error
        raise
