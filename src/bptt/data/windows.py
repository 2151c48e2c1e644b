"""Cut a series into windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generator, size
from bptt.data.shuffled import Shuffled
from bptt.data.tables import check_one_series, parse_real, refuse_list


class Windows(Shuffled):
    """Windows of `steps` steps over a series, with a target `ahead` steps later.

    A batch is `(x, target)`. x is (T, B, F) in the series' dtype. The target is (T, B, F): for every step,
    the value `ahead` steps later. With `last=True`, the target is (B, F): the value `ahead` steps after the
    last step of the window. The last batch may have fewer rows. Only one batch at a time is copied.

    Parameters
    ----------
    series : array-like (N,) or (N, F)
        Real numbers.
    steps, batch_size : int
        Number of time steps per window, T, and number of windows per batch, B.
    ahead : int
        Number of steps from the input to its target.
    stride : int
        Number of steps between the starts of two windows.
    last : bool
        Whether there is one target per window instead of one per step.
    shuffle : bool
        Whether to draw a new order of the windows in every pass.
    seed : int, numpy.random.Generator or None
        Random seed of the shuffling.

    Raises
    ------
    TypeError, ValueError
        The series does not hold real numbers, is a list of arrays, is not (N,) or (N, F), or has fewer than
        steps + ahead values. A setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = bptt.data.Windows(np.arange(100.0), steps=20, batch_size=32, last=True)
    >>> x, target = next(iter(data))
    >>> x.shape, target[:3, 0]
    ((20, 32, 1), array([20., 21., 22.]))
    """

    def __init__(
        self,
        series: npt.ArrayLike,
        *,
        steps: int,
        batch_size: int,
        ahead: int = 1,
        stride: int = 1,
        last: bool = False,
        shuffle: bool = False,
        seed: Seed = None,
    ) -> None:
        refuse_list(series, "series", "use Horizons, which takes many series")
        check_one_series(series, "series")
        array = parse_real(series, "series")
        if array.ndim not in (1, 2):
            raise ValueError(
                f"series must have shape (N,) or (N, F); got {array.shape}. Fix: pass one row per step, one "
                "column per value."
            )
        self.steps = size(steps, "steps")
        self.batch_size = size(batch_size, "batch_size")
        self.ahead = size(ahead, "ahead")
        self.stride = size(stride, "stride")
        self.last = flag(last, "last")
        self.per_step = not self.last
        self.shuffle = flag(shuffle, "shuffle")
        self.rng = generator(seed)
        count = len(array) - self.steps - self.ahead + 1
        if count < 1:
            raise ValueError(
                f"series must hold at least steps + ahead = {self.steps + self.ahead} values; got "
                f"{len(array)}. Fix: pass fewer steps, or a longer series."
            )
        self._series = array.reshape(len(array), -1)
        self._starts = np.arange(0, count, self.stride)

    def __len__(self) -> int:
        return -(-len(self._starts) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        starts = self.rng.permutation(self._starts) if self.shuffle else self._starts
        steps = np.arange(self.steps)[:, None]
        for first in range(0, len(starts), self.batch_size):
            begin = starts[first : first + self.batch_size]
            known = begin + self.steps - 1 if self.last else steps + begin
            yield self._series[steps + begin], self._series[known + self.ahead]
