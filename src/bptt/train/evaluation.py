"""A model's outputs on data, and how good they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from bptt.arrays import Floats
from bptt.data.batches import Batch, ModelAxes
from bptt.layers import Module
from bptt.losses.loss import Loss
from bptt.losses.metrics import Metric
from bptt.ranks.ranks import Ranks
from bptt.train.feed import carries_state, read_batches
from bptt.train.step import counted


def outputs(
    model: Module, axes: ModelAxes, data: Iterable[Any], *, need_target: bool
) -> Iterator[tuple[Batch, Floats]]:
    """Yield each batch and the model's output, with the state carried where the data say so."""
    carries = carries_state(data, axes)
    state: Any = None
    for batch in read_batches(data, axes, need_target=need_target):
        y, state = model(batch.x, state if carries else None, **batch.options)
        yield batch, y


def measure(
    model: Module, axes: ModelAxes, loss: Loss, metrics: Iterable[Metric], ranks: Ranks, data: Iterable[Any]
) -> dict[str, float]:
    """Return the mean loss and the metrics over all rows that count, of all ranks.

    Raises
    ------
    ValueError
        No row counts.
    """
    total, count = 0.0, 0
    for metric in metrics:
        metric.reset()
    for batch, y in outputs(model, axes, data, need_target=True):
        mask = axes.mask(batch, y)
        rows = counted(y, mask)
        target = cast("Any", batch.target)
        total += rows * loss.value(y, target, mask)
        count += rows
        for metric in metrics:
            metric.add(y, target, mask)
    total, count = ranks.total(total, count)
    for metric in metrics:
        metric.total, metric.count = ranks.total(metric.total, metric.count)
    if count == 0:
        raise ValueError(
            "data must hold at least one row that counts; got none. Fix: pass at least one batch, and "
            "check its mask and lengths."
        )
    return {"loss": total / count} | {metric.name: metric.value for metric in metrics}


class Evaluator:
    """Measures a model on data, with the rows of all ranks.

    Attributes
    ----------
    model : Module
    loss : Loss
    metrics : tuple of Metric
    rank, ranks : int
        The number of this process, and how many processes there are.
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
        """Return the mean loss over all rows that count, of all ranks.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; no row that counts.
        """
        return self._measure(data, ())["loss"]

    def measure(self, data: Iterable[Any]) -> dict[str, float]:
        """Return the mean loss under the name "loss", and the trainer's metrics under theirs.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; no row that counts; outputs or targets that a metric refuses.
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
            As for `fit`, or of x alone; targets are ignored.

        Returns
        -------
        list of ndarray

        Raises
        ------
        TypeError, ValueError
            Data that is no iterable of batches; arrays that the model refuses; data that carries state
            through a bidirectional layer.
        """
        return [y for _, y in outputs(self.model, self._axes, data, need_target=False)]
