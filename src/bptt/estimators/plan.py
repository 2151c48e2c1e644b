"""What a forecaster's network has as outputs, and draws from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PATH_LEVELS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Levels that stand for a whole distribution, from which the recursive strategy draws."""
PATHS = 200
"""How many futures the recursive strategy draws for an interval."""


@dataclass(frozen=True)
class Plan:
    """The parameters that the network was made for: `set_params` may change them before the next `fit`."""

    horizon: int
    window: int
    strategy: str
    coverage: float | None

    @property
    def steps(self) -> int:
        """How many steps the network has as outputs."""
        return self.horizon if self.strategy == "direct" else 1

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the outputs; none where they are means."""
        if self.coverage is None:
            return ()
        if self.strategy == "recursive":
            return PATH_LEVELS
        return (0.5 - self.coverage / 2, 0.5, 0.5 + self.coverage / 2)


def draw(quantiles: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """A value from each distribution: of quantiles (..., 13) at `PATH_LEVELS`, linear between; (...)."""
    levels = np.array(PATH_LEVELS)
    drawn = np.clip(rng.random(quantiles.shape[:-1]), levels[0], levels[-1])
    below = np.clip(np.searchsorted(levels, drawn, side="right") - 1, 0, len(levels) - 2)
    share = (drawn - levels[below]) / (levels[below + 1] - levels[below])
    low = np.take_along_axis(quantiles, below[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(quantiles, below[..., None] + 1, axis=-1)[..., 0]
    values: npt.NDArray[Any] = low + share * (high - low)
    return values
