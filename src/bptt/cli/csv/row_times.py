"""The time of the rows of a file, from one column or from two."""

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
    """Return the columns whose cells `find` needs as text; those in `numeric` are read as numbers."""
    given = head.form.time
    if given == TIME_OFF:
        return []
    dates = _first(head, "date") if given is None else [] if given in numeric else [given]
    return list(dict.fromkeys([*dates, *_first(head, "clock")]))


def counting(table: Columns) -> dict[str, Times]:
    """Return the times in all columns of numbers that only count rows or tell the time."""
    times = {name: _counting(table, name) for name in table.place}
    return {name: one for name, one in times.items() if one is not None}


def find(table: Columns, counting: dict[str, Times], named: Collection[str]) -> Times | None:
    """Return the time of the rows; None if no column tells it, or the format says not to look.

    Parameters
    ----------
    counting : dict
        What the function `counting` found.
    named : collection of str
        Columns that are read as features.

    Raises
    ------
    CommandError
        The time column holds a cell without a time, or times in no certain order.
    """
    given = table.head.form.time
    if given == TIME_OFF:
        return None
    clocks = _first(table.head, "clock")
    dates = _first(table.head, "date") if given is None else [given]
    if dates and dates[0] in table.texts:
        times: Times | None = _dated(table, dates[0])
    elif given is not None:
        columns.check_cells(table, [given], [given], "correct the cell")
        times = counting.get(given) or Times((given,), table.column(given), in_seconds=False)
    else:
        times = _best(counting, named)
        if times is None and clocks:
            times = timecolumn.of_clock(clocks[0], table.texts[clocks[0]])
    if times is not None and timecolumn.need_clock(times):
        times = _with_clock(table, times, clocks)
    return times


def _first(head: Head, kind: str) -> list[str]:
    """The first column of this kind, if there is one."""
    return [name for name, one in head.kinds.items() if one == kind][:1]


def _dated(table: Columns, name: str) -> Times:
    """The times in a column of text."""
    if table.head.kinds[name] == "clock":
        times = timecolumn.of_clock(name, table.texts[name])
        if times is None:
            raise CommandError(
                f"{table.head.path} must hold times in order of time in column {name:.60}, the day too."
                f" Fix: pass --time with another column, or --time {TIME_OFF}."
            )
        return times
    return timecolumn.of_dates(table.head.path, name, table.texts[name], table.lines)


def _with_clock(table: Columns, times: Times, clocks: Sequence[str]) -> Times:
    """Dates with the time of day in another column, if there is one."""
    hours = {name: timecolumn.clock_of_cells(table.texts[name]) for name in clocks}
    hours |= {name: timecolumn.clock_of_numbers(name, table.column(name)) for name in table.place}
    for name, clock in hours.items():
        if clock is not None and name not in times.columns:
            return timecolumn.with_clock(times, name, clock)
    return times


def _counting(table: Columns, name: str) -> Times | None:
    """Return the times in a column of numbers, if it only counts rows or tells the time."""
    head = table.head
    if head.names.count(name) > 1:
        return None
    first = name == head.names[0]
    times = timecolumn.of_numbers(name, table.column(name), first=first)
    if times is None and first and name == "column1" and head.form.header is not False:
        times = timecolumn.of_numbers("index", table.column(name), first=first)  # pandas names no index
        return None if times is None else replace(times, columns=(name,))
    return times


def _best(counting: dict[str, Times], named: Collection[str]) -> Times | None:
    """The column of numbers that tells the time best.

    A column that is `named` as a feature must hold dates, or have the name of a time: others may only look
    like an index, such as a straight line.
    """
    able = [
        times
        for name, times in counting.items()
        if name not in named or times.in_seconds or timecolumn.says_time(name)
    ]
    # Dates first, then columns without equal numbers: a year may be that of several rows.
    return min(able, key=lambda times: (not times.in_seconds, not times.distinct), default=None)
