"""Losses of numbers: a term for each output, which the core computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import real
from bptt.arrays import Floats, as_floats
from bptt.losses.loss import Loss
from bptt.losses.rows import Rows
from bptt.losses.targets import as_numbers

Kernel: TypeAlias = Literal["squared_error", "absolute_error", "huber", "quantile", "binary_cross_entropy"]
"""Names of the core's functions."""


class Elementwise(Loss):
    """Base class of losses with one term for each output.

    Attributes
    ----------
    kernel : str
        Name of the core's function.
    """

    kernel: ClassVar[Kernel]

    def _compute(
        self, y: Floats, shape: tuple[int, ...], target: npt.ArrayLike, rows: Rows, need_gradient: bool
    ) -> tuple[float, Floats | None]:
        column = self._column(shape[-1], y.dtype)
        numbers = self._target(target, shape, y.dtype, rows)
        scale = self._scale(rows.total, shape[-1])
        return _core.elementwise_loss(
            self.kernel, y, numbers, rows.mask, rows.weight, scale, need_gradient, column, self._parameter
        )

    @property
    def _parameter(self) -> float:
        """The number that the core's function needs, such as Huber's delta."""
        return 0.0

    def _column(self, features: int, dtype: np.dtype[Any]) -> Floats | None:
        """Return a parameter for each of the last axis' `features`, or None."""
        return None

    def _target(
        self, target: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Rows
    ) -> Floats:
        """Return the targets as an array (N, C)."""
        return as_numbers(target, shape, dtype).reshape(-1, shape[-1])


class MeanSquaredError(Elementwise):
    """Mean of (y - target)^2 over rows and features.

    Targets are numbers in y's shape.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        As for Loss.

    Examples
    --------
    >>> import bptt
    >>> value, dy = bptt.MeanSquaredError()([[3.0, 1.0]], [[1.0, 1.0]])
    >>> value, dy
    (2.0, array([[2., 0.]]))
    """

    kernel = "squared_error"


class MeanAbsoluteError(Elementwise):
    """Mean of `|y - target|` over rows and features.

    Targets are numbers in y's shape. The derivative at y = target is 0. The best constant output is the
    median of the targets, so outliers have less influence than with `MeanSquaredError`.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        As for Loss.

    Examples
    --------
    >>> import bptt
    >>> value, dy = bptt.MeanAbsoluteError()([[3.0, 1.0]], [[1.0, 1.0]])
    >>> value, dy
    (1.0, array([[0.5, 0. ]]))
    """

    kernel = "absolute_error"


class Huber(Elementwise):
    """A square near the target and a straight line beyond, mean over rows and features.

    ::

        e^2 / 2                       if |e| <= delta,      e = y - target
        delta (|e| - delta / 2)       otherwise

    Targets are numbers in y's shape. PyTorch's `HuberLoss` has the same definition.

    Parameters
    ----------
    delta : float
        Above 0.
    reduction : {"mean", "sum"}
        As for Loss.

    Raises
    ------
    TypeError, ValueError
        `delta` is not a number above 0. `reduction` as for Loss.

    References
    ----------
    Huber (1964), Robust estimation of a location parameter.

    Examples
    --------
    >>> import bptt
    >>> value, dy = bptt.Huber(delta=1.0)([[3.0, 1.5]], [[1.0, 1.0]])
    >>> value, dy
    (0.8125, array([[0.5 , 0.25]]))
    """

    kernel = "huber"

    def __init__(self, delta: float = 1.0, *, reduction: str = "mean") -> None:
        self.delta = real(delta, "delta", 0.0, above=True)
        super().__init__(reduction=reduction)

    @property
    def _parameter(self) -> float:
        return self.delta


class Quantile(Elementwise):
    """Pinball loss max(q e, (q - 1) e) with e = target - y, mean over rows, features and levels q.

    The last axis of y holds Q levels for each of K features, (..., K*Q). The levels of a feature are next to
    each other. Targets are numbers (..., K). At e = 0, the gradient is the same as for e < 0.

    Parameters
    ----------
    levels : float or sequence of float
        The Q levels, each in (0, 1).
    reduction : {"mean", "sum"}
        As for Loss.

    Raises
    ------
    TypeError, ValueError
        There are no levels, or a level is out of range. When called: the last axis is not a multiple of Q.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles.

    Examples
    --------
    >>> import bptt
    >>> value, dy = bptt.Quantile([0.1, 0.9])([[0.0, 2.0]], [[1.0]])
    >>> round(value, 3), dy
    (0.1, array([[-0.05,  0.05]]))
    """

    kernel = "quantile"

    def __init__(self, levels: float | Iterable[float], *, reduction: str = "mean") -> None:
        several = np.iterable(levels)
        given: Iterable[Any] = levels if several else (levels,)  # type: ignore[assignment]
        self.levels = tuple(
            real(level, f"levels[{i}]" if several else "levels", 0.0, 1.0, above=True)
            for i, level in enumerate(given)
        )
        if not self.levels:
            raise ValueError(
                "levels must hold at least one number; got none. Fix: pass levels=(0.05, 0.5, 0.95)."
            )
        super().__init__(reduction=reduction)

    def _column(self, features: int, dtype: np.dtype[Any]) -> Floats | None:
        repeats, rest = divmod(features, len(self.levels))
        if rest:
            raise ValueError(
                f"y must have {len(self.levels)} outputs for each feature, one per level; got {features} "
                "in total. Fix: make the size of the last layer a multiple of the number of levels."
            )
        tiled: Any = np.tile(np.array(self.levels, dtype), repeats)
        return tiled  # type: ignore[no-any-return]

    def _target(
        self, target: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Rows
    ) -> Floats:
        features = shape[-1] // len(self.levels)
        numbers = as_floats(target, "target", dtype, (*shape[:-1], features)).reshape(-1, features)
        repeated: Any = np.repeat(numbers, len(self.levels), axis=1)
        return repeated  # type: ignore[no-any-return]
