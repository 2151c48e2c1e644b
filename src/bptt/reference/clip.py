"""Clipping inside the recursion: the error of one step's state is bounded, and the clipped error flows on.

    e' = min(max(e, -value), value)          entry by entry
    e" = e' min(1, norm / |e'|)              row by row

e is the whole dL/dh_t or dL/dc_t of one step, (B, N); |e'| is the 2-norm of one row of it.
"""

from __future__ import annotations

import math

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference.common import Array


def limited(error: Array, clip: StateClip | None) -> Array:
    """Clip the error of one step's state to its bounds; without bounds, return it unchanged.

    NaN stays NaN. A row within the norm keeps its bits, and a row with a NaN keeps its bits, too. An infinity
    that no `value` bounds becomes NaN, and the finite entries of its row become 0.
    """
    if clip is None:
        return error
    error = np.clip(error, -clip.value, clip.value)
    if clip.norm == math.inf:
        return error

    # The square of a large entry overflows, but not that of its ratio to the row's largest.
    largest = np.max(np.abs(error), axis=1, keepdims=True)
    scale = np.where((largest > 0.0) & (largest < math.inf), largest, 1.0)
    # What may overflow here is a bound far above its row; what may be invalid, a row that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = error / scale
        length = np.sqrt(np.sum(scaled**2, axis=1, keepdims=True))
        exceeds = length > clip.norm / scale
        # 1 where it is not to be used: a row of zeros has no direction
        return np.where(exceeds, scaled * (clip.norm / np.where(exceeds, length, 1.0)), error)
