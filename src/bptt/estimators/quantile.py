"""The quantile loss, for prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import real
from bptt.arrays import Floats, as_floats
from bptt.losses.loss import Loss, Mask


class QuantileLoss(Loss):
    """Pinball loss max(q e, (q - 1) e) with e = target - y, mean over rows, features and levels q.

    The last axis of y holds Q levels for each of K features, (..., K*Q). The levels of a feature are next to
    each other. Targets are numbers (..., K). At e = 0, the gradient is the same as for e < 0.

    Parameters
    ----------
    levels : sequence of float
        The Q levels, each in (0, 1).

    Raises
    ------
    TypeError, ValueError
        There are no levels, or a level is out of range. When called: the last axis is not a multiple of Q.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(real(level, "levels", 0.0, 1.0, above=True) for level in levels)
        if not self.levels:
            raise ValueError(
                "levels must hold at least one number; got none. Fix: pass levels=(0.05, 0.5, 0.95)."
            )

    def _rows(
        self,
        rows: Floats,
        shape: tuple[int, ...],
        target: npt.ArrayLike,
        mask: Mask | None,
        need_gradient: bool,
    ) -> tuple[float, Floats | None]:
        features, rest = divmod(shape[-1], len(self.levels))
        if rest:
            raise ValueError(
                f"y must have {len(self.levels)} outputs for each feature, one per level; got {shape[-1]} "
                "in total. Fix: make the size of the last layer a multiple of the number of levels."
            )
        truth = as_floats(target, "target", rows.dtype, (*shape[:-1], features)).reshape(-1, features, 1)
        levels = np.array(self.levels, rows.dtype)
        error = truth - rows.reshape(-1, features, len(levels))
        slope: npt.NDArray[Any] = np.where(error > 0, levels, levels - 1)
        counted = np.ones(len(rows), bool) if mask is None else mask
        count = int(np.count_nonzero(counted)) * shape[-1]
        if count == 0:
            return 0.0, np.zeros_like(rows) if need_gradient else None
        value = float(np.sum((slope * error)[counted], dtype=np.float64)) / count
        if not need_gradient:
            return value, None
        dy: npt.NDArray[Any] = np.zeros_like(error)
        dy[counted] = -slope[counted] / count
        return value, dy.reshape(rows.shape)
