"""The check of a real-valued setting that the training classes share."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np


def real(value: object, name: str, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """A finite float in [low, high), with `above` in (low, high).

    Raises
    ------
    TypeError, ValueError
        Not a number; not in the interval.
    """
    interval = f"a number {'>' if above else '>='} {low:g}" + (f" and < {high:g}" if high < math.inf else "")
    if isinstance(value, (bool, np.bool_, str, bytes)) or not isinstance(value, SupportsFloat):
        raise TypeError(
            f"{name} must be {interval}; got {value!r} of type {type(value).__name__}. Fix: pass a float."
        )
    number = float(value)
    if not ((number > low if above else number >= low) and number < high):
        raise ValueError(f"{name} must be {interval}; got {number}. Fix: pass a {name} inside this range.")
    return number
