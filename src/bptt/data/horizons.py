"""Windows over one or many series, each with the steps that follow it as its target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generator, short, size
from bptt.data.frames import Columns
from bptt.data.panels import are_frames, read_parts
from bptt.data.scaling import Standardize
from bptt.data.shuffled import Shuffled
from bptt.data.tables import check_one_series, common_labels, named, parse_real, width_error

Numbers = npt.NDArray[Any]


class Rows(Shuffled):
    """Batches `(x, target)` with x (T, B, F), from arrays x (n, T, F) and targets (n, ...).

    With weights (n,), a batch is a dict with the keys x, target and weight. The arrays may be views: only one
    batch at a time is copied. With `shuffle`, every pass has a new order.
    `positions` selects rows of the arrays.
    """

    per_step = False

    def __init__(
        self,
        x: Numbers,
        targets: Numbers,
        *,
        batch_size: int,
        positions: npt.NDArray[np.int64] | None = None,
        weight: Numbers | None = None,
        shuffle: bool = False,
        seed: Seed = None,
    ) -> None:
        self._x = x
        self._targets = targets
        self._weight = weight
        self._positions = np.arange(len(x)) if positions is None else positions
        self.batch_size = size(batch_size, "batch_size")
        self.shuffle = flag(shuffle, "shuffle")
        self.rng = generator(seed)

    @property
    def count(self) -> int:
        """Number of rows in a pass."""
        return len(self._positions)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self._positions[self.rng.permutation(self.count)] if self.shuffle else self._positions
        for start in range(0, self.count, self.batch_size):
            rows = order[start : start + self.batch_size]
            x, target = np.ascontiguousarray(self._x[rows].swapaxes(0, 1)), self._targets[rows]
            if self._weight is None:
                yield x, target
            else:
                yield {"x": x, "target": target, "weight": self._weight[rows]}


class Horizons(Rows):
    """Cut series into windows; the target of a window is the `horizon` steps that follow.

    A batch is `(x, target)`: x (window, B, F) and target (B, horizon * K), the K values of the first step
    first. `Standardize.undo(y, columns=...)` reads outputs in this order. Windows are copied one batch at a
    time. No window reaches from one series into the next.

    ::

        scaling = bptt.data.Standardize.fit(training, columns=["sales", "price"])
        data = bptt.data.Horizons(
            training, window=28, horizon=7, target="sales", time="date", group="store", scaling=scaling,
            batch_size=32,
        )

    Parameters
    ----------
    series : array-like or table (N,) or (N, F), or list of them
        Real numbers. A list of sequences (N_i,) is a list of series, even if all have the same length. Tables
        are those of pandas or polars.
    window, horizon, batch_size : int
        Input length in steps; forecast length in steps; batch size.
    target : as series, or str, or list of str, optional
        Values to forecast, (N,) or (N, K), one row for each step of `series`; or the names of columns.
        Default: the inputs.
    columns : list of str, optional
        Columns of a table that the model reads. Default: all columns except `time` and `group`.
    time : str, optional
        Column of a table that holds the time of each row: dates or numbers. Default: an index of dates.
    group : str, optional
        Column of a table that tells the series of a panel from each other, such as a store or a patient.
    scaling : Standardize, optional
        Scales inputs and targets of a table, by the names of their columns.
    shuffle : bool
        Whether to draw a new order of the windows in every pass.
    seed : int, numpy.random.Generator or None
        Random seed of the shuffling.

    Attributes
    ----------
    count : int
        Number of windows.
    groups : list
        Value of `group` of each series; None without `group`.

    Raises
    ------
    TypeError, ValueError
        `series` or `target` does not hold real numbers, or has another number of axes. Series have different
        widths, or tables have different columns. One table holds several series (an index with several
        levels), or its dates are not in order. A series is shorter than window + horizon. `target` has other
        lengths. A setting is out of range. With `columns`, `time`, `group`, `scaling` or names of targets:
        `series` is not a table, a name is not that of a column, a number is missing, or the times of a series
        are not in order.

    Warns
    -----
    UserWarning
        The times of a table have gaps.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = bptt.data.Horizons(np.arange(100.0), window=28, horizon=7, batch_size=32)
    >>> x, target = next(iter(data))
    >>> x.shape, target.shape
    ((28, 32, 1), (32, 7))
    >>> target[0]
    array([28., 29., 30., 31., 32., 33., 34.])
    """

    def __init__(
        self,
        series: npt.ArrayLike | Sequence[npt.ArrayLike],
        *,
        window: int,
        horizon: int,
        batch_size: int,
        target: npt.ArrayLike | Sequence[npt.ArrayLike] | str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        time: str | None = None,
        group: str | None = None,
        scaling: Standardize | None = None,
        shuffle: bool = False,
        seed: Seed = None,
    ) -> None:
        self.window, self.horizon = size(window, "window"), size(horizon, "horizon")
        by_name = any(option is not None for option in (columns, time, group, scaling)) or _are_names(target)
        if by_name:
            _check_frames(series, scaling)
            read = read_parts(series, target, columns, Columns(time, group), scaling)
            labels, self.groups = [part.label for part in read], [part.group for part in read]
            parts, targets = [part.x for part in read], [part.target for part in read]
        else:
            parts = _parts(series, "series")
            targets = parts if target is None else _parts(target, "target")
            labels, self.groups = [f"series[{i}]" for i in range(len(parts))], [None] * len(parts)
        lengths = [len(part) for part in parts]
        if [len(part) for part in targets] != lengths:
            raise ValueError(
                f"target must have as many steps as the series, {lengths!s:.80}; got "
                f"{[len(part) for part in targets]!s:.80}. Fix: pass one row of target for each step."
            )
        need = self.window + self.horizon
        for label, length in zip(labels, lengths, strict=True):
            if length < need:
                raise ValueError(
                    f"{label} must have at least {need} steps, a window of {self.window} and "
                    f"{self.horizon} ahead; got {length}. Fix: pass a smaller window, or a longer series."
                )
        ends = np.cumsum(lengths)
        starts = [np.arange(end - n, end - need + 1) for end, n in zip(ends.tolist(), lengths, strict=True)]
        x = _views(_joined(parts), self.window)
        y = _views(_joined(targets)[self.window :], self.horizon)
        super().__init__(
            x, y, batch_size=batch_size, positions=np.concatenate(starts), shuffle=shuffle, seed=seed
        )

    def __iter__(self) -> Iterator[tuple[Numbers, Numbers]]:
        for x, target in super().__iter__():
            yield x, target.reshape(len(target), -1)

    def inputs(self) -> Numbers:
        """Return all windows in order of time, (n, window, F): a view if there is only one series."""
        return self._in_order(self._x)

    def targets(self) -> Numbers:
        """Return the targets of all windows in the same order, (n, horizon, K)."""
        return self._in_order(self._targets)

    def _in_order(self, views: Numbers) -> Numbers:
        return views[: self.count] if self.count == self._positions[-1] + 1 else views[self._positions]


def _are_names(target: Any) -> bool:
    if isinstance(target, (list, tuple)):
        return bool(target) and all(isinstance(name, str) for name in target)
    return isinstance(target, str)


def _check_frames(series: Any, scaling: object) -> None:
    """Raise TypeError unless columns can be found by their names."""
    if not are_frames(series):
        raise TypeError(
            "series must be a table, or a list of tables, of pandas or polars, if columns are named; got "
            f"{short(series)}. Fix: pass arrays as target, and leave columns, time, group and scaling out."
        )
    if scaling is not None and not isinstance(scaling, Standardize):
        raise TypeError(
            f"scaling must be a Standardize; got {short(scaling)}. Fix: pass Standardize.fit(training)."
        )


def _joined(parts: list[Numbers]) -> Numbers:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _views(values: Numbers, steps: int) -> Numbers:
    """Return views (n, steps, F). View i starts at step i."""
    views: Numbers = np.lib.stride_tricks.sliding_window_view(values, steps, axis=0).swapaxes(1, 2)
    return views


def _parts(series: npt.ArrayLike | Sequence[npt.ArrayLike], name: str) -> list[Numbers]:
    """Read one or many series, each as (N, F)."""
    arrays = named(series, name)
    common_labels(arrays)
    parts: list[Numbers] = []
    for label, value in arrays:
        check_one_series(value, label)
        part = parse_real(value, label)
        if part.ndim not in (1, 2):
            raise ValueError(
                f"{label} must have shape (N,) or (N, F); got {part.shape}. Fix: pass one row per step."
            )
        if 0 in part.shape:
            raise ValueError(
                f"{label} must hold at least one step and one value per step; got shape {part.shape}. "
                "Fix: leave empty series out."
            )
        if part.ndim == 1:
            part = part[:, None]
        if parts and part.shape[1] != parts[0].shape[1]:
            raise width_error(label, arrays[0][0], part.shape, parts[0].shape, name)
        parts.append(part)
    return parts
