"""Forecasts from scaled windows: points, bounds and drawn futures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.estimators.base import SequenceEstimator
from bptt.estimators.plan import Plan, draw
from bptt.estimators.sequences import Dense
from bptt.losses import Loss, MeanSquaredError, Quantile


class ForecastingNetwork(SequenceEstimator):
    """A network with the outputs of a `Plan`. Its windows are (n, window, F), in scaled units."""

    mean_: npt.NDArray[Any]
    scale_: npt.NDArray[Any]
    n_targets_: int
    _plan: Plan
    _path_seed: int

    def _loss(self) -> Loss:
        return Quantile(self._plan.levels) if self._plan.levels else MeanSquaredError()

    def _next(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the network's outputs (n, steps, K, levels), sorted because quantiles may cross."""
        y = self._outputs(Dense(windows))
        return np.sort(y.reshape(len(y), self._plan.steps, self.n_targets_, -1), axis=-1)

    def _points(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return medians or means, (n, H, K)."""
        middle = len(self._plan.levels) // 2
        if self._plan.strategy == "direct":
            return self._next(windows)[..., middle]
        steps: list[npt.NDArray[Any]] = []
        for _ in range(self._plan.horizon):
            steps.append(self._next(windows)[..., middle])
            windows = np.concatenate((windows[:, 1:], steps[-1]), axis=1)
        return np.concatenate(steps, axis=1)

    def _bounds(self, windows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return lower and upper bounds, each (n, H, K)."""
        if self._plan.strategy == "direct":
            levels = self._next(windows)
            return levels[..., 0], levels[..., -1]
        paths = np.stack([self._paths(window) for window in windows])
        # Weibull's quantiles are unbiased: the expected number of n draws below the k/(n + 1) quantile is k.
        tail = self._plan.tail
        lower, upper = np.quantile(paths, (tail, 1 - tail), axis=1, method="weibull")
        return lower, upper

    def _paths(self, window: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Draw futures (paths, H, F) of one window (window, F), independently of other windows."""
        rng = np.random.default_rng(self._path_seed)
        windows = np.repeat(window[None], self._plan.paths, axis=0)
        quantiles = np.repeat(self._next(window[None])[:, 0], self._plan.paths, axis=0)
        steps: list[npt.NDArray[Any]] = []
        for _ in range(self._plan.horizon):
            if steps:  # the first step has the same window in all futures
                windows = np.concatenate((windows[:, 1:], steps[-1]), axis=1)
                quantiles = self._next(windows)[:, 0]
            steps.append(draw(quantiles, rng).astype(windows.dtype)[:, None])
        return np.concatenate(steps, axis=1)

    def _unscaled(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        K = self.n_targets_
        y: npt.NDArray[np.float64] = values * self.scale_[:K] + self.mean_[:K]
        return y
