"""Parity of long bit strings, as in Hochreiter and Schmidhuber (1996)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def parity(rng: np.random.Generator, shortest: int, longest: int, rows: int) -> tuple[Array, Array, Array]:
    """Return bit strings, the parity of each one, and their lengths.

    Parameters
    ----------
    rng : numpy.random.Generator
    shortest, longest : int
        The lengths are uniform between these two, ends included.
    rows : int
        Number of strings B.

    Returns
    -------
    x : ndarray
        (longest, B, 1) float32: -1 for a 0, 1 for a 1, and 0 after the end of a string.
    target : ndarray
        (B,) booleans: the number of ones is odd.
    lengths : ndarray
        (B,) integers.
    """
    lengths = rng.integers(shortest, longest + 1, rows)
    inside = np.arange(longest)[:, None] < lengths
    bits = rng.integers(0, 2, (longest, rows)) * inside
    x = np.where(inside, 2 * bits - 1, 0).astype(np.float32)
    return x[:, :, None], bits.sum(axis=0) % 2 == 1, lengths
