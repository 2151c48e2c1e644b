"""Precision, recall, F1 and the area under the ROC curve, which scikit-learn computes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import choice
from bptt.arrays import Floats
from bptt.losses.rows import Weights
from bptt.losses.targets import as_classes, as_numbers, refuse_outside
from bptt.metrics.metric import Metric, Values

AVERAGES = ("binary", "macro", "weighted", "micro")


class _Scored(Metric):
    """Base class of metrics of classes that scikit-learn computes.

    Outputs (..., C) with C > 1 are logits of classes, with integer targets 0..C-1. Outputs (..., 1) are
    logits of class 1, with targets 0 or 1 of the same shape.
    """

    better = "higher"

    def __init__(self) -> None:
        self._sklearn = _import_metrics(type(self).__name__)
        super().__init__()

    def parse_target(self, target: npt.ArrayLike, shape: tuple[int, ...]) -> Values:
        if shape[-1] > 1:
            return as_classes(target, shape)
        return as_numbers(target, shape, np.dtype(np.float64))[..., 0]

    def update(self, y: Floats, target: Values, weight: Weights | None) -> None:
        if y.shape[-1] == 1 and not ((target == 0) | (target == 1)).all():
            wrong = target[(target != 0) & (target != 1)][0]
            raise ValueError(
                f"target must hold 0 or 1 for outputs (..., 1); got {wrong}. Fix: pass target > 0.5, or mask "
                "the row."
            )
        classes = target.astype(np.int64)
        refuse_outside(classes, max(2, y.shape[-1]))
        self._refuse_another_size(y.shape[-1])
        self._add(y, classes, np.ones(len(y)) if weight is None else weight)
        self.count += len(y) if weight is None else float(weight.sum())

    @abstractmethod
    def _refuse_another_size(self, outputs: int) -> None:
        """Raise ValueError if earlier batches had another number of outputs."""

    @abstractmethod
    def _add(self, y: Floats, classes: npt.NDArray[np.int64], weight: Weights) -> None:
        """Add rows and their weights."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_sklearn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._sklearn = _import_metrics(type(self).__name__)


class _Counted(_Scored):
    """A metric that is computed from how often each class is predicted for each class.

    A row that contains NaN predicts no class.

    Parameters
    ----------
    average : {"binary", "macro", "weighted", "micro"}
        As in scikit-learn. "binary": of class 1, for models with one or two outputs. "macro": the mean over
        classes. "weighted": this mean, weighted by how often each class occurs. "micro": over all rows.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError, ValueError
        `average` is unknown. From `add`: "binary" with more than two outputs.
    """

    _position: ClassVar[int]
    """Position in the result of `precision_recall_fscore_support`."""

    def __init__(self, average: str = "binary") -> None:
        self.average = choice(average, "average", AVERAGES)
        super().__init__()

    def reset(self) -> None:
        self.count = 0
        self._counts: Weights | None = None

    def _refuse_another_size(self, outputs: int) -> None:
        classes = max(2, outputs)
        if self.average == "binary" and classes > 2:
            raise ValueError(
                f'average must be "macro", "weighted" or "micro" for {classes} classes; got "binary". Fix: '
                f'pass {type(self).__name__}("macro").'
            )
        if self._counts is not None and len(self._counts) != classes:
            raise ValueError(
                f"y must have as many classes as in earlier batches, {len(self._counts)}; got {classes}. "
                "Fix: call reset() before another model is measured."
            )

    def _add(self, y: Floats, classes: npt.NDArray[np.int64], weight: Weights) -> None:
        size = max(2, y.shape[-1])
        predicted = (y[:, 0] > 0).astype(np.int64) if y.shape[-1] == 1 else y.argmax(axis=-1)
        predicted = np.where(np.isnan(y).any(axis=-1), size, predicted)
        cells = np.bincount(classes * (size + 1) + predicted, weight, size * (size + 1))
        counts: Weights = cells.reshape(size, size + 1).astype(np.float64)
        self._counts = counts if self._counts is None else self._counts + counts

    def compute(self) -> float:
        """Compute the value: 0 where scikit-learn divides 0 by 0."""
        counts = np.zeros((2, 3)) if self._counts is None else self._counts
        size = len(counts)
        true, predicted = (cells.reshape(-1) for cells in np.indices(counts.shape))
        labels = [1] if self.average == "binary" else list(range(size))
        scores = self._sklearn.precision_recall_fscore_support(
            true,
            predicted,
            labels=labels,
            average="macro" if self.average == "binary" else self.average,
            sample_weight=counts.reshape(-1),
            zero_division=0,
        )
        return float(scores[self._position])

    def state(self) -> Any:
        return self.count, self._counts

    def merge(self, states: Sequence[Any]) -> None:
        self.count = sum(count for count, _ in states)
        parts = [counts for _, counts in states if counts is not None]
        self._counts = np.sum(parts, axis=0) if parts else None


class Precision(_Counted):
    """The fraction of predictions of a class that are right.

    Parameters
    ----------
    average : {"binary", "macro", "weighted", "micro"}
        As for `F1`.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.Precision()
    >>> metric.add([[2.0], [1.0], [-1.0]], [[1], [0], [1]])
    >>> metric.value
    0.5
    """

    name = "precision"
    _position = 0


class Recall(_Counted):
    """The fraction of the rows of a class that are predicted.

    Parameters
    ----------
    average : {"binary", "macro", "weighted", "micro"}
        As for `F1`.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.Recall()
    >>> metric.add([[2.0], [1.0], [-1.0]], [[1], [0], [0]])
    >>> metric.value
    1.0
    """

    name = "recall"
    _position = 1


class F1(_Counted):
    """The harmonic mean of precision and recall, over all batches.

    Outputs (..., C) with C > 1 are logits of classes, with integer targets. Outputs (..., 1) are logits of
    class 1, with targets 0 or 1 of the same shape. `Precision` and `Recall` have the same parameters.

    The metric keeps how often each class is predicted for each class. scikit-learn computes the value.

    Parameters
    ----------
    average : {"binary", "macro", "weighted", "micro"}
        As in scikit-learn. "binary": of class 1, for models with one or two outputs. "macro": the mean over
        classes. "weighted": this mean, weighted by how often each class occurs. "micro": over all rows.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError, ValueError
        `average` is unknown. From `add`: as for Metric, or "binary" with more than two outputs.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.F1()
    >>> metric.add([[2.0], [1.0], [-1.0]], [[1], [0], [1]])
    >>> metric.value
    0.5
    """

    name = "f1"
    _position = 2


class AUC(_Scored):
    """The area under the ROC curve, over all batches.

    This is the probability that a row of class 1 has a larger output than a row of class 0. With more than
    two classes, it is computed for each class against all other classes, and averaged. Outputs and targets
    are as for `F1`. The value is NaN if a class does not occur, or an output is not finite.

    The metric keeps the outputs of all rows. scikit-learn computes the value.

    Parameters
    ----------
    average : {"macro", "weighted"}
        For more than two classes: the mean over classes, or this mean weighted by how often each class
        occurs.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError, ValueError
        `average` is unknown. From `add`: as for Metric.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.AUC()
    >>> metric.add([[2.0], [1.0], [-1.0]], [[1], [0], [1]])
    >>> metric.value
    0.5
    """

    name = "auc"

    def __init__(self, average: str = "macro") -> None:
        self.average = choice(average, "average", ("macro", "weighted"))
        super().__init__()

    def reset(self) -> None:
        self.count = 0
        self._rows: list[tuple[Floats, npt.NDArray[np.int64], Weights]] = []

    def _refuse_another_size(self, outputs: int) -> None:
        if self._rows and self._rows[0][0].shape[-1] != outputs:
            raise ValueError(
                f"y must have as many outputs as in earlier batches, {self._rows[0][0].shape[-1]}; got "
                f"{outputs}. Fix: call reset() before another model is measured."
            )

    def _add(self, y: Floats, classes: npt.NDArray[np.int64], weight: Weights) -> None:
        self._rows.append((y.copy(), classes, weight.copy()))

    def compute(self) -> float:
        y, classes, weight = (np.concatenate(parts) for parts in zip(*self._rows, strict=True))
        y = y.astype(np.float64)
        size = max(2, y.shape[-1])
        if len(np.unique(classes)) < size or not np.isfinite(y).all():
            return float("nan")
        if size == 2:
            scores = y[:, 0] if y.shape[-1] == 1 else y[:, 1] - y[:, 0]
            return float(self._sklearn.roc_auc_score(classes, scores, sample_weight=weight))
        areas = [
            self._sklearn.roc_auc_score(classes == k, y[:, k] - _others(y, k), sample_weight=weight)
            for k in range(size)
        ]
        shares = np.bincount(classes, weight) if self.average == "weighted" else None
        return float(np.average(areas, weights=shares))

    def state(self) -> Any:
        return self.count, self._rows

    def merge(self, states: Sequence[Any]) -> None:
        self.count = sum(count for count, _ in states)
        self._rows = [part for _, rows in states for part in rows]


def _others(y: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Return log sum exp of all other outputs: y[k] less this number orders rows as softmax(y)[k] does."""
    others: npt.NDArray[np.float64] = np.logaddexp.reduce(np.delete(y, k, axis=-1), axis=-1)
    return others


def _import_metrics(name: str) -> Any:
    try:
        return import_module("sklearn.metrics")
    except ImportError:
        raise ImportError(f"{name} needs scikit-learn: pip install 'bptt[sklearn]'") from None
