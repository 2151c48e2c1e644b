"""What a gradient clip has learnt, saved and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bptt.train.clip import ClipNorm, Guard


def guard_state(guard: Guard | None) -> dict[str, Any]:
    """What a clip has learnt: its own `state_dict()` if it has one."""
    if guard is None:
        return {}
    own = getattr(guard, "state_dict", None)
    if callable(own):
        return dict(own())
    state: dict[str, Any] = {"nonfinite_steps": guard.nonfinite_steps}
    if isinstance(guard, ClipNorm) and guard.auto:
        state |= {"max_norm": guard.max_norm, "norms": list(guard._norms)}
    groups = getattr(guard, "groups", None)
    if groups is not None:
        state["groups"] = {pattern: guard_state(member) for pattern, member in groups.items()}
    return state


def load_guard(guard: Guard | None, state: Mapping[str, Any]) -> None:
    """Take over what `guard_state` gave for a clip of the same settings."""
    if guard is None:
        return
    own = getattr(guard, "load_state_dict", None)
    if callable(own):
        own(state)
        return
    guard.nonfinite_steps = int(state["nonfinite_steps"])
    if isinstance(guard, ClipNorm) and guard.auto:
        guard.max_norm = float(state["max_norm"])
        guard._norms.clear()
        guard._norms.extend(float(norm) for norm in state["norms"])
    for pattern, member in getattr(guard, "groups", {}).items():
        load_guard(member, state["groups"][pattern])
