"""The outputs of a forecaster's network, and random draws from their distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PATH_LEVELS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Levels that describe a whole distribution, from which the recursive strategy draws."""
PATHS = 200
"""Smallest number of futures that the recursive strategy draws for an interval."""
PATHS_IN_TAIL = 4
"""Expected number of these futures beyond each bound of an interval."""
LARGEST_DRAWN_COVERAGE = 0.999
"""Above this coverage, an interval would need too many drawn futures."""


@dataclass(frozen=True)
class Plan:
    """Parameters at the time of `fit`: `set_params` may change the estimator's parameters later."""

    horizon: int
    window: int
    strategy: str
    coverage: float | None

    @property
    def steps(self) -> int:
        """Number of steps that the network outputs."""
        return self.horizon if self.strategy == "direct" else 1

    @property
    def tail(self) -> float:
        """Probability of a value below an interval, and also of a value above."""
        return 0.5 - (self.coverage or 0.0) / 2

    @property
    def levels(self) -> tuple[float, ...]:
        """Quantile levels of the outputs, in ascending order; empty if the outputs are means."""
        if self.coverage is None:
            return ()
        if self.strategy == "direct":
            return (self.tail, 0.5, 1 - self.tail)
        return PATH_LEVELS

    @property
    def paths(self) -> int:
        """Number of futures to draw for an interval."""
        return max(PATHS, math.ceil(PATHS_IN_TAIL / self.tail))


def draw(quantiles: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Draw one value from each distribution, given its quantiles at `PATH_LEVELS`.

    Between and beyond these levels, quantiles are linear in the logit of the level, so the tails are
    exponential.

    Parameters
    ----------
    quantiles : ndarray (..., 13)
        Quantiles in ascending order.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (...)
    """
    known = _logit(np.array(PATH_LEVELS))
    logits = _logit(np.maximum(rng.random(quantiles.shape[:-1]), np.finfo(np.float64).tiny))
    below = np.clip(np.searchsorted(known, logits, side="right") - 1, 0, len(known) - 2)
    weight = (logits - known[below]) / (known[below + 1] - known[below])
    low = np.take_along_axis(quantiles, below[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(quantiles, below[..., None] + 1, axis=-1)[..., 0]
    values: npt.NDArray[Any] = low + weight * (high - low)
    return values


def _logit(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = np.log(levels) - np.log1p(-levels)
    return values
