"""Losses of classes: cross-entropies of logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import integer, real
from bptt.arrays import Floats, as_real
from bptt.losses.loss import Loss
from bptt.losses.numbers import Elementwise
from bptt.losses.rows import Rows, row_mask
from bptt.losses.targets import as_classes, as_numbers, refuse_outside


class CrossEntropy(Loss):
    """Mean of -log softmax(y)[target] over rows, in nats.

    Targets are integer classes 0..C-1, in y's shape without its last axis.

    With class weights w and label smoothing s, a row with target k adds::

        (1 - s) w[k] l[k] + s / C (w[0] l[0] + ... + w[C-1] l[C-1]),     l = -log softmax(y)

    The mean divides the sum of these terms by the sum of w[k]. Weights of rows multiply both sums. This is
    the definition of PyTorch's `CrossEntropyLoss`.

    Parameters
    ----------
    class_weight : array-like of float (C,), optional
        Weight of each class, at least 0. A rare class may have a larger weight.
    label_smoothing : float
        In [0, 1). Fraction s of the target that is spread evenly over all classes.
    ignore_index : int, optional
        Rows with this target are ignored, such as padding. The number need not be a class.
    reduction : {"mean", "sum"}
        As for Loss.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range. When called: `class_weight` has another length than
        the last axis of `y`.

    Notes
    -----
    If the weights of all rows of a batch or window add up to 0, no row counts, and the value is 0. This
    includes the terms of label smoothing.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> y, target = np.zeros((20, 4, 5)), np.ones((20, 4), int)  # (T, B, C) and (T, B)
    >>> value, dy = bptt.CrossEntropy()(y, target)
    >>> round(value, 3), dy.shape
    (1.609, (20, 4, 5))
    """

    def __init__(
        self,
        *,
        class_weight: npt.ArrayLike | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
        reduction: str = "mean",
    ) -> None:
        self.class_weight = None if class_weight is None else column_weights(class_weight, "class_weight")
        self.label_smoothing = real(label_smoothing, "label_smoothing", 0.0, 1.0)
        self.ignore_index = (
            None if ignore_index is None else integer(ignore_index, "ignore_index", -(2**63), 2**63 - 1)
        )
        super().__init__(reduction=reduction)

    def counted(self, target: npt.ArrayLike, shape: tuple[int, ...], mask: Any = None) -> Any:
        if self.ignore_index is None:
            return mask
        kept = as_classes(target, shape) != self.ignore_index
        return kept if mask is None else kept & row_mask(mask, shape[:-1]).reshape(shape[:-1])

    def _rows(self, target: npt.ArrayLike, shape: tuple[int, ...], rows: Rows) -> Rows:
        if self.ignore_index is None and self.class_weight is None:
            return rows
        return self._weighted(as_classes(target, shape).reshape(-1), shape[-1], rows)[1]

    def _weighted(self, classes: npt.NDArray[np.int64], count: int, rows: Rows) -> tuple[Rows, Rows]:
        """Return the rows that are not ignored, with their own weights and with the weights of the mean."""
        if self.ignore_index is not None:
            ignored = classes == self.ignore_index
            rows = rows.without(ignored) if ignored.any() else rows
        if self.class_weight is None:
            return rows, rows
        if len(self.class_weight) != count:
            raise ValueError(
                f"class_weight must have one weight for each of {count} classes; got "
                f"{len(self.class_weight)}. Fix: pass {count} weights, or give the last layer one output for "
                "each class."
            )
        refuse_outside(rows.counted(classes), count)
        factors = np.ones(len(classes))
        kept = slice(None) if rows.mask is None else rows.mask
        factors[kept] = np.asarray(self.class_weight)[classes[kept]]
        return rows, rows.times(factors)

    def _compute(
        self, y: Floats, shape: tuple[int, ...], target: npt.ArrayLike, rows: Rows, need_gradient: bool
    ) -> tuple[float, Floats | None]:
        classes = as_classes(target, shape).reshape(-1)
        counted, weighted = self._weighted(classes, shape[-1], rows)
        # Without smoothing, a class of weight 0 adds nothing, so the core need not read its rows.
        read = counted if self.label_smoothing and weighted.total else weighted
        class_weight: Any = None if self.class_weight is None else np.array(self.class_weight, y.dtype)
        try:
            return _core.cross_entropy(
                y,
                classes,
                read.mask,
                counted.weight,
                self._scale(weighted.total),
                need_gradient,
                class_weight,
                self.label_smoothing,
            )
        except ValueError:  # the core found a class out of range
            refuse_outside(counted.counted(classes), shape[-1])
            raise


class BinaryCrossEntropy(Elementwise):
    """Binary cross-entropy, mean over rows and features, in nats.

    The loss is -p target log s(y) - (1 - target) log(1 - s(y)). s is the logistic function, and p is
    `pos_weight`, or 1. Targets are numbers in [0, 1], in y's shape.

    Parameters
    ----------
    pos_weight : float or array-like of float (features,), optional
        Weight of positive targets, at least 0: one number, or one for each feature. Above 1, it favours
        recall. The divisor of the mean stays the same, as in PyTorch's `BCEWithLogitsLoss`.
    reduction : {"mean", "sum"}
        As for Loss.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range. When called: `pos_weight` has another length than
        the last axis of `y`, or a target is outside [0, 1].

    Examples
    --------
    >>> import bptt
    >>> value, dy = bptt.BinaryCrossEntropy()([[0.0], [4.0]], [[1.0], [1.0]])
    >>> round(value, 3)
    0.356
    """

    kernel = "binary_cross_entropy"

    def __init__(
        self, *, pos_weight: float | Sequence[float] | npt.NDArray[Any] | None = None, reduction: str = "mean"
    ) -> None:
        self.pos_weight = None if pos_weight is None else column_weights(pos_weight, "pos_weight")
        super().__init__(reduction=reduction)

    def _target(
        self, target: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Rows
    ) -> Floats:
        probabilities = as_numbers(target, shape, dtype).reshape(-1, shape[-1])
        outside = ~((probabilities >= 0) & (probabilities <= 1)).all(axis=1) & (
            True if rows.mask is None else rows.mask
        )
        if outside.any():
            raise ValueError(
                f"target must hold numbers in [0, 1]; got {probabilities[outside][0]} in row "
                f"{np.flatnonzero(outside)[0]}. Fix: rescale the target, or mask the row."
            )
        return probabilities

    def _column(self, features: int, dtype: np.dtype[Any]) -> Floats | None:
        if self.pos_weight is None:
            return None
        if len(self.pos_weight) not in (1, features):
            raise ValueError(
                f"pos_weight must be one number, or one for each of the {features} features of y; got "
                f"{len(self.pos_weight)}. Fix: pass {features} weights."
            )
        return np.ascontiguousarray(np.broadcast_to(np.array(self.pos_weight, dtype), (features,)))


def column_weights(value: npt.ArrayLike, name: str) -> tuple[float, ...]:
    """Check the weights of columns, numbers >= 0, and return them as floats."""
    array = as_real(value, name)
    if array.ndim > 1 or array.size == 0:
        raise ValueError(
            f"{name} must be a list of numbers; got an array of shape {array.shape}. Fix: pass one number "
            "for each column of y."
        )
    return tuple(real(entry, f"{name}[{i}]", 0.0) for i, entry in enumerate(np.atleast_1d(array).tolist()))
