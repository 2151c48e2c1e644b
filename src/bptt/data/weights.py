"""Weights of targets: numbers of at least 0, one for each target."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.data.tables import parse_real


def parse_weights(values: npt.ArrayLike, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Check weights, and return them as an array of this shape.

    Raises
    ------
    TypeError, ValueError
        The weights are not real numbers, have another shape, or one is negative or not finite.
    """
    array = parse_real(values, name)
    if array.shape != shape:
        raise ValueError(
            f"{name} must have shape {shape}, one entry for each target; got {array.shape}. "
            "Fix: pass one weight for each sequence, or for each step if there is one target per step."
        )
    wrong = array[~(np.isfinite(array) & (array >= 0))]
    if wrong.size:
        raise ValueError(
            f"{name} must hold finite numbers >= 0; got {wrong.flat[0]}. Fix: pass 0 for targets to ignore."
        )
    return array
