"""Models of other libraries that `bptt.gradient_flow` measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_flows: dict[type, Callable[..., Any]] = {}


def register_flow(kind: type, flow: Callable[..., Any]) -> None:
    """Let `bptt.gradient_flow` call `flow` with its arguments for models of this class."""
    _flows[kind] = flow


def flow_for(model: object) -> Callable[..., Any] | None:
    """Return the function that measures a model of another library, or None."""
    for kind, flow in _flows.items():
        if isinstance(model, kind):
            return flow
    return None
