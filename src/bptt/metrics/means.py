"""Metrics that are means over rows, and functions of such means."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.losses.classes import CrossEntropy
from bptt.losses.rows import Weights
from bptt.losses.targets import as_classes, as_numbers, refuse_outside
from bptt.metrics.metric import Metric, Values


class Accuracy(Metric):
    """The fraction of rows whose largest output belongs to the target class.

    If outputs are equal, the first counts as the largest. A row that contains NaN counts as wrong. Targets
    are integer classes 0..C-1, in y's shape without its last axis.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.Accuracy()
    >>> metric.add([[2.0, 1.0], [0.0, 3.0]], [0, 0])
    >>> metric.value
    0.5
    """

    name = "accuracy"
    better = "higher"

    def parse_target(self, target: npt.ArrayLike, shape: tuple[int, ...]) -> Values:
        return as_classes(target, shape)

    def per_row(self, y: Floats, target: Values) -> Values:
        refuse_outside(target, y.shape[-1])
        right: Values = (y.argmax(axis=-1) == target) & ~np.isnan(y).any(axis=-1)
        return right


class BinaryAccuracy(Metric):
    """The fraction of outputs that predict their target.

    An output predicts its target if y > 0 for a target above 1/2, or y <= 0 for other targets. Outputs are
    logits, as for `BinaryCrossEntropy`. Targets are numbers in [0, 1], in y's shape. Each feature counts
    separately. NaN counts as wrong.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.BinaryAccuracy()
    >>> metric.add([[2.0], [-1.0]], [[1], [1]])
    >>> metric.value
    0.5
    """

    name = "binary_accuracy"
    better = "higher"

    def parse_target(self, target: npt.ArrayLike, shape: tuple[int, ...]) -> Values:
        return as_numbers(target, shape, np.dtype(np.float64))

    def per_row(self, y: Floats, target: Values) -> Values:
        refuse_no_probability(target)
        right: Values = ((y > 0) == (target > 0.5)) & ~np.isnan(y)
        return right


class _LogLikelihood(Metric):
    """A function of the mean of -log softmax(y)[target], in nats."""

    better = "lower"
    _loss = CrossEntropy(reduction="sum")

    def parse_target(self, target: npt.ArrayLike, shape: tuple[int, ...]) -> Values:
        return as_classes(target, shape)

    def update(self, y: Floats, target: Values, weight: Weights | None) -> None:
        self.total += self._loss.value(y, target, weight=weight)
        self.count += len(y) if weight is None else float(weight.sum())


class Perplexity(_LogLikelihood):
    """Exponential of the mean cross-entropy.

    This is the number of equally likely symbols with the same uncertainty. Targets as for `CrossEntropy`.
    Infinite if it is too large for float64, above about 1.8e308.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.Perplexity()
    >>> metric.add([[0.0, 0.0, 0.0, 0.0]], [2])
    >>> round(metric.value, 3)
    4.0
    """

    name = "perplexity"

    def compute(self) -> float:
        try:
            return math.exp(super().compute())
        except OverflowError:
            return math.inf


class BitsPerCharacter(_LogLikelihood):
    """The mean cross-entropy in bits.

    This is the size of a character if the model compresses the text. Targets as for `CrossEntropy`.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.BitsPerCharacter()
    >>> metric.add([[0.0, 0.0, 0.0, 0.0]], [2])
    >>> round(metric.value, 3)
    2.0
    """

    name = "bits_per_character"

    def compute(self) -> float:
        return super().compute() / math.log(2)


class _Error(Metric, ABC):
    """A mean over rows and features, of a function of y - target, computed in float64.

    Targets are numbers in y's shape.
    """

    better = "lower"

    def parse_target(self, target: npt.ArrayLike, shape: tuple[int, ...]) -> Values:
        return as_numbers(target, shape, np.dtype(np.float64))

    def per_row(self, y: Floats, target: Values) -> Values:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._size(np.subtract(y, target, dtype=np.float64))

    @abstractmethod
    def _size(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the term of each error, whose mean is computed."""


class RMSE(_Error):
    """The root of the mean of (y - target)^2 over rows and features.

    Targets are numbers in y's shape.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.RMSE()
    >>> metric.add([[2.0], [7.0]], [[1.0], [0.0]])
    >>> metric.value
    5.0
    """

    name = "rmse"

    def _size(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.square(errors)

    def compute(self) -> float:
        return math.sqrt(super().compute())


class MAE(_Error):
    """The mean of `|y - target|` over rows and features.

    Targets are numbers in y's shape.

    Examples
    --------
    >>> import bptt
    >>> metric = bptt.metrics.MAE()
    >>> metric.add([[2.0], [7.0]], [[1.0], [0.0]])
    >>> metric.value
    4.0
    """

    name = "mae"

    def _size(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.abs(errors)


def refuse_no_probability(target: Values) -> None:
    """Raise ValueError for the first target outside [0, 1]."""
    outside = ~((target >= 0) & (target <= 1))
    if outside.any():
        raise ValueError(
            f"target must hold numbers in [0, 1]; got {target[outside][0]}. Fix: rescale the target, or mask "
            "the row."
        )
