"""Copy memory: repeat ten symbols after a long delay, as in Arjovsky, Shah and Bengio (2016)."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

SYMBOLS = 8
LENGTH = 10
BLANK, MARKER = 0, 9
INPUTS, CLASSES = 10, 9


def copy_memory(rng: np.random.Generator, delay: int, rows: int) -> tuple[Array, Array]:
    """Return one batch of sequences, and the class of each step.

    Ten symbols come first, then `delay` - 1 blanks, a marker, and ten blanks. The target is blank until the
    marker, and then the ten symbols in their order.

    Parameters
    ----------
    rng : numpy.random.Generator
    delay : int
        T, at least 1.
    rows : int
        Number of sequences B.

    Returns
    -------
    x : ndarray
        (T + 20, B, 10) float32, one-hot: 0 is the blank, 1 to 8 are symbols, 9 is the marker.
    target : ndarray
        (T + 20, B) classes 0 to 8.
    """
    symbols = rng.integers(1, SYMBOLS + 1, (LENGTH, rows))
    inputs = np.full((delay + 2 * LENGTH, rows), BLANK)
    target = inputs.copy()
    inputs[:LENGTH] = symbols
    inputs[delay + LENGTH - 1] = MARKER
    target[-LENGTH:] = symbols
    return np.eye(INPUTS, dtype=np.float32)[inputs], target


def memoryless(delay: int) -> float:
    """Return the mean cross-entropy of blanks, followed by guesses, in nats."""
    return LENGTH * math.log(SYMBOLS) / (delay + 2 * LENGTH)
