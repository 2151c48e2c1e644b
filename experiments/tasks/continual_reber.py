"""The embedded Reber grammar as an endless stream, as in Gers, Schmidhuber and Cummins (2000).

Strings of the embedded Reber grammar follow each other, and nothing marks where a string begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from experiments.tasks.reber import SYMBOLS, embedded_string

Array: TypeAlias = npt.NDArray[Any]


def _symbols(rng: np.random.Generator) -> Iterator[tuple[int, bool]]:
    """Yield the symbols of a stream, and whether each one repeats the outer T or P."""
    while True:
        string = embedded_string(rng)
        for position, symbol in enumerate(string):
            yield SYMBOLS.index(symbol), position == len(string) - 2


def continual_reber(rng: np.random.Generator, steps: int, rows: int) -> tuple[Array, Array, Array]:
    """Return streams, the next symbol of each step, and the steps whose next symbol needs memory.

    Parameters
    ----------
    rng : numpy.random.Generator
    steps : int
        Length T of the streams.
    rows : int
        Number of independent streams B.

    Returns
    -------
    x : ndarray
        (T, B, 7) float32, one-hot in the order of `SYMBOLS`.
    target : ndarray
        (T, B) the next symbols.
    outer : ndarray
        (T, B) booleans: the next symbol is the second outer T or P, which repeats the first one.
    """
    codes = np.empty((steps + 1, rows), np.int64)
    repeats = np.empty((steps + 1, rows), np.bool_)
    for row in range(rows):
        for step, (code, outer) in zip(range(steps + 1), _symbols(rng), strict=False):
            codes[step, row], repeats[step, row] = code, outer
    return np.eye(len(SYMBOLS), dtype=np.float32)[codes[:-1]], codes[1:], repeats[1:]
