"""The temporal order problem of Hochreiter and Schmidhuber (1997, experiment 6a)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SYMBOLS = "EBabcdXY"
CLASSES = 4


@dataclass(frozen=True)
class Orders:
    """Sequences of one-hot symbols, padded to the longest one.

    Attributes
    ----------
    x : ndarray
        (T, B, 8).
    target : ndarray
        (B,), the class: 0 for X X, 1 for X Y, 2 for Y X, 3 for Y Y.
    lengths : ndarray
        (B,), the number of steps.
    """

    x: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def temporal_order(rng: np.random.Generator, batch: int) -> Orders:
    """Return sequences of 100 to 110 symbols.

    A sequence begins with E and ends with B. An X or Y is at positions 10 to 20 and 50 to 60, counted from 1.
    All other symbols are a, b, c or d. The class is the order of X and Y.
    """
    lengths = rng.integers(100, 111, batch)
    symbols = rng.integers(SYMBOLS.index("a"), SYMBOLS.index("d") + 1, (int(lengths.max()), batch))
    rows, marks = np.arange(batch), rng.integers(0, 2, (2, batch))
    symbols[0] = SYMBOLS.index("E")
    symbols[lengths - 1, rows] = SYMBOLS.index("B")
    symbols[rng.integers(9, 20, batch), rows] = SYMBOLS.index("X") + marks[0]
    symbols[rng.integers(49, 60, batch), rows] = SYMBOLS.index("X") + marks[1]
    x = np.eye(len(SYMBOLS), dtype=np.float32)[symbols]
    x[np.arange(len(x))[:, None] >= lengths] = 0
    return Orders(x, 2 * marks[0] + marks[1], lengths)
