"""Backends with planted faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Wrapped:
    """A backend whose passes are replaced by functions of it and of the pass's arguments."""

    def __init__(
        self,
        backend: Any,
        *,
        forward: Callable[..., Any] | None = None,
        backward: Callable[..., Any] | None = None,
    ) -> None:
        self._backend, self._forward, self._backward = backend, forward, backward

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def forward(self, *arguments: Any) -> Any:
        own = self._backend.forward
        return own(*arguments) if self._forward is None else self._forward(own, *arguments)

    def backward(self, *arguments: Any) -> Any:
        own = self._backend.backward
        return own(*arguments) if self._backward is None else self._backward(own, *arguments)
