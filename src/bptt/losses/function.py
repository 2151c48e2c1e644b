"""Functions of users as losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import short, takes
from bptt.arrays import Floats
from bptt.losses.loss import Loss
from bptt.losses.results import check_gradient, check_pair, check_value
from bptt.losses.rows import Rows

LossFunction: TypeAlias = Callable[..., tuple[Any, Any]]


class FunctionLoss(Loss):
    """A loss that calls a function: `f(y, target, mask) -> (value, dy)`.

    `Trainer(model, loss=f)` makes this object from a function. Use the class itself for `reduction="sum"`, or
    where another class expects a `Loss`.

    The function must return the mean over all rows that count, and its derivative by `y`. The Trainer
    combines the means of several batches or windows by the number of rows that count. With
    `reduction="sum"`, the function must return the sum over all rows that count, and the Trainer adds up the
    sums.

    Parameters
    ----------
    function : callable
        `f(y, target, mask)`, with the arguments of a `Loss`. `mask` is None if all rows count. A function
        with an argument named `weight` also gets the weights of the rows, or None. Such a function must
        return the weighted mean. The Trainer then combines means by the sum of the weights.
    reduction : {"mean", "sum"}
        Whether the function returns a mean or a sum.

    Raises
    ------
    TypeError
        The function cannot be called with three arguments. When called: the batch has weights, and the
        function has no argument `weight`. Or the result is not a pair of a number and an array of
        numbers.
    ValueError
        When called: the gradient has another shape than `y`, or the value is not finite although all outputs
        are finite.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> def squared(y, target, mask):
    ...     return np.sum((y - target) ** 2), 2 * (y - target)
    >>> loss = bptt.losses.FunctionLoss(squared, reduction="sum")
    >>> value, dy = loss([[3.0, 1.0]], [[1.0, 1.0]])
    >>> value, dy
    (4.0, array([[4., 0.]]))
    """

    def __init__(self, function: LossFunction, *, reduction: str = "mean") -> None:
        self._weighted = callable(function) and takes(function, 3, "weight")
        fits = self._weighted or (callable(function) and takes(function, 3))
        if not fits or isinstance(function, type):
            raise TypeError(
                f"function must be callable as f(y, target, mask); got {short(function)} of type "
                f"{type(function).__name__}. Fix: def f(y, target, mask): ...; return value, dy."
            )
        self.function = function
        super().__init__(reduction=reduction)

    @property
    def _name(self) -> str:
        return f"the loss {getattr(self.function, '__name__', type(self.function).__name__)}"

    def _compute(
        self, y: Floats, shape: tuple[int, ...], target: npt.ArrayLike, rows: Rows, need_gradient: bool
    ) -> tuple[float, Floats | None]:
        outputs = y.reshape(shape)
        if rows.total == 0:
            return 0.0, np.zeros_like(outputs)
        mask = None if rows.mask is None else rows.mask.reshape(shape[:-1])
        arguments = (outputs, target, mask)
        if self._weighted:
            weight = None if rows.weight is None else rows.weight.reshape(shape[:-1])
            result = self.function(*arguments, weight=weight)
        elif rows.weight is None:
            result = self.function(*arguments)
        else:
            raise TypeError(
                f"{self._name} must have an argument named weight, because the batch has weights; got none. "
                "Fix: def f(y, target, mask, weight): ..., or leave weight out of the batch."
            )
        value, dy = check_pair(result, self._name)
        return check_value(value, rows.counted(y), self._name), check_gradient(dy, outputs, self._name)
