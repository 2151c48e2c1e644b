"""Find the time of each row of a file, from one column or two columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bptt.cli.csv import columns
from bptt.cli.csv import time_column as timecolumn
from bptt.cli.csv.columns import Columns, Head
from bptt.cli.csv.format import TIME_OFF
from bptt.cli.csv.time_column import Times
from bptt.cli.options import CommandError


def of_text(head: Head, numeric: Collection[str]) -> list[str]:
    """Return the columns that `find` needs as text. Columns in `numeric` are read as numbers."""
    time = head.form.time
    if time == TIME_OFF:
        return []
    dates = _first(head, "date") if time is None else [] if time in numeric else [time]
    return list(dict.fromkeys([*dates, *_first(head, "clock")]))


def counting(table: Columns) -> dict[str, Times]:
    """Return the times in all columns of numbers that only count rows or hold the time."""
    times = {name: _counting(table, name) for name in table.place}
    return {name: column_times for name, column_times in times.items() if column_times is not None}


def find(table: Columns, counting: dict[str, Times], named: Collection[str]) -> Times | None:
    """Return the time of each row; None if no column holds the time, or if the format's time is "off".

    Parameters
    ----------
    counting : dict
        Result of the function `counting`.
    named : collection of str
        Columns that the user names as features.

    Raises
    ------
    CommandError
        A cell of the time column holds no time, or the order of the times is ambiguous.
    """
    time = table.head.form.time
    if time == TIME_OFF:
        return None
    clocks = _first(table.head, "clock")
    dates = _first(table.head, "date") if time is None else [time]
    if dates and dates[0] in table.texts:
        times: Times | None = _dated(table, dates[0])
    elif time is not None:
        columns.check_cells(table, [time], [time], "correct the cell")
        times = counting.get(time) or Times((time,), table.column(time), in_seconds=False)
    else:
        times = _best(counting, named)
        if times is None and clocks:
            times = timecolumn.of_clock(clocks[0], table.texts[clocks[0]])
    if times is not None and timecolumn.need_clock(times):
        times = _with_clock(table, times, clocks)
    return times


def _first(head: Head, kind: str) -> list[str]:
    """Return a list of the first column of this kind; an empty list without such a column."""
    return [name for name, column_kind in head.kinds.items() if column_kind == kind][:1]


def _dated(table: Columns, name: str) -> Times:
    """Return the times in a column of text."""
    if table.head.kinds[name] == "clock":
        times = timecolumn.of_clock(name, table.texts[name])
        if times is None:
            raise CommandError(
                f"{table.head.path}: column {name:.60} must hold dates with the times, because the times of"
                f" day are not in order. Fix: pass --time with another column, or --time {TIME_OFF}."
            )
        return times
    return timecolumn.of_dates(table.head.path, name, table.texts[name], table.lines, table.head.form.dates)


def _with_clock(table: Columns, times: Times, clocks: Sequence[str]) -> Times:
    """Add the times of day from another column to dates, if there is such a column."""
    hours = {name: timecolumn.clock_of_cells(table.texts[name]) for name in clocks}
    hours |= {name: timecolumn.clock_of_numbers(name, table.column(name)) for name in table.place}
    for name, clock in hours.items():
        if clock is not None and name not in times.columns:
            return timecolumn.with_clock(times, name, clock)
    return times


def _counting(table: Columns, name: str) -> Times | None:
    """Return the times in a column of numbers; None if the column does not count rows or hold the time."""
    head = table.head
    if head.names.count(name) > 1:
        return None
    first = name == head.names[0]
    times = timecolumn.of_numbers(name, table.column(name), first=first)
    if times is None and first and name == "column1" and head.dialect.header.named:
        # pandas writes its index without a name.
        times = timecolumn.of_numbers("index", table.column(name), first=first)
        return None if times is None else replace(times, columns=(name,))
    return times


def _best(counting: dict[str, Times], named: Collection[str]) -> Times | None:
    """Return the times in the best time column of numbers; None without such a column.

    A column that is `named` as a feature must hold dates, or have the name of a time: the values of other
    features may only look like an index, such as a straight line.
    """
    candidates = [
        times
        for name, times in counting.items()
        if name not in named or times.in_seconds or timecolumn.says_time(name)
    ]
    # Prefer dates, then columns without equal numbers: several rows may have the same year.
    return min(candidates, key=lambda times: (not times.in_seconds, not times.distinct), default=None)
