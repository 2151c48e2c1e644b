"""Rounding to bfloat16, the upper half of a float32 number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def to_bfloat16(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Round to the nearest bfloat16 number, ties to even, and return it in float64.

    float64 is rounded to float32 first. Subnormal numbers become zero, as in the instruction of the CPU.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers beyond float32, and of signalling NaN
        single = np.ascontiguousarray(values, np.float32)
        bits = single.view(np.uint32)
        even = (bits >> np.uint32(16)) & np.uint32(1)
        nearest = ((bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)).view(np.float32)
        subnormal = np.abs(single) < np.finfo(np.float32).tiny
        rounded = np.where(subnormal, np.copysign(np.float32(0.0), single), nearest)
        return np.where(np.isnan(single), single, rounded).astype(np.float64)
