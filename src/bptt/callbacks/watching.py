"""The validation loss or metric that a callback watches."""

from __future__ import annotations

import math

from bptt.arguments import short
from bptt.callbacks.callback import TrainerView
from bptt.metrics.metric import Metric


def metric_name(value: object, argument: str = "metric") -> str | None:
    """Check an argument that names a metric.

    Raises
    ------
    TypeError, ValueError
        `value` is neither None nor a name.
    """
    if value is None or (isinstance(value, str) and value):
        return value
    name = getattr(value, "name", None)
    fix = f"pass {argument}={name if isinstance(name, str) else 'accuracy'!r}"
    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"{argument} must be the name of a metric; got {short(value)}. Fix: {fix}.")


def check_watched(
    watcher: str, trainer: TrainerView, metric: str | None, validation: bool, argument: str = "metric"
) -> None:
    """Check that a run has the validation data and the metric that a callback watches.

    `watcher` and `argument` are the names of the callback and its argument in error messages.

    Raises
    ------
    ValueError
        There are no validation data, or there is no metric with this name.
    """
    if not validation:
        raise ValueError(
            f"validation must be given, because {watcher} watches the validation; got None. "
            "Fix: call fit(..., validation=data)."
        )
    if metric is not None:
        _metric(trainer, metric, argument)


def is_new_run(trainer: TrainerView, epoch: int) -> bool:
    """Return whether the epoch that begins is the first of a new run, not of a resumed run."""
    return epoch == 0 and len(trainer.history["loss"]) == 0


def watched(trainer: TrainerView, metric: str | None, loss: float) -> float:
    """Return the value that should become low: the validation loss, or the metric with this name.

    The sign of a metric is reversed if higher is better. Values that are not finite become NaN, which is
    never lower than the best value so far.
    """
    value = loss
    if metric is not None:
        value = trainer.history.validation()[f"validation_{metric}"]
        if _metric(trainer, metric).better == "higher":
            value = -value
    return value if math.isfinite(value) else math.nan


def _metric(trainer: TrainerView, name: str, argument: str = "metric") -> Metric:
    for metric in trainer.metrics:
        if metric.name == name:
            return metric
    names = ", ".join(metric.name for metric in trainer.metrics) or "no metrics"
    alternatives = {"best": "pass best=True", "Until": "pass 'loss'"}
    alternative = alternatives.get(argument, f"leave {argument} out")
    argument = "metric" if argument == "Until" else argument
    raise ValueError(
        f"{argument} must name one of the trainer's metrics ({names}); got {name!r}. Fix: correct the name, "
        f"add the metric to Trainer(metrics=[...]), or {alternative} to watch the loss."
    )
