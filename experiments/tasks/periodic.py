"""A periodic function to generate without input, as in Gers, Schraudolph and Schmidhuber (2002)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def raised_cosine(period: int, periods: int) -> tuple[Array, Array]:
    """Return a constant input, and the wave that the network must generate.

    Parameters
    ----------
    period : int
        Length F of one period, in steps.
    periods : int
        Number of periods.

    Returns
    -------
    x : ndarray
        (T, 1, 1) float32, all 1, with T = period * periods.
    target : ndarray
        (T, 1, 1) float32: (1 - cos(2 pi t / F)) / 2.
    """
    phase = 2 * np.pi * np.arange(period * periods) / period
    wave = (1 - np.cos(phase)) / 2
    return np.ones((len(wave), 1, 1), np.float32), wave.astype(np.float32)[:, None, None]
