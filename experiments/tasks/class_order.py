"""Temporal order of two symbols, at any length, as in Pascanu, Mikolov and Bengio (2013)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

SYMBOLS = 6
CLASSES = 4


def class_order(rng: np.random.Generator, steps: int, rows: int) -> tuple[Array, Array]:
    """Return one batch of sequences, and the class of each sequence.

    Symbols 0 and 1 are A and B; symbols 2 to 5 are distractors. One A or B is at a random step in [0.1, 0.2)
    of the sequence, another one in [0.5, 0.6). The class tells which two symbols they are, in their order.

    Parameters
    ----------
    rng : numpy.random.Generator
    steps : int
        Length T of the sequences, at least 10.
    rows : int
        Number of sequences B.

    Returns
    -------
    x : ndarray
        (T, B, 6) float32, one-hot.
    target : ndarray
        (B,) classes 0 to 3: AA, AB, BA, BB.
    """
    symbols = rng.integers(2, SYMBOLS, (steps, rows))
    order = rng.integers(0, 2, (2, rows))
    for which, begin in enumerate((steps // 10, steps // 2)):
        position = rng.integers(begin, begin + steps // 10, rows)
        symbols[position, np.arange(rows)] = order[which]
    return np.eye(SYMBOLS, dtype=np.float32)[symbols], 2 * order[0] + order[1]
