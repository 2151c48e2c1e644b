"""The time column of a table: find it, sort the rows by it, and report uneven steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity
from bptt.cli import cells
from bptt.cli.csvformat import TIME_OFF
from bptt.cli.options import CommandError, note

Numbers = npt.NDArray[np.float64]

_YEARS = frozenset({"year", "years", "yr", "jahr"})
_FEWEST = 3  # rows: two numbers always have one distance
_TOLERANCE = 1e-4  # steps: as far as rounding in the file may move a number
_GAP = 1.5  # usual steps: months and years differ by less


@dataclass(frozen=True)
class Times:
    """The time of every row, (N,): seconds since 1970, or the plain numbers of a column that counts."""

    column: str
    values: Numbers
    in_seconds: bool


def of_cells(path: Path, column: str, texts: Sequence[str], lines: Sequence[int]) -> Times:
    """Read a column of dates, all in one layout.

    Raises
    ------
    CommandError
        A cell holds no time; day and month cannot be told apart, and neither reading is in order.
    """
    readings: list[Numbers] = []
    bad = 0
    for layout in cells.layouts(texts[0]):
        values = np.empty(len(texts))
        for i, text in enumerate(texts):
            try:
                values[i] = cells.seconds(text, layout)
            except ValueError:
                bad = max(bad, i)
                break
        else:
            readings.append(values)
    if not readings:
        raise CommandError(
            f"{path} must hold times in column {column:.60}; line {lines[bad]} has {texts[bad]!r:.40}. Fix:"
            f" correct the cell, or pass --time {TIME_OFF} to keep the order of the rows."
        )
    ordered = [values for values in readings if _is_sorted(values) or _is_sorted(values[::-1])]
    if len(readings) > 1 and not ordered:
        raise CommandError(
            f"{path}: column {column:.60} must hold dates as YYYY-MM-DD where they are out of order; got"
            f" {texts[0]!r:.40}, which may begin with the day or the month. Fix: rewrite the dates, or pass"
            f" --time {TIME_OFF} to keep the order of the rows."
        )
    return Times(column, min(ordered or readings, key=_unevenness), in_seconds=True)


def of_numbers(column: str, values: Numbers) -> Times | None:
    """Return the times in a column of numbers that only counts rows or tells the time; None for others.

    Such columns hold dates as digits (20210131 or 202101), numbers with one constant distance in any order
    (row numbers, years, seconds), or are named "year".
    """
    if len(values) < _FEWEST or not np.isfinite(values).all() or values.min() == values.max():
        return None
    days = _digits(values)
    if days is not None:
        return Times(column, days, in_seconds=True)
    low, high = float(values.min()), float(values.max())
    place = (values - low) / ((high - low) / (len(values) - 1))
    nearest = np.rint(place)
    counts = bool((np.abs(place - nearest) < _TOLERANCE).all())
    counts = counts and bool((np.bincount(nearest.astype(np.int64)) == 1).all())
    whole = bool((values == np.rint(values)).all()) and 1000 <= low <= high < 3000
    if counts or (column.strip().lower() in _YEARS and whole):
        return Times(column, values, in_seconds=False)
    return None


def order(path: Path, times: Times, lines: Sequence[int]) -> npt.NDArray[np.intp]:
    """Return the order of rows that sorts them by time, with notes on what was changed or looks wrong.

    Raises
    ------
    CommandError
        The rows are out of order, and some times are equal: this looks like several series in one file.
    """
    values, name = times.values, times.column
    found = np.arange(len(values))
    if not _is_sorted(values):
        if _is_sorted(values[::-1]):
            found = found[::-1]
            note(f"{path}: column {name:.60} has the newest row first; the rows were reversed.")
        else:
            found = np.argsort(values, kind="stable")
            equal = np.flatnonzero(np.diff(values[found]) == 0)
            if len(equal):
                first, second = (lines[found[equal[0] + k]] for k in (0, 1))
                raise CommandError(
                    f"{path}: column {name:.60} must be in order of time; lines {first} and {second} have the"
                    " same time, and other lines are out of order. This looks like several series in one"
                    " file. Fix: pass a folder with one file per series, or"
                    f" --time {TIME_OFF} to keep the order."
                )
            note(f"{path}: the rows were not in order of time; they were sorted by column {name:.60}.")
    _report_steps(path, times, found, lines)
    return found


def _report_steps(path: Path, times: Times, found: npt.NDArray[np.intp], lines: Sequence[int]) -> None:
    steps = np.diff(times.values[found])
    equal = np.flatnonzero(steps == 0)
    if len(equal) and times.in_seconds:
        first, second = (lines[found[equal[0] + k]] for k in (0, 1))
        note(
            f"{path}: column {times.column:.60} has {quantity(len(equal), 'row')} with the time of the row"
            f" before, the first in lines {first} and {second}. Are there several series in the file?"
        )
    positive = steps[steps > 0]
    if not len(positive):
        return
    usual = float(np.median(positive))
    gaps = np.flatnonzero(steps > _GAP * usual)
    if len(gaps):
        at = int(gaps[0])
        shown = _duration(usual) if times.in_seconds else f"{usual:g}"
        longest = float(steps[gaps].max()) / usual
        note(
            f"{path}: column {times.column:.60} has gaps: {len(gaps)} of {len(steps)} steps are longer than"
            f" the usual {shown}, the first between lines {lines[found[at]]} and {lines[found[at + 1]]}, the"
            f" longest {longest:.3g} times as long. The model takes rows as evenly spaced; add the missing"
            " rows."
        )


def _is_sorted(values: Numbers) -> bool:
    return bool(np.all(np.diff(values) >= 0))


def _unevenness(values: Numbers) -> float:
    steps = np.abs(np.diff(values))
    return float(steps.std() / steps.mean()) if steps.any() else 0.0


def _digits(values: Numbers) -> Numbers | None:
    """Seconds of dates written as numbers, YYYYMMDD or YYYYMM; None for other numbers."""
    if (values != np.rint(values)).any():
        return None
    for day_digits, low, high in ((100, 15000101, 22001231), (1, 150001, 220012)):
        if values.min() < low or values.max() > high:
            continue
        months, day = np.divmod(values.astype(np.int64), day_digits)
        year, month = np.divmod(months, 100)
        if ((month < 1) | (month > 12)).any():
            continue
        first = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        dates = first.astype("datetime64[D]") + np.where(day_digits > 1, day - 1, 0)
        if day_digits > 1 and ((day < 1) | (dates.astype("datetime64[M]") != first)).any():
            continue
        return dates.astype("datetime64[s]").astype(np.float64)
    return None


def _duration(seconds: float) -> str:
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {name}{'s'[: seconds != length]}"
    return f"{seconds:.3g} s"
