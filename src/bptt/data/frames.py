"""Tables of pandas and polars, by the methods that both have: columns of numbers, times, and groups of rows.

Neither library is imported. A table comes with its library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.data.times import Times, as_times, check_order, warn_of_gaps

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Columns:
    """The arguments that say what the columns of a table are.

    Attributes
    ----------
    time : str or None
        Column of the times. None: the index of a pandas table if it holds dates.
    group : str or None
        Column whose values name the series of a panel.
    """

    time: str | None = None
    group: str | None = None

    @property
    def named(self) -> list[str]:
        """The columns that hold no values of the series."""
        return [name for name in (self.time, self.group) if name is not None]


def is_frame(value: Any) -> bool:
    """Return whether `value` is a table of pandas or polars."""
    return hasattr(value, "columns") and (hasattr(value, "iloc") or hasattr(value, "get_column"))


def column_names(frame: Any) -> list[Any]:
    """Return the names of the columns."""
    return list(frame.columns)


def _is_name(column: object, name: object) -> bool:
    """Return whether a column has this name. An array, which may equal a column in parts, is no name."""
    equal = False if hasattr(name, "__array__") and np.ndim(name) else column == name
    return isinstance(equal, (bool, np.bool_)) and bool(equal)


def check_names(frame: Any, names: Iterable[Any], argument: str, label: str) -> None:
    """Raise ValueError unless each name is that of exactly one column."""
    columns = column_names(frame)
    for name in names:
        count = sum(_is_name(column, name) for column in columns)
        if count != 1:
            number = "several columns" if count else "no column"
            raise ValueError(
                f"{argument} must name a column of {label}; {label} has {number} {short(name)}. "
                f"Its columns are {columns!s:.300}. Fix: pass one of these names."
            )


def numeric_names(frame: Any, columns: Columns) -> list[Any]:
    """Return the names of the columns that are neither times nor groups."""
    return [name for name in column_names(frame) if not any(_is_name(name, other) for other in columns.named)]


def numbers(frame: Any, names: Sequence[Any], label: str) -> Numbers:
    """Return columns as an array (N, F) of finite numbers.

    Raises
    ------
    TypeError
        A column holds no numbers.
    ValueError
        A number is missing or infinite.
    """
    arrays = []
    for name in names:
        column = frame[name]
        try:
            if np.asarray(column).dtype.kind in "mM":
                raise TypeError
            array = (
                column.to_numpy(np.float64, na_value=np.nan)  # also nullable types
                if hasattr(column, "iloc")
                else np.asarray(column).astype(np.float64)
            )
        except (TypeError, ValueError):
            raise TypeError(
                f"{label} must hold numbers in every column that is read; column {name!r:.60} holds "
                f"{column.dtype}. Fix: leave the column out of columns=, or name it as time= or group=."
            ) from None
        wrong = np.flatnonzero(~np.isfinite(array))
        if len(wrong):
            value = "no number" if np.isnan(array[wrong[0]]) else "an infinity"
            raise ValueError(
                f"{label} must hold finite numbers; column {name!r:.60} has {value} in {len(wrong)} of "
                f"{len(array)} rows, first in row {wrong[0]}. Fix: fill the gaps, {label}.interpolate(), or "
                "drop the rows."
            )
        arrays.append(array)
    return np.stack(arrays, axis=1) if arrays else np.empty((len(frame), 0))


def times_of(frame: Any, time: str | None, label: str) -> Times | None:
    """Return the times of the rows: from the column, or from an index of dates; None if there are none."""
    if time is not None:
        check_names(frame, [time], "time", label)
        return as_times(frame[time], f"column {time!r:.60} of {label}")
    index = getattr(frame, "index", None)
    dated = str(getattr(index, "inferred_type", "")) in ("datetime64", "period")
    return as_times(index, f"the index of {label}") if dated else None


def check_times(frame: Any, time: str | None, label: str, *, grouped: bool = False) -> None:
    """Raise ValueError if the rows are not in order of time; warn of gaps.

    `grouped`: the rows belong to one series of a panel.
    """
    times = times_of(frame, time, label)
    if times is None:
        return
    by = f"{time!r}" if time is not None else ""
    sort = f"sort_values({by})" if hasattr(frame, "iloc") else f"sort({by})"
    fix = f"pass {label}.{'sort_index()' if time is None else sort}"
    if not grouped:
        fix += ", or group= with the column that tells the series of a panel from each other"
    check_order(times, label, fix)
    warn_of_gaps(times, label)


def split_groups(frame: Any, columns: Columns, label: str) -> list[tuple[Any, Any]]:
    """Return the value of the group and the rows of each series, in the order of their first rows.

    Without a group, there is one series, and its group is None. Each series is checked by `check_times`.

    Raises
    ------
    ValueError
        There is no such column, a group is missing, or the rows of a series are not in order of time.
    """
    check_names(frame, columns.named, "time and group", label)
    if columns.group is None:
        parts = [(None, frame)]
    else:
        parts = [
            (key, take(frame, rows)) for key, rows in _rows_by_group(frame, columns.group, label).items()
        ]
    for key, part in parts:
        name = label if key is None else f"{label}[{columns.group} == {short(key)}]"
        check_times(part, columns.time, name, grouped=columns.group is not None)
    return parts


def group_rows(frame: Any, columns: Columns, label: str) -> list[Numbers]:
    """Return the rows of each series; check as `split_groups`."""
    split_groups(frame, columns, label)
    if columns.group is None:
        return [np.arange(len(frame))]
    return list(_rows_by_group(frame, columns.group, label).values())


def _rows_by_group(frame: Any, group: str, label: str) -> dict[Any, Numbers]:
    keys = np.asarray(frame[group]).tolist()
    if not keys:
        raise ValueError(f"{label} must have at least one row; got none. Fix: look at how the table is made.")
    if any(key is None or key != key for key in keys):
        raise ValueError(
            f"{label} must have a group in every row; column {group!r:.60} has empty cells. "
            "Fix: drop these rows."
        )
    place: dict[Any, int] = {}
    codes = np.array([place.setdefault(key, len(place)) for key in keys], np.int64)
    return {key: np.flatnonzero(codes == code) for key, code in place.items()}


def take(frame: Any, rows: Numbers | slice) -> Any:
    """Return a table of these rows."""
    return frame.iloc[rows] if hasattr(frame, "iloc") else frame[rows]
