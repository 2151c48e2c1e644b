"""Clipping inside the recursion: the error of each step is clipped.

The clipped error flows to the step before.

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
    """Clip the error of one step's state to its bounds.

    Without bounds, return it unchanged. A row within the norm keeps its bits, and so does a row with a NaN.
    If `value` does not bound an infinity, it becomes NaN and the finite entries of its row become 0.
    """
    if clip is None:
        return error
    error = np.clip(error, -clip.value, clip.value)
    if clip.norm == math.inf:
        return error

    # The square of a large entry may overflow. Divided by the row's largest entry, it cannot.
    largest = np.max(np.abs(error), axis=1, keepdims=True)
    scale = np.where((largest > 0.0) & (largest < math.inf), largest, 1.0)
    # A bound far above its row may overflow here, and a row that is not finite is invalid.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = error / scale
        length = np.sqrt(np.sum(scaled**2, axis=1, keepdims=True))
        exceeds = length > clip.norm / scale
        # The length 1 avoids a division by zero in rows that are not scaled.
        return np.where(exceeds, scaled * (clip.norm / np.where(exceeds, length, 1.0)), error)
