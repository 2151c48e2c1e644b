"""Calls that threads must not make at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class OneCall:
    """Runs one call at a time, and refuses another one meanwhile. A copy is not running."""

    def __init__(self) -> None:
        self._turn = [0]  # empty while a call runs

    def __reduce__(self) -> tuple[type[OneCall], tuple[()]]:
        return OneCall, ()

    def run(self, call: Callable[[], Result], message: str) -> Result:
        """Return the result of the call, or raise RuntimeError with the message."""
        taken: list[int] = []
        try:
            taken.extend(map(self._turn.pop, (0,)))  # no signal comes between taking the turn and storing it
            return call()
        except IndexError:
            if taken:
                raise
            raise RuntimeError(message) from None
        finally:
            self._turn.extend(taken)
