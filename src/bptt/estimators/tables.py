"""Tables that a forecaster reads by the names of their columns, and tables of its forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.data.frames import (
    Columns,
    check_names,
    column_names,
    is_frame,
    numbers,
    numeric_names,
    split_groups,
)
from bptt.data.times import as_times, next_times
from bptt.estimators.sequences import Numbers

Forecasts = npt.NDArray[np.float64]


class Shape(Protocol):
    """The form of forecasts: `shaped` converts values (n, H, K) to the form of the input series."""

    def shaped(self, values: Forecasts) -> Any: ...


@dataclass(frozen=True)
class Roles:
    """The columns of a table, by what a forecaster does with them.

    Attributes
    ----------
    targets : list
        Columns to forecast. They are read, too.
    exogenous : list
        Columns that are only read.
    columns : Columns
    """

    targets: list[Any]
    exogenous: list[Any]
    columns: Columns

    @property
    def inputs(self) -> list[Any]:
        """All columns that are read, the targets first."""
        return [*self.targets, *self.exogenous]


@dataclass(frozen=True)
class TableShape:
    """Forecasts in a table like the input: with the next times, and the groups, if there are any.

    Attributes
    ----------
    template : Any
        The first row of the input table.
    targets : list
        Names of the forecast columns.
    columns : Columns
    ends : list of (group, times)
        Group, and the times of the rows, of each series: a column, or the index of a pandas table.
    """

    template: Any
    targets: list[Any]
    columns: Columns
    ends: list[tuple[Any, Any]]

    def shaped(self, values: Forecasts) -> Any:
        """Return the forecasts as a table of the library of the input."""
        pandas = hasattr(self.template, "iloc")
        library = import_module("pandas" if pandas else "polars")
        parts = []
        for (group, times), steps in zip(self.ends, values, strict=True):
            following = continued(times, len(steps))
            named: dict[str, Any] = {}
            if self.columns.group is not None:
                named[self.columns.group] = [group] * len(steps)
            if self.columns.time is not None:
                named[self.columns.time] = following
            if not pandas:
                values_by_name = {name: steps[:, k] for k, name in enumerate(self.targets)}
                parts.append(library.DataFrame(named | values_by_name))
                continue
            index = None if self.columns.time is not None else following
            table = library.DataFrame(steps, index=index, columns=self.targets)  # names may be equal
            for place, (name, column) in enumerate(named.items()):
                table.insert(place, name, column)
            parts.append(table)
        if len(parts) == 1:
            return parts[0]
        return library.concat(parts, **({"ignore_index": self.columns.time is not None} if pandas else {}))


@dataclass(frozen=True)
class ColumnShape:
    """Forecasts as a pandas Series, with the next times in its index."""

    index: Any
    name: Any

    def shaped(self, values: Forecasts) -> Any:
        """Return the forecasts as a Series."""
        following = continued(self.index, values.shape[1])
        return import_module("pandas").Series(values[0, :, 0], index=following, name=self.name)


def shape_of(X: Any) -> Shape | None:
    """Return the form of forecasts of a table or a pandas Series; None for arrays."""
    if is_frame(X):
        return TableShape(X[:1], column_names(X), Columns(), [(None, getattr(X, "index", len(X)))])
    if hasattr(X, "index") and hasattr(X, "iloc") and getattr(X, "ndim", 0) == 1:
        return ColumnShape(X.index, X.name)
    return None


def continued(times: Any, count: int) -> Any:
    """Return the next `count` times after the times of a column, or of an index of pandas.

    The next positions follow an index that holds neither dates nor numbers.
    """
    if isinstance(times, int):
        return np.arange(times, times + count)
    index = hasattr(times, "inferred_type")
    kind = str(getattr(times, "inferred_type", ""))
    if index and kind not in ("datetime64", "period", "integer", "floating"):
        return np.arange(len(times), len(times) + count)
    if kind == "period":
        return times[[-1] * count] + np.arange(1, count + 1)
    accessor: Any = times if index else getattr(times, "dt", None)
    zone = getattr(accessor, "tz", None)
    if zone is None:
        following = next_times(as_times(times, "X"), count)
    else:
        # Days and longer steps keep their local time of day when the clocks change.
        utc = as_times(times, "X")
        daily = len(utc) > 1 and np.median(np.diff(utc)) >= np.timedelta64(23, "h")
        start = as_times(accessor.tz_localize(None), "X") if daily else utc
        pandas = import_module("pandas")
        following = pandas.DatetimeIndex(next_times(start, count))
        following = following.tz_localize(zone) if daily else following.tz_localize("UTC").tz_convert(zone)
    return import_module("pandas").Index(following, name=times.name) if index else following


def parse_roles(estimator: Any, X: Any) -> Roles | None:
    """Return what the columns of X are; None if no parameter names a column.

    Raises
    ------
    TypeError, ValueError
        A parameter does not name a column of X.
    """
    given = (estimator.target, estimator.exogenous, estimator.time, estimator.group)
    if all(parameter is None for parameter in given):
        return None
    columns = Columns(estimator.time, estimator.group)
    first = X[0] if isinstance(X, (list, tuple)) else X
    if not is_frame(first):
        raise TypeError(
            "X must be a table, or a list of tables, of pandas or polars, if target, exogenous, time or "
            f"group is given; got {short(first)}. Fix: pass pandas.DataFrame(X, columns=[...])."
        )
    check_names(first, columns.named, "time and group", "X")
    rest = numeric_names(first, columns)
    targets = rest if estimator.target is None else _as_list(estimator.target)
    exogenous = (
        [name for name in rest if name not in targets]
        if estimator.exogenous is None
        else _as_list(estimator.exogenous)
    )
    check_names(first, targets, "target", "X")
    check_names(first, exogenous, "exogenous", "X")
    both = [name for name in targets if name in exogenous]
    if both or not targets:
        raise ValueError(
            "target and exogenous must name different columns, and target at least one; got "
            f"{targets!r:.100} and {exogenous!r:.100}. Fix: name each column once."
        )
    return Roles(targets, exogenous, columns)


def read_tables(X: Any, roles: Roles) -> tuple[list[Numbers], TableShape | None]:
    """Return the series (N, F) of a table or of a list of tables, and the form of their forecasts.

    The form is None for a list.

    Raises
    ------
    TypeError, ValueError
        A column is missing or holds no finite numbers, or the rows of a series are not in order of time.
    """
    many = isinstance(X, (list, tuple))
    series: list[Numbers] = []
    ends: list[tuple[Any, Any]] = []
    for i, table in enumerate(X if many else [X]):
        label = f"X[{i}]" if many else "X"
        if not is_frame(table):
            raise TypeError(
                f"{label} must be a table with the columns of the fit, {roles.inputs!s:.200}; got "
                f"{short(table)}. Fix: pass a table of pandas or polars."
            )
        check_names(table, roles.inputs, "target and exogenous", label)
        for group, rows in split_groups(table, roles.columns, label):
            name = label if group is None else f"{label}[{roles.columns.group} == {short(group)}]"
            series.append(numbers(rows, roles.inputs, name))
            times = (
                getattr(rows, "index", len(rows)) if roles.columns.time is None else rows[roles.columns.time]
            )
            ends.append((group, times))
    return series, None if many else TableShape(X[:1], roles.targets, roles.columns, ends)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
