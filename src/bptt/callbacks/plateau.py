"""Lower the learning rate when the validation loss no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bptt.arguments import integer, real
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, metric_name, watched
from bptt.optim.schedules import Schedule, factor_below_one


class Plateau(Schedule, Callback):
    """Lower the learning rate when the validation loss, or a metric, no longer improves.

    A Trainer passes each validation to the schedule of its optimizer. In your own training loop, call
    `validation`. Like the state of the optimizer, the state of the schedule is saved with a run, and kept
    from one `fit` to the next. EarlyStopping in the same run needs a patience that is at least 2 larger.
    Otherwise the run stops before the rate is lowered.

    Parameters
    ----------
    lr : float
        Initial learning rate, at least 0.
    factor : float
        Factor of the rate at each cut, in (0, 1).
    patience : int
        Number of validations in a row that may fail to improve. The next failure lowers the rate and restarts
        the count, as in PyTorch. A loss that is not finite is a failure.
    min_delta : float
        A value counts as an improvement if it is lower than the last improvement by more than this.
    min_lr : float
        Lower bound of the rate; at most `lr`.
    metric : str, optional
        Name of one of the trainer's metrics to watch instead of the loss: "accuracy".

    Attributes
    ----------
    cuts : int
        Number of times the rate was lowered: the rate is max(lr factor^cuts, min_lr).
    best : float
        Validation loss or metric at the last improvement; infinity before the first. The sign of a metric is
        reversed if higher is better.
    waited : int
        Number of failures since the last improvement or cut.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range. From `fit`: there are no validation data, or the
        trainer does not have the metric.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> optimizer = bptt.Adam(bptt.schedules.Plateau(0.1, patience=2, min_delta=1.0))
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), optimizer)
    >>> history = trainer.fit(data, epochs=5, validation=data)
    >>> round(optimizer.lr, 6)
    0.01
    """

    def __init__(
        self,
        lr: float,
        *,
        factor: float = 0.1,
        patience: int = 2,
        min_delta: float = 0.0,
        min_lr: float = 0.0,
        metric: str | None = None,
    ) -> None:
        self.metric = metric_name(metric)
        self.lr = real(lr, "lr", 0.0)
        self.factor = factor_below_one(factor)
        self.patience = integer(patience, "patience", 0)
        self.min_delta = real(min_delta, "min_delta", 0.0)
        self.min_lr = real(min_lr, "min_lr", 0.0)
        if self.min_lr > self.lr:
            raise ValueError(
                f"min_lr must be at most lr, {self.lr:g}; got {self.min_lr:g}. Fix: pass a lower min_lr."
            )
        self.cuts, self.best, self.waited = 0, math.inf, 0

    def rate(self, step: int) -> float:
        return max(self.lr * self.factor**self.cuts, self.min_lr)

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there are validation data, and that the trainer has the metric."""
        check_watched("Plateau", trainer, self.metric, validation)

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        """Lower the rate if there are more than `patience` failures."""
        value = watched(trainer, self.metric, loss)
        if value < self.best - self.min_delta:
            self.best, self.waited = float(value), 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.cuts, self.waited = self.cuts + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Return `cuts`, `best` (None before the first improvement) and `waited`."""
        return {
            "cuts": self.cuts,
            "best": None if self.best == math.inf else self.best,
            "waited": self.waited,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned; raise as `Schedule.load_state_dict`."""
        super().load_state_dict(state)
        best = state["best"]
        restored = (
            integer(state["cuts"], "state['cuts']", 0),
            math.inf if best is None else real(best, "state['best']", -math.inf),
            integer(state["waited"], "state['waited']", 0),
        )
        self.cuts, self.best, self.waited = restored

    def __repr__(self) -> str:
        names = ("factor", "patience", "min_delta", "min_lr", "metric")
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"Plateau(lr={self.lr!r}, {options})"
