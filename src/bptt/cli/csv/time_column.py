"""Find the columns of a table that hold the time of its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.cli.csv import cells
from bptt.cli.csv.format import TIME_OFF
from bptt.cli.options import CommandError

Numbers = npt.NDArray[np.float64]

DAY = 86400.0
_YEARS = frozenset({"year", "years", "yr", "jahr"})
_TIMES = frozenset({"time", "timestamp", "date", "datetime", "epoch", "unix", "unixtime", "ts"}) | _YEARS
_INDICES = frozenset({"id", "index", "idx", "row", "unnamed"})
_HOURS = frozenset({"time", "hour", "hours", "hr"})
_UNITS = frozenset(
    {*("s", "ms", "us", "ns", "sec", "secs", "seconds", "min", "minutes", "h", "hours"), "d", "days", "utc"}
)
_FEWEST = 3  # rows: two numbers always have one distance
_TOLERANCE = 1e-4  # steps: largest error of floating-point numbers
_MOST_ROUNDING = 0.13  # steps: coarser rounding hides whether steps are equal
_YEAR_TOLERANCE = 0.15  # steps: months of a decimal year differ in length
_FEW = 12  # rows: fewer may be evenly spaced by chance
_MOSTLY = 0.7  # fraction of equal steps in a sorted column; with one row per trading day, it is 0.77
_NEARLY_ALL = 0.95  # fraction of equal steps in an unsorted column
_MOST_DECIMALS = 9
_UNIX = (6.3e8, 2.9e9)  # seconds: 1990 to 2061


@dataclass(frozen=True)
class Times:
    """The time of every row, (N,): seconds since 1970, or the numbers of a column that counts rows.

    `columns` has two names if one column holds the date and another column the time of day. `in_seconds` is
    True for dates and times of day, `dated` for dates only. `reading` is the order of day and month in dates
    that can be read in several ways.
    """

    columns: tuple[str, ...]
    values: Numbers
    in_seconds: bool
    dated: bool = False
    reading: str | None = None

    @property
    def label(self) -> str:
        """Name of the column or the two columns in messages."""
        return " with ".join(f"column {name:.60}" for name in self.columns)

    @property
    def distinct(self) -> bool:
        """Whether no two rows have the same time."""
        return len(np.unique(self.values)) == len(self.values)


def of_dates(
    path: Path, column: str, texts: Sequence[str], lines: Sequence[int], wanted: str | None = None
) -> Times:
    """Read a column of dates, all in the same layout.

    If several layouts fit, choose the one in which the rows are in order and most evenly spaced. `wanted` is
    "day-first", "month-first" or None.

    Raises
    ------
    CommandError
        A cell holds no time. Day and month are ambiguous, and neither reading is in order.
    """
    first = next((text for text in texts if not cells.is_missing(text)), "")
    readings: dict[str, Numbers] = {}
    bad = 0
    unwanted = {"day-first": "month first", "month-first": "day first"}.get(wanted or "")
    for layout in cells.layouts(first):
        if layout == unwanted:
            continue
        values = np.empty(len(texts))
        for i, text in enumerate(texts):
            try:
                values[i] = cells.seconds(text, layout)
            except ValueError:
                bad = max(bad, i)
                break
        else:
            readings[layout] = values
    if not readings:
        actual = f"has {texts[bad].strip()!r:.40}" if texts[bad].strip() else "is empty"
        raise CommandError(
            f"{path} must hold times in column {column:.60}; line {lines[bad]} {actual}. Fix: correct the"
            f" cell, or pass --time with another column, or --time {TIME_OFF} to keep the order of the rows."
        )
    ordered = {
        name: values for name, values in readings.items() if is_sorted(values) or is_sorted(values[::-1])
    }
    if len(readings) > 1 and not ordered:
        raise CommandError(
            f"{path}: column {column:.60} must hold dates as YYYY-MM-DD if they are out of order; got"
            f" {first.strip()!r:.40}, in which the order of day, month and year is ambiguous. Fix: pass"
            f" --dates day-first or month-first, or --time {TIME_OFF} to keep the order of the rows."
        )
    candidates = ordered or readings
    layout = min(candidates, key=lambda name: _unevenness(candidates[name]))
    reading = layout if len(readings) > 1 else None
    return Times((column,), candidates[layout], in_seconds=True, dated=True, reading=reading)


def need_clock(times: Times) -> bool:
    """Return whether times are dates that repeat, so that another column may hold the time of day."""
    return times.in_seconds and not (times.values % DAY).any() and not times.distinct


def with_clock(times: Times, column: str, clock: Numbers) -> Times:
    """Add the times of day in another column to dates."""
    return replace(times, columns=(*times.columns, column), values=times.values + clock)


def clock_of_cells(texts: Sequence[str]) -> Numbers | None:
    """Return the times of day in cells, in seconds; None if a cell holds no time of day."""
    try:
        return np.array([cells.clock(text) for text in texts])
    except ValueError:
        return None


def clock_of_numbers(column: str, values: Numbers) -> Numbers | None:
    """Return the times of day, in seconds, in a column of hours or HHMM named "hour" or "time".

    Return None for any other column.
    """
    if _word(column) not in _HOURS or not (values == np.rint(values)).all() or values.min() < 0:
        return None
    hour, minute = (values, np.zeros_like(values)) if values.max() <= 24 else np.divmod(values, 100)
    seconds: Numbers = 3600 * hour + 60 * minute
    return seconds if hour.max() <= 24 and minute.max() < 60 else None


def of_clock(column: str, texts: Sequence[str]) -> Times | None:
    """Return the times in a column of times of day without dates. A new day begins when they wrap around.

    Return None if a cell holds no time of day, or if it is unknown whether the oldest row comes first.
    """
    hours = clock_of_cells(texts)
    if hours is None:
        return None
    steps = np.sign(np.diff(hours))
    if abs(steps.sum()) < len(steps) / 2 or not len(steps):
        return None
    direction = np.sign(steps.sum())
    days = np.concatenate(([0.0], np.cumsum(steps == -direction)))
    return Times((column,), hours + direction * DAY * days, in_seconds=True)


def of_numbers(column: str, values: Numbers, *, first: bool) -> Times | None:
    """Return the times in a column of numbers that only counts rows or holds the time; otherwise None.

    Such columns hold dates as digits (20210131, 202101, 2021013123), or numbers with mostly equal steps (row
    numbers, years, seconds). Or they are in order and have the name of a time ("time", "date", "id", "year").
    The `first` column may also hold Unix times.
    """
    if len(values) < _FEWEST or not np.isfinite(values).all() or values.min() == values.max():
        return None
    dates = _digits(values)
    if dates is not None:
        return Times((column,), dates, in_seconds=True, dated=True)
    seconds = _unix(values)
    with np.errstate(all="ignore"):  # numbers near the largest and the smallest float
        counts = _is_named_time(column, values, seconds, first=first) or _is_even(values)
    if not counts:
        return None
    if seconds is None:
        return Times((column,), values, in_seconds=False)
    return Times((column,), seconds, in_seconds=True, dated=True)


def says_time(column: str) -> bool:
    """Return whether the name of a column is the name of a time or of a row number."""
    return _word(column) in _TIMES | _INDICES


def is_sorted(values: Numbers) -> bool:
    """Return whether no value is lower than the previous value."""
    return bool(np.all(values[1:] >= values[:-1]))


def _word(column: str) -> str:
    """Return the last word of a name without units, for example "time" for "obs_time [s]"."""
    name = re.sub(r"[\[(].*?[\])]", "", column)
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
    while len(words) > 1 and words[-1] in _UNITS:
        words.pop()
    return words[-1] if words else ""


def _is_named_time(column: str, values: Numbers, seconds: Numbers | None, *, first: bool) -> bool:
    """Return whether a column holds the time, judged by its name, or by Unix times in the first column."""
    word, whole = _word(column), bool((values == np.rint(values)).all())
    in_order = is_sorted(values) or is_sorted(values[::-1])
    distinct = len(np.unique(values)) == len(values)
    if word in _YEARS and whole and 1000 <= values.min() <= values.max() < 3000:
        return True
    if seconds is not None and distinct and (word in _TIMES or (first and in_order)):
        return True
    return in_order and (word in _TIMES or (word in _INDICES and distinct and whole))


def _is_even(values: Numbers) -> bool:
    """Return whether most steps of the sorted column are equal, within the rounding of its numbers."""
    ordered = np.sort(values)
    steps = np.diff(ordered)
    usual = float(np.median(steps))
    if steps.min() <= 0 or not np.isfinite(ordered[-1] - ordered[0]):
        return False
    unit = _unit(values)
    slack = max(_TOLERANCE * usual, unit if unit < 1 and unit <= _MOST_ROUNDING * usual else 0.0)
    if unit < 1 and 1500 <= ordered[0] <= ordered[-1] < 2200:
        slack = max(slack, _YEAR_TOLERANCE * usual)
    near = np.abs(steps - usual) <= 1.001 * slack
    in_order = is_sorted(values) or is_sorted(values[::-1])
    if near.mean() < (_MOSTLY if in_order and len(values) >= _FEW else _NEARLY_ALL):
        return False
    if unit == 1:
        return True
    # If steps are about equal only by chance, the values drift away from an even grid.
    step = float(steps[near].mean())
    places = (ordered - ordered[0]) / step
    places *= max(np.rint(places[-1]), 1.0) / places[-1]
    return bool((np.abs(places - np.rint(places)) * step <= 2 * slack).mean() >= _NEARLY_ALL)


def _unit(values: Numbers) -> float:
    """Return the last decimal place of the numbers: 1 for whole numbers, 0 if unknown."""
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if (np.rint(scaled) / 10.0**decimals == values).all():
            return float(10.0**-decimals)
    return 0.0


def _unix(values: Numbers) -> Numbers | None:
    """Return Unix times in seconds from s, ms, us or ns; None for other numbers."""
    for scale in (1.0, 1e3, 1e6, 1e9):
        if values.min() >= _UNIX[0] * scale and values.max() <= _UNIX[1] * scale:
            return values / scale
    return None


def _digits(values: Numbers) -> Numbers | None:
    """Return the seconds of dates as digits: YYYYMM, YYYYMMDD, also with HH, HHMM or HHMMSS; else None."""
    if (values != np.rint(values)).any() or values.min() < 150001 or values.max() > 22001231240000:
        return None
    digits = values.astype(np.int64)
    for clock_digits, day_digits, first_year in (
        (0, 2, 1500),
        (0, 0, 1500),
        (2, 2, 1900),
        (4, 2, 1900),
        (6, 2, 1900),
    ):
        days, clock = np.divmod(digits, 10**clock_digits)
        months, day = np.divmod(days, 10**day_digits)
        year, month = np.divmod(months, 100)
        hour, minute, second = (clock * 10 ** (6 - clock_digits) // part % 100 for part in (10000, 100, 1))
        if (year < first_year).any() or (year > 2200).any() or ((month < 1) | (month > 12)).any():
            continue
        first = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        dates = first.astype("datetime64[D]") + (day - 1 if day_digits else 0)
        if (dates.astype("datetime64[M]") != first).any() or (day_digits and (day < 1).any()):
            continue
        if ((hour > 24) | (minute > 59) | (second > 59)).any():
            continue
        seconds: Numbers = dates.astype("datetime64[s]").astype(np.float64)
        seconds += 3600 * hour + 60 * minute + second
        return seconds
    return None


def _unevenness(values: Numbers) -> float:
    steps = np.abs(np.diff(values))
    return float(steps.std() / steps.mean()) if steps.any() else 0.0
