"""End a run that has reached its goal."""

from __future__ import annotations

from bptt.arguments import finite, short
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, metric_name


class Until(Callback):
    """End a run when the validation loss or a metric has reached a value.

    Parameters
    ----------
    metric : str
        Name of one of the trainer's metrics, or "loss" for the validation loss.
    above, below : float
        End the run after a validation with a value above `above`, or below `below`. Pass one of them.

    Attributes
    ----------
    reached : bool
        Whether the last validation of the last or current `fit` reached the value.

    Raises
    ------
    TypeError, ValueError
        `metric` is not a name, or not exactly one finite number is given. From `fit`: there are no validation
        data, or the trainer does not have the metric.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, until = bptt.MeanSquaredError(), bptt.Until("loss", below=0.5)
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[until])
    >>> history = trainer.fit(data, epochs=50, validation=data)
    >>> until.reached, len(history["validation_loss"])
    (True, 1)
    """

    def __init__(self, metric: str, *, above: float | None = None, below: float | None = None) -> None:
        name = metric_name(metric)
        if name is None:
            raise TypeError('metric must be the name of a metric; got None. Fix: pass "loss", or "accuracy".')
        self.metric = name
        if (above is None) == (below is None):
            raise ValueError(
                f"exactly one of above and below must be given; got above={short(above)} and "
                f'below={short(below)}. Fix: pass Until("accuracy", above=0.99), or Until("loss", below=0.1).'
            )
        self.above = None if above is None else finite(above, "above")
        self.below = None if below is None else finite(below, "below")
        self.reached = False

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there are validation data, and that the trainer has the metric."""
        metric = None if self.metric == "loss" else self.metric
        check_watched("Until", trainer, metric, validation, "Until")
        self.reached = False

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        value = trainer.history.validation()[f"validation_{self.metric}"]
        self.reached = (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )
        if self.reached:
            trainer.stop()
