"""Stop a run whose validation no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bptt.arguments import real, size
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, metric_name, watched


class EarlyStopping(Callback):
    """Stop a run whose validation loss, or metric, no longer improves.

    Parameters
    ----------
    patience : int
        Stop at the `patience`-th validation in a row without an improvement.
    min_delta : float
        A value counts as an improvement if it is better than the last improvement by more than this.
    metric : str, optional
        Name of one of the trainer's metrics to watch instead of the loss: "accuracy".

    Attributes
    ----------
    best : float
        Loss or metric at the last improvement; infinity before the first. The sign of a metric is reversed if
        higher is better.

    Raises
    ------
    ValueError
        From `fit`: there are no validation data, or the trainer does not have the metric.
    """

    def __init__(self, patience: int = 3, *, min_delta: float = 0.0, metric: str | None = None) -> None:
        self.metric = metric_name(metric)
        self.patience = size(patience, "patience")
        self.min_delta = real(min_delta, "min_delta", 0.0)
        self.best = math.inf
        self._waited: int | None = None

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there are validation data, and that the trainer has the metric."""
        check_watched("EarlyStopping", trainer, self.metric, validation)

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        if epoch == 0:
            self.best, self._waited = math.inf, None

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        value = watched(trainer, self.metric, loss)
        improved = value < self.best - self.min_delta
        self._waited = 0 if improved or self._waited is None else self._waited + 1
        if improved:
            self.best = value
        if self._waited >= self.patience:
            trainer.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        best, waited = float(state["best"]), state["waited"]
        self.best, self._waited = best, None if waited is None else int(waited)
