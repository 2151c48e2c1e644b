"""Batches for the Trainer: a text or a series as one long stream, a series as windows, sequences of unequal
length, what a function reads, and one rank's rows of any of them.

Every class here can be iterated once per epoch and yields `(x, target)` or `(x, target, lengths)`. Time is
the first axis. The attribute `time_first = True` says so, and `per_step` whether the target has a time axis,
too: the Trainer swaps the axes for models with `batch_first=True`. The attribute `carries_state = True` says
that batch n + 1 continues the rows of batch n, so that the Trainer carries the state over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generator, size
from bptt.train.generators import load_generator
from bptt.train.prefetch import Prefetch
from bptt.train.shard import Shard
from bptt.train.streams import Batches, Stream
from bptt.train.tables import check_one_series, read_real, refuse_list, width_error
from bptt.train.text import TextStream, Vocabulary

__all__ = ["Batches", "Prefetch", "Ragged", "Shard", "Stream", "TextStream", "Vocabulary", "Windows"]


class Shuffled:
    """Batches (T, B, ...) whose order is drawn from `rng` when a pass begins."""

    time_first = True
    per_step: bool
    rng: np.random.Generator

    def state_dict(self) -> dict[str, Any]:
        """Where the order of the passes to come is drawn from."""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave: the passes come as they would have come there.

        Raises
        ------
        ValueError
            The state of another kind of generator.
        """
        load_generator(self.rng, state["rng"])


class Windows(Shuffled):
    """Windows of `steps` steps over a series, the target lying `horizon` steps ahead.

    A batch is `(x, target)`: x (T, B, F) in the series' dtype; target (T, B, F), at every step the value
    `horizon` steps later, or with `last=True` (B, F), the value `horizon` steps after the window's last
    step. The last batch may have fewer rows. One batch at a time is copied, nothing more.

    Parameters
    ----------
    series : array-like (N,) or (N, F)
        Real numbers.
    steps, batch_size : int
        T and B.
    horizon : int
        How far ahead the target lies.
    stride : int
        Steps between the starts of two windows.
    last : bool
        One target per window instead of one per step.
    shuffle : bool
        A new order of the windows in every pass.
    seed : int, numpy.random.Generator or None
        Of the shuffling.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; a list of arrays; not (N,) or (N, F); fewer than steps + horizon values; a setting
        out of range.
    """

    def __init__(
        self,
        series: npt.ArrayLike,
        steps: int,
        batch_size: int,
        *,
        horizon: int = 1,
        stride: int = 1,
        last: bool = False,
        shuffle: bool = False,
        seed: Seed = None,
    ) -> None:
        refuse_list(series, "series", "use Horizons, which takes many series")
        check_one_series(series, "series")
        array = read_real(series, "series")
        if array.ndim not in (1, 2):
            raise ValueError(
                f"series must have shape (N,) or (N, F); got {array.shape}. Fix: one row a step, one column "
                "per value."
            )
        self.steps = size(steps, "steps")
        self.batch_size = size(batch_size, "batch_size")
        self.horizon = size(horizon, "horizon")
        self.stride = size(stride, "stride")
        self.last = flag(last, "last")
        self.per_step = not self.last
        self.shuffle = flag(shuffle, "shuffle")
        self.rng = generator(seed)
        count = len(array) - self.steps - self.horizon + 1
        if count < 1:
            raise ValueError(
                f"series must hold at least steps + horizon = {self.steps + self.horizon} values; got "
                f"{len(array)}. Fix: take fewer steps, or a longer series."
            )
        self._series = array.reshape(len(array), -1)
        self._starts = np.arange(0, count, self.stride)

    def __len__(self) -> int:
        return -(-len(self._starts) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        starts = self.rng.permutation(self._starts) if self.shuffle else self._starts
        steps = np.arange(self.steps)[:, None]
        for first in range(0, len(starts), self.batch_size):
            at = starts[first : first + self.batch_size]
            ahead = at + self.steps - 1 if self.last else steps + at
            yield self._series[steps + at], self._series[ahead + self.horizon]


class Ragged(Shuffled):
    """Batches of sequences of unequal length, those of a batch of about the same.

    A batch is `(x, target, lengths)`: x (T, B, F), padded with zeros to the longest of the batch; target
    (B, ...), or with `per_step` (T, B, ...), padded likewise; lengths (B,). The last batch may have fewer
    rows.

    Parameters
    ----------
    sequences : sequence of array-like
        Each (T_i, F) with the same F, or (T_i,): integers are ids, and x is (T, B) as `Embedding` reads it;
        other numbers are F = 1.
    targets : sequence of array-like
        One per sequence: of one shape, or with `per_step` of T_i entries.
    batch_size : int
        B.
    per_step : bool
        One target per step instead of one per sequence.
    shuffle : bool
        A new order in every pass: sequences are drawn into pools of `pool` batches, sorted by length there,
        and the batches come in random order. Otherwise all are sorted, the shortest first.
    pool : int
        Batches of a pool. More: less padding; fewer: batches that differ more from pass to pass.
    seed : int, numpy.random.Generator or None
        Of the shuffling.

    Raises
    ------
    TypeError
        Sequences or targets that are not arrays of real numbers; a setting of the wrong kind.
    ValueError
        None at all; of another rank or width than the first; not one target for each, or, with `per_step`,
        for each step; a setting out of range.
    """

    def __init__(
        self,
        sequences: Sequence[npt.ArrayLike],
        targets: Sequence[npt.ArrayLike],
        batch_size: int,
        *,
        per_step: bool = False,
        shuffle: bool = False,
        pool: int = 32,
        seed: Seed = None,
    ) -> None:
        self.batch_size = size(batch_size, "batch_size")
        self.per_step = flag(per_step, "per_step")
        self.shuffle = flag(shuffle, "shuffle")
        self.pool = size(pool, "pool")
        self.rng = generator(seed)
        self._x = _alike(sequences, "sequences", skip=1)
        self._targets = _alike(targets, "targets", skip=int(self.per_step))
        if self._x[0].ndim not in (1, 2):
            raise ValueError(
                f"sequences[0] must have shape (T, F) or (T,); got {self._x[0].shape}. Fix: one row a step."
            )
        if self._x[0].ndim == 1 and any(x.dtype.kind not in "iu" for x in self._x):
            self._x = [x[:, None] for x in self._x]
        if len(self._x) != len(self._targets):
            raise ValueError(
                f"targets must hold one entry for each of the {len(self._x)} sequences; got "
                f"{len(self._targets)}. Fix: pass them in the same order."
            )
        self.lengths = np.array([len(x) for x in self._x], np.int64)
        if self.per_step:
            for i, (x, target) in enumerate(zip(self._x, self._targets, strict=True)):
                if len(target) != len(x):
                    raise ValueError(
                        f"targets[{i}] must have {len(x)} entries, one for each step of sequences[{i}]; got "
                        f"{len(target)}. Fix: per_step=False for one target per sequence."
                    )

    def __len__(self) -> int:
        return -(-len(self._x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64]]]:
        batches = list(self._batches())
        if self.shuffle:
            batches = [batches[i] for i in self.rng.permutation(len(batches))]
        for rows in batches:
            targets = [self._targets[row] for row in rows]
            target = _padded(targets) if self.per_step else np.stack(targets)
            yield _padded([self._x[row] for row in rows]), target, self.lengths[rows]

    def _batches(self) -> Iterator[npt.NDArray[np.int64]]:
        count = len(self._x)
        order = self.rng.permutation(count) if self.shuffle else np.arange(count)
        pooled = self.pool * self.batch_size if self.shuffle else count
        for first in range(0, count, pooled):
            rows = order[first : first + pooled]
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            for start in range(0, len(rows), self.batch_size):
                yield rows[start : start + self.batch_size]


def _alike(values: Sequence[npt.ArrayLike], name: str, skip: int) -> list[npt.NDArray[Any]]:
    """Arrays that agree in all axes but the first `skip`."""
    if not np.iterable(values) or isinstance(values, (str, bytes, Mapping)):
        raise TypeError(
            f"{name} must be a list of arrays; got {type(values).__name__}. Fix: pass one array per sequence."
        )
    arrays = [read_real(value, f"{name}[{i}]") for i, value in enumerate(values)]
    if not arrays:
        raise ValueError(f"{name} must hold at least one array; got none. Fix: pass a list of arrays.")
    first = arrays[0]
    for i, array in enumerate(arrays):
        if skip == 1 and array.ndim == first.ndim == 2 and array.shape[1] != first.shape[1]:
            raise width_error(f"{name}[{i}]", f"{name}[0]", array.shape, first.shape, name)
        if array.ndim != first.ndim or array.ndim < skip or array.shape[skip:] != first.shape[skip:]:
            raise ValueError(
                f"{name}[{i}] must have the axes of {name}[0], {first.shape}"
                f"{', but for the first' * skip}; got {array.shape}. Fix: give all the same width."
            )
    return arrays


def _padded(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """(T, B, ...) of arrays (T_i, ...), zeros behind."""
    T = max(len(array) for array in arrays)
    shape = (T, len(arrays), *arrays[0].shape[1:])
    padded = np.zeros(shape, np.result_type(*arrays))
    for row, array in enumerate(arrays):
        padded[: len(array), row] = array
    return padded
