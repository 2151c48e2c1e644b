"""The base class of metrics: sums over all rows, for any division into batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.losses.rows import Weights, check_outputs, parse_rows
from bptt.losses.targets import as_entries

Values: TypeAlias = npt.NDArray[Any]


class Metric:
    """Base class of metrics.

    Call `metric.add(y, target, mask, weight)` for every batch, then read `metric.value`. `metric.reset()`
    starts again.

    A subclass defines `name`, `better` and `per_row`. Its value is then the weighted mean of the numbers that
    `per_row` returns, over all batches. The mean is one quotient, `total` / `count`, so every row has its own
    weight in batches of any size. Several processes add up their sums.

    A metric that is not a mean over rows, such as a median, overrides `reset`, `update`, `compute`, `state`
    and `merge` instead of `per_row`.

    Attributes
    ----------
    name : str
        Such as "bits_per_character".
    better : "higher" or "lower"
        Which values are better.
    total : float
        Weighted sum so far, in float64.
    count : float
        Sum of the weights so far. Without weights, this is the number of rows, or of numbers, in the sum.

    Examples
    --------
    >>> import bptt
    >>> class Hits(bptt.Metric):
    ...     name, better = "hits", "higher"
    ...     def per_row(self, y, target):
    ...         return abs(y - target) < 0.2
    >>> metric = Hits()
    >>> metric.add([[1.1], [2.0]], [[1.0], [1.0]])
    >>> metric.value
    0.5
    """

    name: ClassVar[str]
    better: ClassVar[Literal["higher", "lower"]]
    total: float
    count: float

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set the sums to zero."""
        self.total, self.count = 0.0, 0

    def add(
        self,
        y: npt.ArrayLike,
        target: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
    ) -> None:
        """Add a batch to the sums. A call that raises an error adds nothing.

        Parameters
        ----------
        y : array-like (..., C)
            Outputs of a model: (T, B, C) or (B, C).
        target : array-like
            Targets, as the metric describes them. Masked rows may hold any values.
        mask : array-like of bool (...), optional
            Rows where it is False do not count.
        weight : array-like of float (...), optional
            Weights of the rows, at least 0. None: every row has weight 1.

        Raises
        ------
        TypeError
            If `y`, `target` or `weight` has the wrong type, or `mask` is not an array of bool.
        ValueError
            If the shapes do not match, a weight is negative or not finite, or a class in an unmasked row is
            outside 0..C-1.
        """
        outputs = check_outputs(y)
        lead = outputs.shape[:-1]
        rows = parse_rows(mask, weight, lead)
        targets = self.parse_target(target, outputs.shape)
        self.update(
            rows.counted(outputs.reshape(-1, outputs.shape[-1])),
            rows.counted(targets.reshape(rows.size, *targets.shape[len(lead) :])),
            None if rows.weight is None else rows.counted(rows.weight),
        )

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
        return self.compute()

    def parse_target(self, target: npt.ArrayLike, shape: tuple[int, ...]) -> Values:
        """Check the target of outputs `y` of this shape: one entry for each row.

        Returns
        -------
        ndarray
            The axes of the rows come first, as in `y`.

        Raises
        ------
        ValueError
            The axes of the rows do not match.
        """
        return as_entries(target, shape)

    def per_row(self, y: Floats, target: Values) -> npt.ArrayLike:
        """Return the numbers whose mean is the metric.

        Parameters
        ----------
        y : ndarray of float32 or float64 (N, C)
            The rows that count. N may be 0.
        target : ndarray (N, ...)
            Their targets.

        Returns
        -------
        array-like (N,) or (N, K)
            One number, or K numbers, for each row.
        """
        raise NotImplementedError(f"{type(self).__name__} must define per_row(self, y, target)")

    def update(self, y: Floats, target: Values, weight: Weights | None) -> None:
        """Add the rows that count.

        Parameters
        ----------
        y, target
            As for `per_row`.
        weight : ndarray of float64 (N,) or None
            Weights above 0. None: every row has weight 1.
        """
        values = np.asarray(self.per_row(y, target), np.float64)
        if values.shape[:1] != y.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}.per_row must return one entry for each of {len(y)} rows; got shape "
                f"{values.shape}. Fix: average over no axis but the last."
            )
        if weight is None:
            self.total += float(values.sum())
            self.count += values.size
        else:
            terms = values.reshape(len(y), -1) if len(y) else values.reshape(0, 1)
            self.total += float((terms * weight[:, None]).sum())
            self.count += float(weight.sum()) * terms.shape[1]

    def compute(self) -> float:
        """Compute the value from the sums. At least one row was added."""
        return self.total / self.count

    def state(self) -> Any:
        """Return the sums of this process, for `merge`."""
        return self.total, self.count

    def merge(self, states: Sequence[Any]) -> None:
        """Replace the sums by those of several processes, each as `state` returned it."""
        totals, counts = zip(*states, strict=True)
        self.total, self.count = sum(totals), sum(counts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'{self.value:.6g} over {self.count:g}' if self.count else ''})"
