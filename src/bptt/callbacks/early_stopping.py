"""Stop a run whose validation no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bptt.arguments import flag, real, size
from bptt.callbacks.best import BestParameters
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, is_new_run, metric_name, watched


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
    restore_best : bool
        Whether the model gets the parameters of its best validation at the end of the run. After Ctrl-C or an
        error, it keeps the last parameters. A `Checkpoint` holds the last parameters, from which a run can be
        resumed.

    Attributes
    ----------
    best : float
        Loss or metric at the last improvement; infinity before the first. The sign of a metric is reversed if
        higher is better.

    Raises
    ------
    ValueError
        From `fit`: there are no validation data, or the trainer does not have the metric.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, stop = bptt.MeanSquaredError(), bptt.EarlyStopping(patience=2, min_delta=1.0)
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[stop])
    >>> history = trainer.fit(data, epochs=50, validation=data)
    >>> len(history["validation_loss"])
    3
    """

    def __init__(
        self,
        patience: int = 3,
        *,
        min_delta: float = 0.0,
        metric: str | None = None,
        restore_best: bool = False,
    ) -> None:
        self.metric = metric_name(metric)
        self.patience = size(patience, "patience")
        self.min_delta = real(min_delta, "min_delta", 0.0)
        self.restore_best = flag(restore_best, "restore_best")
        self.best = math.inf
        self._waited: int | None = None
        self._kept = BestParameters()
        self._epochs, self._interrupted = 0, False

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there are validation data, and that the trainer has the metric."""
        check_watched("EarlyStopping", trainer, self.metric, validation)
        self._epochs, self._interrupted = epochs, False

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        if is_new_run(trainer, epoch):
            self.best, self._waited, self._kept = math.inf, None, BestParameters()

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        value = watched(trainer, self.metric, loss)
        if self.restore_best:
            self._kept.offer(value, trainer.model)
        improved = value < self.best - self.min_delta
        self._waited = 0 if improved or self._waited is None else self._waited + 1
        if improved:
            self.best = value
        if self._waited >= self.patience:
            trainer.stop()

    def interrupted(self, trainer: TrainerView) -> None:
        self._interrupted = True

    def fit_end(self, trainer: TrainerView) -> None:
        complete = trainer.stopping or trainer.epochs_done >= self._epochs
        if self.restore_best and complete and not self._interrupted:
            self._kept.restore(trainer.model)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self._waited, "kept": self._kept.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        best, waited, kept = float(state["best"]), state["waited"], BestParameters()
        kept.load_state_dict(state["kept"])
        self.best, self._waited, self._kept = best, None if waited is None else int(waited), kept
