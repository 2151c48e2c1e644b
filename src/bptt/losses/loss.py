"""The base class of losses: weighted means or sums over rows, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import call_repr, choice
from bptt.arrays import Floats
from bptt.losses.results import check_rows
from bptt.losses.rows import Rows, check_outputs, parse_rows
from bptt.losses.targets import as_entries

REDUCTIONS = ("mean", "sum")


class Loss:
    """Base class of losses. `loss(y, target, mask=None, weight=None)` returns the value and dL/dy.

    The value is a float, and dL/dy has the shape and dtype of `y`.

    The last axis of `y`, `(T, B, C)` or `(B, C)`, holds classes or features; the axes before it are
    rows. `mask` is a bool array of y's shape without the last axis. Rows where it is False are ignored and
    get dy = 0. `weight` has the shape of the mask and holds numbers >= 0. The mean is weighted: the sum of
    weight times loss, divided by the sum of the weights. Rows of weight 0 are ignored. If all rows are
    ignored, or `y` has no rows, the value is 0.

    A subclass defines `per_row`, and the base class does the rest.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        "mean": the mean over rows, and over the features of a row. "sum": the sum, weighted but not divided.

    Raises
    ------
    TypeError, ValueError
        `reduction` is neither "mean" nor "sum".

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class Absolute(bptt.Loss):
    ...     def per_row(self, y, target):
    ...         error = y - target
    ...         return np.abs(error).mean(axis=-1), np.sign(error) / y.shape[-1]
    >>> value, dy = Absolute()([[3.0, 1.0]], [[1.0, 1.0]])
    >>> value, dy
    (1.0, array([[0.5, 0. ]]))
    """

    reduction: str = "mean"

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = choice(reduction, "reduction", REDUCTIONS)

    def __call__(
        self,
        y: npt.ArrayLike,
        target: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
    ) -> tuple[float, Floats]:
        """Return the loss and its gradient.

        Raises
        ------
        TypeError
            If `y`, `target` or `weight` has the wrong type, or `mask` is not an array of bool.
        ValueError
            If the shapes do not match, a weight is negative or not finite, a target is outside the loss's
            range, or a class in an unmasked row is outside 0..C-1.
        """
        value, dy = self._evaluate(y, target, mask, weight, need_gradient=True)
        if dy is None:
            raise RuntimeError("the loss returned no gradient")
        return value, dy

    def value(
        self,
        y: npt.ArrayLike,
        target: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
    ) -> float:
        """Return the loss without its gradient.

        Raises the same errors as `loss(y, target, mask, weight)`.
        """
        return self._evaluate(y, target, mask, weight, need_gradient=False)[0]

    def total_weight(
        self,
        target: npt.ArrayLike,
        shape: tuple[int, ...],
        mask: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
    ) -> float:
        """Return the divisor of the mean: the sum of the weights of all rows that count.

        `Trainer` combines the means of several batches by these numbers. The result is 0 if no row counts.

        Parameters
        ----------
        target, mask, weight
            As for a call.
        shape : tuple of int
            Shape of `y`.

        Raises
        ------
        TypeError, ValueError
            As for a call.
        """
        return self._rows(target, shape, parse_rows(mask, weight, shape[:-1])).total

    def counted(self, target: npt.ArrayLike, shape: tuple[int, ...], mask: Any = None) -> Any:
        """Return the mask of rows that this loss does not ignore; None if it ignores no row.

        `CrossEntropy(ignore_index=...)` ignores rows that `mask` does not exclude. Metrics must not read
        these rows.
        """
        return mask

    def per_row(self, y: Floats, target: npt.NDArray[Any]) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        """Return the loss of each row, and the derivative of each loss by its row of `y`.

        The base class applies mask, weights and reduction.

        Parameters
        ----------
        y : ndarray of float32 or float64 (N, C)
            The rows that count. N may be 0.
        target : ndarray (N, ...)
            Their targets.

        Returns
        -------
        losses : array-like (N,)
        dy : array-like (N, C)
        """
        raise NotImplementedError(f"{type(self).__name__} must define per_row(self, y, target)")

    def _rows(self, target: npt.ArrayLike, shape: tuple[int, ...], rows: Rows) -> Rows:
        """Return the rows that count with the weights of the mean, from those of mask and weight."""
        return rows

    def _evaluate(
        self,
        y: npt.ArrayLike,
        target: npt.ArrayLike,
        mask: npt.ArrayLike | None,
        weight: npt.ArrayLike | None,
        need_gradient: bool,
    ) -> tuple[float, Floats | None]:
        outputs = check_outputs(y)
        shape = outputs.shape
        rows = parse_rows(mask, weight, shape[:-1])
        value, dy = self._compute(outputs.reshape(-1, shape[-1]), shape, target, rows, need_gradient)
        return value, None if dy is None else dy.reshape(shape)

    def _compute(
        self, y: Floats, shape: tuple[int, ...], target: npt.ArrayLike, rows: Rows, need_gradient: bool
    ) -> tuple[float, Floats | None]:
        """Compute the loss of `y` (N, C), whose original shape is `shape`."""
        targets = as_entries(target, shape)
        counted = rows.counted(y)
        losses, slopes = check_rows(
            self.per_row(counted, rows.counted(targets.reshape(len(y), *targets.shape[len(shape) - 1 :]))),
            counted,
            f"{type(self).__name__}.per_row",
        )
        weights = np.ones(len(counted)) if rows.weight is None else rows.counted(rows.weight)
        scale = self._scale(rows.total)
        value = scale * float(np.dot(weights, losses))
        if not need_gradient:
            return value, None
        dy: Floats = np.zeros_like(y)
        dy[slice(None) if rows.mask is None else rows.mask] = slopes * (scale * weights)[:, None]
        return value, dy

    def _scale(self, total: float, terms: int = 1) -> float:
        """Return the factor of the sum over rows of `terms` terms each, if the weights add up to `total`."""
        if self.reduction == "sum":
            return 1.0
        return 1.0 / (total * terms) if total > 0 else 0.0

    def __repr__(self) -> str:
        return call_repr(self)
