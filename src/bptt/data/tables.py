"""Lists of series, and tables with named columns: recognise lists, and compare columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_real
from bptt.data.times import as_times, warn_of_gaps

Label: TypeAlias = "str | int"

_ISO_DATE = re.compile(r"\d{4}-\d\d(-\d\d|$)")


def is_list_of_arrays(values: Any) -> bool:
    """Return whether `values` is a list of sequences, each read separately, whatever their lengths.

    A list, a tuple and a one-dimensional object array count as lists. A list of numbers is one sequence.
    """
    if isinstance(values, np.ndarray):
        if values.dtype != object or values.ndim != 1:
            return False
    elif not isinstance(values, (list, tuple)):
        return False
    return any(np.iterable(part) and not isinstance(part, (str, bytes, dict)) for part in values)


def named(values: Any, name: str) -> list[tuple[str, Any]]:
    """Pair each array of a list, or a single array, with its name in error messages."""
    if is_list_of_arrays(values):
        return [(f"{name}[{i}]", part) for i, part in enumerate(values)]
    return [(name, values)]


def column_labels(value: Any) -> list[Label] | None:
    """Return the column labels of a table, as JSON values; None for anything without columns."""
    columns = getattr(value, "columns", None)
    if columns is None or not np.iterable(columns):
        return None
    return [int(label) if isinstance(label, (int, np.integer)) else str(label) for label in columns]


def check_columns(value: Any, name: str, expected: Sequence[Label] | None, like: str) -> None:
    """Raise ValueError if a table has other column labels than `expected`, or another order of them.

    Arrays, and tables whose columns are only numbered, have no names to compare.
    """
    labels = column_labels(value)
    if labels is None or expected is None or labels == list(expected):
        return
    if _numbered(labels) != _numbered(expected):
        return
    fix = f"pass {name}[{list(expected)!s:.200}]"
    if set(labels) != set(expected):
        fix = "pass the same columns"
    raise ValueError(
        f"{name} must have the columns {list(expected)!s:.200} in this order, like {like}; got "
        f"{labels!s:.200}. Fix: {fix}."
    )


def common_labels(parts: Iterable[tuple[str, Any]]) -> list[Label] | None:
    """Return the column labels of the first table; raise ValueError if another table has other columns."""
    first: tuple[str, list[Label]] | None = None
    for name, part in parts:
        if first is not None:
            check_columns(part, name, first[1], first[0])
        elif (labels := column_labels(part)) is not None:
            first = name, labels
    return None if first is None else first[1]


def refuse_list(values: Any, name: str, fix: str) -> None:
    """Raise TypeError for a list of arrays if one series is expected: each would be read as a step."""
    if is_list_of_arrays(values):
        raise TypeError(
            f"{name} must be one series; got a list of arrays. Fix: {fix}, or pass numpy.array({name}) if "
            "each array holds the values of one step."
        )


def check_one_series(value: Any, name: str) -> None:
    """Raise ValueError for a table that is not one series in order of time.

    If several levels of the index vary, the table holds many series below each other. Dates, periods and
    durations in the index must not decrease. Warn if an index of dates has gaps.
    """
    index: Any = getattr(value, "index", None)
    if not hasattr(index, "nlevels"):
        return
    names = [i if label is None else label for i, label in enumerate(index.names)]
    levels = {label: index.get_level_values(i) for i, label in enumerate(names)}
    if index.nlevels > 1:
        levels = {label: level for label, level in levels.items() if level.nunique() > 1}
    if len(levels) > 1:
        raise ValueError(
            f"{name} must be one series, or a list of series; got a table with several index levels that "
            f"vary, {list(levels)}. Fix: pass [part for _, part in {name}.groupby(level="
            f"{next(iter(levels))!r})] if that level names the series."
        )
    if any(not level.is_monotonic_increasing and _is_time(level) for level in levels.values()):
        fix = f"pass {name}.sort_index()"
        if not index.is_unique:  # sorting would mix the series
            fix = "pass a list of series: repeated dates look like several series in one table"
        raise ValueError(
            f"{name} must have its rows in order of time; got an index of dates in another order. Fix: {fix}."
        )
    if len(levels) == 1 and getattr(index, "inferred_type", "") in ("datetime64", "period"):
        warn_of_gaps(as_times(index, f"the index of {name}"), name)


def check_unmasked(value: Any, name: str) -> None:
    """Raise TypeError for a masked array: other libraries ignore the mask."""
    if isinstance(value, np.ma.MaskedArray):
        as_real(value, name)


def check_plain(value: Any, name: str) -> None:
    """Raise TypeError for masked arrays, dates, and tables with a column of dates or text.

    Other libraries convert such data without a warning, or raise an error that names no fix.
    """
    check_unmasked(value, name)
    if _kind(value) in ("m", "M"):
        as_real(value, name)
    if not _is_mixed(value):
        return
    for label, column in zip(value.columns, _columns(value), strict=True):
        kind, dtype = _kind(column), column.dtype
        if kind in ("m", "M"):
            fix = f"{name}.set_index({label!r})" if hasattr(value, "iloc") else f"{name}.drop({label!r})"
            raise TypeError(
                f"{name} must hold numbers in every column; column {label!r} holds dates or durations "
                f"({dtype}). Fix: pass {fix}, or leave the column out."
            )
        try:
            np.asarray(column).astype(np.float64)
        except (TypeError, ValueError):
            content, fix = f"values that are not numbers ({dtype})", "encode the column as numbers"
            if kind in "biuf":
                content, fix = f"missing values ({dtype})", f"fill the gaps, {name}.interpolate()"
            raise TypeError(
                f"{name} must hold numbers in every column; column {label!r} holds {content}. "
                f"Fix: {fix}, or leave the column out."
            ) from None


def parse_real(value: Any, name: str) -> npt.NDArray[Any]:
    """Convert an array or a table to real numbers, column by column for a table with nullable types.

    Raises
    ------
    TypeError, ValueError
        As `as_real` and `check_plain`.
    """
    check_plain(value, name)
    if not _is_mixed(value):
        return as_real(value, name)
    columns = _columns(value)
    if not all(_kind(column) in "biuf" for column in columns):
        return as_real(value, name)
    return np.stack([column.to_numpy().astype(np.float64) for column in columns], axis=1)


def width_error(
    name: str, like: str, shape: tuple[int, ...], first: tuple[int, ...], many: str
) -> ValueError:
    """Return the error for an array of a list that has another number of columns than the first.

    Parameters
    ----------
    name, like, many : str
        Names of the array, the first array, and the list in the message.
    shape, first : tuple of int
        Shapes of the array and of the first array.
    """
    fix = "pass arrays with the same columns"
    if len(shape) == len(first) == 2 and shape[0] == first[0]:
        transpose = f"pass [x.T for x in {many}]"
        # If there are fewer rows than columns, the rows are probably channels, not steps.
        channels = shape[0] < min(shape[1], first[1])
        fix = f"the first axes agree: {transpose}" if channels else f"{fix}, or {transpose}"
    return ValueError(
        f"{name} must have as many values per step as {like}, {first[-1]}; got {shape[-1]} in shape {shape}. "
        f"Fix: {fix}."
    )


def _numbered(labels: Sequence[Label]) -> bool:
    return all(isinstance(label, int) for label in labels)


def _columns(value: Any) -> list[Any]:
    """Return the columns of a table of pandas or polars."""
    if hasattr(value, "iloc"):
        return [value.iloc[:, i] for i in range(value.shape[1])]
    return [value[label] for label in value.columns]


def _kind(value: Any) -> str:
    """Return the kind of the elements; " " if unknown."""
    dtype = getattr(value, "dtype", None)
    if hasattr(value, "to_numpy") and not hasattr(value, "iloc") and hasattr(dtype, "is_numeric"):  # polars
        return np.asarray(value).dtype.kind
    return str(getattr(dtype, "kind", " "))


def _is_time(level: Any) -> bool:
    """Return whether an index holds dates, periods or durations, also as objects or ISO 8601 text."""
    inferred = getattr(level, "inferred_type", "")
    if inferred == "string":
        return all(_ISO_DATE.match(str(text)) for text in level)
    return _kind(level) in ("m", "M") or inferred in ("date", "datetime", "period", "timedelta")


def _is_mixed(value: Any) -> bool:
    """Return whether `value` is a table that NumPy does not convert to an array of real numbers."""
    if not hasattr(value, "columns") or not (hasattr(value, "iloc") or hasattr(value, "get_column")):
        return False
    if not hasattr(value, "iloc"):  # polars converts dates to numbers
        return len({_kind(column) for column in _columns(value)} - set("iuf")) > 0
    return _kind(np.asarray(value)) not in "biuf"
