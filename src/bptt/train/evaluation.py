"""Evaluate a model on data: outputs, loss and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from bptt.arrays import Floats
from bptt.data.batches import Batch
from bptt.data.model_axes import ModelAxes
from bptt.layers import Module
from bptt.losses.loss import Loss
from bptt.metrics.metric import Metric
from bptt.ranks.ranks import Ranks
from bptt.train.feed import carries_state, read_batches


def outputs(
    model: Module, axes: ModelAxes, data: Iterable[Any], *, need_target: bool
) -> Iterator[tuple[Batch, Floats]]:
    """Yield each batch with the model's output. The state is carried over if the data ask for it."""
    carries = carries_state(data, axes)
    state: Any = None
    for batch in read_batches(data, axes, need_target=need_target):
        y, state = model(batch.x, state if carries else None, **batch.options)
        yield batch, y


def measure(
    model: Module, axes: ModelAxes, loss: Loss, metrics: Iterable[Metric], ranks: Ranks, data: Iterable[Any]
) -> dict[str, float]:
    """Return the loss and the metrics over all rows of all ranks that count.

    The loss is the weighted mean over these rows, or their sum if the loss has the reduction "sum".

    Raises
    ------
    ValueError
        No row counts.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data, metrics = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))], [bptt.metrics.MAE()]
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), bptt.Adam(), metrics=metrics)
    >>> list(trainer.measure(data))
    ['loss', 'mae']
    """
    total, weight = 0.0, 0.0
    averages = loss.reduction == "mean"
    for metric in metrics:
        metric.reset()
    for batch, y in outputs(model, axes, data, need_target=True):
        mask = axes.mask(batch, y)
        target = cast("Any", batch.target)
        value = loss.value(y, target, mask, batch.weight)
        batch_weight = loss.total_weight(target, y.shape, mask, batch.weight)
        total += (batch_weight if averages else 1) * value
        weight += batch_weight
        mask = loss.counted(target, y.shape, mask)
        for metric in metrics:
            metric.add(y, target, mask, batch.weight)
    total, weight = ranks.total(total, weight)
    for metric in metrics:
        metric.merge(ranks.gather(metric.state()))
    if weight == 0:
        raise ValueError(
            "data must hold at least one row that counts; got none. Fix: pass at least one batch, and "
            "check its mask, lengths and weights."
        )
    return {"loss": total / weight if averages else total} | {metric.name: metric.value for metric in metrics}


class Evaluator:
    """Measure a model on data, with the rows of all ranks.

    Attributes
    ----------
    model : Module
    loss : Loss
    metrics : tuple of Metric
    rank, ranks : int
        Number of this process, and number of processes.
    """

    model: Module
    loss: Loss
    metrics: tuple[Metric, ...]
    _axes: ModelAxes
    _ranks: Ranks

    @property
    def rank(self) -> int:
        return self._ranks.rank

    @property
    def ranks(self) -> int:
        return self._ranks.size

    def evaluate(self, data: Iterable[Any]) -> float:
        """Return the weighted mean of the loss over all rows of all ranks that count.

        If the loss has the reduction "sum", return its sum over these rows.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`, or no row counts.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
        >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), bptt.Adam())
        >>> 0 < trainer.evaluate(data) < 1
        True
        """
        return self._measure(data, ())["loss"]

    def measure(self, data: Iterable[Any]) -> dict[str, float]:
        """Return the loss, named "loss", and the trainer's metrics by name.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`, no row counts, or a metric does not accept the outputs or targets.
        """
        return self._measure(data, self.metrics)

    def _measure(self, data: Iterable[Any], metrics: tuple[Metric, ...]) -> dict[str, float]:
        with self._ranks.all_or_none():
            return measure(self.model, self._axes, self.loss, metrics, self._ranks, data)

    def predict(self, data: Iterable[Any]) -> list[Floats]:
        """Return the model's outputs, one array per batch.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`, or batches of x alone. Targets are ignored.

        Returns
        -------
        list of ndarray

        Raises
        ------
        TypeError, ValueError
            `data` is not an iterable of batches, or the model does not accept the arrays. Or the data carry
            the state from batch to batch and the model has a bidirectional layer.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), bptt.Adam())
        >>> outputs = trainer.predict([np.ones((20, 4, 3)), np.ones((15, 2, 3))])
        >>> [y.shape for y in outputs]
        [(20, 4, 8), (15, 2, 8)]
        """
        return [y for _, y in outputs(self.model, self._axes, data, need_target=False)]
