"""The adding and the multiplication problem of Hochreiter and Schmidhuber (1997, experiments 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.04
"""A sequence is right if the error at its end is smaller."""


@dataclass(frozen=True)
class Pairs:
    """Sequences of pairs (value, marker), padded to the longest one.

    Attributes
    ----------
    x : ndarray
        (T, B, 2).
    target : ndarray
        (B, 1), for the output at the last step of each sequence.
    lengths : ndarray
        (B,), the number of steps.
    """

    x: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]


def marked_pairs(rng: np.random.Generator, steps: int, batch: int, *, product: bool = False) -> Pairs:
    """Return sequences of `steps` to 1.1 `steps` pairs.

    Values are uniform, in [-1, 1], or with `product` in [0, 1]. The first and the last marker are -1. One of
    the first ten pairs is marked with 1, and then one of the first steps / 2 - 1 other pairs. The target is
    0.5 + (X1 + X2) / 4, or with `product` X1 X2. If the first pair is marked, its value counts as 0, or with
    `product` as 1: its marker stays -1, so no network can see that it is marked.
    """
    lengths = rng.integers(steps, steps + steps // 10 + 1, batch)
    x = np.zeros((int(lengths.max()), batch, 2), np.float32)
    x[:, :, 0] = rng.uniform(0.0 if product else -1.0, 1.0, x.shape[:2])
    rows = np.arange(batch)
    x[np.arange(len(x))[:, None] >= lengths] = 0
    first = rng.integers(0, 10, batch)
    second = rng.integers(0, steps // 2 - 1, batch)
    second += second >= first
    neutral = 1.0 if product else 0.0
    values = [np.where(at == 0, neutral, x[at, rows, 0]) for at in (first, second)]
    x[first, rows, 1] = x[second, rows, 1] = 1
    x[0, :, 1] = x[lengths - 1, rows, 1] = -1
    target = values[0] * values[1] if product else 0.5 + (values[0] + values[1]) / 4
    return Pairs(x, target.astype(np.float32)[:, None], lengths)
