"""Adding two marked numbers, one in each half.

Le, Jaitly and Hinton (2015) and Arjovsky, Shah and Bengio (2016) use this task.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

CONSTANT = 1 / 6
"""Mean squared error of the constant answer 1: the variance of a sum of two numbers from [0, 1]."""


def adding_halves(rng: np.random.Generator, steps: int, rows: int) -> tuple[Array, Array]:
    """Return one batch of sequences, and their sums.

    Parameters
    ----------
    rng : numpy.random.Generator
    steps : int
        Length T of the sequences, at least 2.
    rows : int
        Number of sequences B.

    Returns
    -------
    x : ndarray
        (T, B, 2) float32: a number from [0, 1), and a marker. The marker is 1 at one step of each half.
    target : ndarray
        (B, 1) float32: the sum of the two marked numbers.
    """
    x = np.zeros((steps, rows, 2), np.float32)
    x[:, :, 0] = rng.random((steps, rows), dtype=np.float32)
    every = np.arange(rows)
    first, second = rng.integers(0, steps // 2, rows), rng.integers(steps // 2, steps, rows)
    x[first, every, 1] = x[second, every, 1] = 1
    return x, (x[first, every, 0] + x[second, every, 0])[:, None]
