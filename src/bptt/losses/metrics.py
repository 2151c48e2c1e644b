"""Metrics: sums over all rows, for any division into batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.losses.loss import CrossEntropy, Mask, check_outputs, row_mask
from bptt.losses.targets import as_classes, as_numbers, refuse_outside

Scalar = TypeVar("Scalar", bound=np.generic)


class Metric(ABC):
    """Base class of metrics.

    Call `metric.add(y, target, mask)` for every batch, then read `metric.value`. `metric.reset()` starts
    again.

    The value is computed from one quotient over all batches, `total` / `count`. Both are sums over rows, so
    every unmasked row has the same weight in batches of any size. Several processes may add up their sums.

    Attributes
    ----------
    name : str
        Such as "bits_per_character".
    better : "higher" or "lower"
        Which values are better.
    total : float
        Sum so far, in float64.
    count : int
        Number of rows, or numbers, in the sum.
    """

    name: ClassVar[str]
    better: ClassVar[Literal["higher", "lower"]]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set the sums to zero."""
        self.total, self.count = 0.0, 0

    def add(self, y: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> None:
        """Add a batch to the sums. A call that raises an error adds nothing.

        Parameters
        ----------
        y : array-like (..., C)
            Outputs of a model: (T, B, C) or (B, C).
        target : array-like
            Targets, as the metric describes them. Masked rows may hold any values.
        mask : array-like of bool (...), optional
            Rows where it is False do not count.

        Raises
        ------
        TypeError
            If `y` or `target` has the wrong type, or `mask` is not an array of bool.
        ValueError
            If the shapes do not match, or a class in an unmasked row is outside 0..C-1.
        """
        outputs = check_outputs(y)
        rows = outputs.shape[:-1]
        total, count = self._sums(
            outputs, target, None if mask is None else row_mask(mask, rows).reshape(rows)
        )
        self.total += total
        self.count += count

    @property
    def value(self) -> float:
        """The metric over all batches that were added.

        NaN in an unmasked row may make it NaN.

        Raises
        ------
        ValueError
            If no batch with an unmasked row was added.
        """
        if self.count == 0:
            raise ValueError(f"{self.name} needs a row that is not masked; got none. Fix: add a batch first.")
        return self._finish(self.total / self.count)

    @abstractmethod
    def _sums(self, y: Floats, target: npt.ArrayLike, mask: Mask | None) -> tuple[float, int]:
        """Return the terms that a batch adds to `total` and `count`."""

    def _finish(self, mean: float) -> float:
        """Compute the value of the metric from the mean."""
        return mean

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'{self.value:.6g} over {self.count}' if self.count else ''})"


class Accuracy(Metric):
    """The fraction of rows whose largest output belongs to the target class.

    Of equal outputs, the first counts as the largest. A row that contains NaN counts as wrong. Targets are
    integer classes 0..C-1, in y's shape without its last axis.
    """

    name = "accuracy"
    better = "higher"

    def _sums(self, y: Floats, target: npt.ArrayLike, mask: Mask | None) -> tuple[float, int]:
        classes = as_classes(target, y.shape)
        counted, classes = _counted(y, mask), _counted(classes, mask)
        refuse_outside(classes, y.shape[-1])
        if not classes.size:
            return 0.0, 0
        right = (counted.argmax(axis=-1) == classes) & ~np.isnan(counted).any(axis=-1)
        return float(np.count_nonzero(right)), right.size


class BinaryAccuracy(Metric):
    """The fraction of outputs that predict their target.

    An output predicts its target if y > 0 for a target above 1/2, or y <= 0 for other targets. Outputs are
    logits, as for `BinaryCrossEntropy`. Targets are numbers in [0, 1], in y's shape. Each feature counts
    separately. NaN counts as wrong.
    """

    name = "binary_accuracy"
    better = "higher"

    def _sums(self, y: Floats, target: npt.ArrayLike, mask: Mask | None) -> tuple[float, int]:
        numbers = as_numbers(target, y.shape, np.dtype(np.float64))
        outputs = np.asarray(_counted(y, mask), np.float64)
        probabilities = np.asarray(_counted(numbers, mask), np.float64)
        outside = ~((probabilities >= 0) & (probabilities <= 1))
        if outside.any():
            raise ValueError(
                f"target must hold numbers in [0, 1]; got {probabilities[outside][0]}. Fix: rescale the "
                "target, or mask the row."
            )
        right = ((outputs > 0) == (probabilities > 0.5)) & ~np.isnan(outputs)
        return float(np.count_nonzero(right)), right.size


class _LogLikelihood(Metric):
    """A function of the mean of -log softmax(y)[target], in nats."""

    better = "lower"
    _loss = CrossEntropy()

    def _sums(self, y: Floats, target: npt.ArrayLike, mask: Mask | None) -> tuple[float, int]:
        rows = math.prod(y.shape[:-1]) if mask is None else int(np.count_nonzero(mask))
        return rows * self._loss.value(y, target, mask), rows


class Perplexity(_LogLikelihood):
    """exp of the mean cross-entropy.

    This is the number of equally likely symbols with the same uncertainty. Targets as for `CrossEntropy`.
    Infinite if it is too large for float64, above about 1.8e308.
    """

    name = "perplexity"

    def _finish(self, mean: float) -> float:
        try:
            return math.exp(mean)
        except OverflowError:
            return math.inf


class BitsPerCharacter(_LogLikelihood):
    """The mean cross-entropy in bits.

    This is the size of a character if the model compresses the text. Targets as for `CrossEntropy`.
    """

    name = "bits_per_character"

    def _finish(self, mean: float) -> float:
        return mean / math.log(2)


class _Error(Metric):
    """A mean over rows and features, of a function of y - target, computed in float64.

    Targets are numbers in y's shape.
    """

    better = "lower"

    def _sums(self, y: Floats, target: npt.ArrayLike, mask: Mask | None) -> tuple[float, int]:
        numbers = as_numbers(target, y.shape, np.dtype(np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.subtract(_counted(y, mask), _counted(numbers, mask), dtype=np.float64)
            return float(self._size(errors).sum()), errors.size

    @abstractmethod
    def _size(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the term of each error, whose mean is computed."""


class RMSE(_Error):
    """The root of the mean of (y - target)^2 over rows and features.

    Targets are numbers in y's shape.
    """

    name = "rmse"

    def _size(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.square(errors)

    def _finish(self, mean: float) -> float:
        return math.sqrt(mean)


class MAE(_Error):
    """The mean of |y - target| over rows and features.

    Targets are numbers in y's shape.
    """

    name = "mae"

    def _size(self, errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.abs(errors)


def _counted(rows: npt.NDArray[Scalar], mask: Mask | None) -> npt.NDArray[Scalar]:
    """Return the unmasked rows."""
    return rows if mask is None else rows[mask]
