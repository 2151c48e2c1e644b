"""Sort the rows of a table by time, and report uneven steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity
from bptt.cli.csv.format import TIME_OFF
from bptt.cli.csv.time_column import Numbers, Times, is_sorted
from bptt.cli.options import CommandError, note

_GAP = 1.5  # usual steps: the lengths of months and years differ by less


def order(path: Path, times: Times, stamps: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.intp]:
    """Return the indices that sort the rows by time. Print notes about the time, changes and problems.

    `stamps` are the times as the file has them.

    Raises
    ------
    CommandError
        Rows are out of order, and some have equal times: they may belong to several series.
    """
    values = times.values
    reading = "" if times.reading is None else f" ({times.reading}, --dates)"
    order = np.arange(len(values))
    if not is_sorted(values):
        if is_sorted(values[::-1]):
            order = order[::-1]
            note(f"{path}: {times.label} has the newest row first; the rows were reversed.")
        else:
            order = np.argsort(values, kind="stable")
            equal, where = _equal(values[order], order, lines)
            if equal:
                raise CommandError(
                    f"{path}: {times.label} must be in order of time; {where} have the same time, and other"
                    " lines are out of order. This looks like several series in one file. Fix: pass a folder"
                    f" with one file per series, or --time {TIME_OFF} to keep the order."
                )
            note(f"{path}: the rows were not in order of time; they were sorted by {times.label}.")
    if times.in_seconds:
        equal, where = _equal(values[order], order, lines)
        if equal:
            note(
                f"{path}: {times.label} has {quantity(equal, 'row')} with the time of the previous row, the"
                f" first in {where}. Are there several series in the file?"
            )
    first, last = (stamps[order[k]] for k in (0, -1))
    step = _usual_step(times, order)
    note(f"{path}: the time is in {times.label}{reading}: {first:.40} to {last:.40}{step} (--time).")
    _report_steps(path, times, order, lines)
    return order


def usual_step(values: Numbers) -> float:
    """Return the usual distance of sorted times; 0 if all are equal."""
    with np.errstate(over="ignore"):  # differences of numbers near the largest float
        steps = np.diff(values)
    positive = steps[steps > 0]
    return float(np.median(positive)) if len(positive) else 0.0


def _usual_step(times: Times, order: npt.NDArray[np.intp]) -> str:
    usual = usual_step(times.values[order])
    if not usual:
        return ""
    return f", every {_duration(usual) if times.in_seconds else format(usual, 'g')}"


def _equal(values: Numbers, rows: npt.NDArray[np.intp], lines: Sequence[int]) -> tuple[int, str]:
    """Return the number of values that equal the previous value, and the lines of the first pair."""
    equal = np.flatnonzero(values[1:] == values[:-1])
    if not len(equal):
        return 0, ""
    first, second = (lines[rows[equal[0] + k]] for k in (0, 1))
    return len(equal), f"lines {first} and {second}"


def _report_steps(path: Path, times: Times, rows: npt.NDArray[np.intp], lines: Sequence[int]) -> None:
    """Print a note about steps that are much longer or shorter than the usual step."""
    usual = usual_step(times.values[rows])
    with np.errstate(over="ignore"):
        steps = np.diff(times.values[rows])
    shown = _duration(usual) if times.in_seconds else f"{usual:g}"
    uneven = []
    long, short = steps > _GAP * usual, (steps > 0) & (steps < usual / _GAP)
    for kind, is_unusual, extreme in (("longer", long, np.max), ("shorter", short, np.min)):
        unusual = np.flatnonzero(is_unusual)
        if len(unusual):
            first, second = (lines[rows[unusual[0] + k]] for k in (0, 1))
            factor = float(extreme(steps[unusual])) / usual
            uneven.append(
                f"{len(unusual)} of {len(steps)} steps are {kind} than the usual {shown}, the first between"
                f" lines {first} and {second}, the {kind.removesuffix('er')}est {factor:.3g} times as long"
            )
    if uneven:
        advice = "add the missing rows if rows are lost" if long.any() else "resample the rows to equal steps"
        note(
            f"{path}: {times.label} has {'gaps' if long.any() else 'uneven steps'}: {'; '.join(uneven)}. The"
            f" model treats rows as evenly spaced; {advice}."
        )


def _duration(seconds: float) -> str:
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {name}{'s'[: seconds != length]}"
    return f"{seconds:.3g} s"
