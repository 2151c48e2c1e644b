"""Clipping inside the recursion: what `backward(clip_state=...)` takes, and how the backends get it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bptt.arguments import real


@dataclass(frozen=True)
class StateClip:
    """Bounds of the error of every step's state; dL/dh_t and dL/dc_t are clipped separately.

    Each is the error from outside at step t plus the error from step t + 1. The clipped error flows on.

    Attributes
    ----------
    value : float
        Entries are brought into [-value, value]. NaN stays.
    norm : float
        Each row's vector, (P,) or (H,), is scaled down to this 2-norm, independently of the other rows.
    """

    value: float = math.inf
    norm: float = math.inf


NO_CLIP = StateClip()


@runtime_checkable
class ClipsState(Protocol):
    """ClipValue and ClipNorm."""

    def state_clip(self) -> StateClip: ...


def parse_clip_state(value: object) -> StateClip | None:
    """
    The bounds; None for none.

    Raises
    ------
    TypeError
        Neither a number, nor ClipValue or ClipNorm.
    ValueError
        A number not above 0; ClipNorm("auto"), which would need to see all steps before any.
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
            "Fix: clip_state=1.0, or clip_state=bptt.ClipNorm(1.0)."
        ) from None
