"""Clipping inside the recursion: the argument `clip_state` of `backward`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bptt.arguments import real


@dataclass(frozen=True)
class StateClip:
    """Bounds of the error of every step's state.

    dL/dh_t and dL/dc_t are clipped separately. Each is the error from outside at step t plus the error from
    step t + 1. The clipped error flows to step t - 1.

    Attributes
    ----------
    value : float
        Entries are clipped to [-value, value]. NaN stays NaN.
    norm : float
        Each row's vector, (P,) or (H,), is scaled down to at most this 2-norm, independently of other rows.
    """

    value: float = math.inf
    norm: float = math.inf


NO_CLIP = StateClip()


@runtime_checkable
class ClipsState(Protocol):
    """A clip that can act inside the recursion: ClipValue or ClipNorm."""

    def state_clip(self) -> StateClip: ...


def parse_clip_state(value: object) -> StateClip | None:
    """Check the argument `clip_state`, and return the bounds. None: no clipping.

    Raises
    ------
    TypeError
        If `value` is not a number, ClipValue or ClipNorm.
    ValueError
        If `value` is a number not above 0, or ClipNorm("auto"), which would need all steps in advance.
    """
    if value is None or isinstance(value, StateClip):
        return value
    if isinstance(value, ClipsState):
        return value.state_clip()
    try:
        return StateClip(value=real(value, "clip_state", 0.0, above=True))
    except TypeError:
        raise TypeError(
            f"clip_state must be a number (by value), ClipValue or ClipNorm; got {type(value).__name__}. "
            "Fix: pass clip_state=1.0, or clip_state=bptt.ClipNorm(1.0)."
        ) from None
