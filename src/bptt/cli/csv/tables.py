"""Read CSV files as tables of numbers: named columns, rows in order of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bptt.cli.csv import cells, columns, gaps
from bptt.cli.csv import file as csvfile
from bptt.cli.csv import hints as csvhints
from bptt.cli.csv import row_times as rowtimes
from bptt.cli.csv import time_order as timeorder
from bptt.cli.csv.columns import Columns, Head, Numbers
from bptt.cli.csv.format import TIME_OFF, Format
from bptt.cli.csv.time_column import Times
from bptt.cli.options import CommandError, note


@dataclass(frozen=True)
class Table:
    """Columns of a file: finite float64 values (N, F), the oldest row first."""

    path: Path
    names: list[str]
    values: Numbers


def paths(path: Path) -> list[Path]:
    """Return the file itself, or the .csv files in a folder, in order of name.

    Raises
    ------
    CommandError
        The folder has no .csv file.
    """
    if not path.is_dir():
        return [path]
    files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".csv" and entry.is_file())
    if not files:
        raise CommandError(
            f"{path} is a folder without a .csv file. Fix: pass a folder with .csv files, or a file."
        )
    return files


def read(path: Path, names: Sequence[str], form: Format) -> Table:
    """Read the columns with these names, in this order.

    Raises
    ------
    CommandError
        The file cannot be read. A column is missing, occurs twice, or holds values that are not finite
        numbers. The order of time is unknown.
    """
    raw = _read(columns.read_head(path, form), names)
    _check(raw, names, "correct the cell")
    return _table(raw, names)


def read_all(path: Path, form: Format) -> Table:
    """Read all columns except dates and times of day. The first line may hold names or numbers.

    Raises
    ------
    CommandError
        As `read`.
    """
    if form.header is None:
        first = next(csvfile.lines(path, form), (0, [""]))[1]
        if all(cells.kind(cell, form) in ("number", "missing") for cell in first):
            form = replace(form, header=False)
    head = columns.read_head(path, form)
    return read(path, [name for name in head.names if head.kinds[name] not in ("date", "clock")], form)


def read_features(path: Path, named: Sequence[str], form: Format) -> Table:
    """Read the columns of numbers, in the file's order.

    Columns that only count rows or hold the time are left out. A note names each column that is left out, and
    the reason.

    Parameters
    ----------
    named : sequence of str
        Columns that are never left out.

    Raises
    ------
    CommandError
        As `read`, or no column is left.
    """
    raw = _read(columns.read_head(path, form), named)
    left_out = _left_out(raw, named)
    names = [name for name in raw.columns.head.names if name not in left_out]
    shown = ", ".join(f"{name:.60} ({why})" for name, why in left_out.items())
    if not names:
        raise CommandError(
            csvhints.of_file(path, form)
            or f"{path} must have a column of numbers to learn from; got {shown:.400}. Fix: name columns in"
            " --columns."
        )
    _check(raw, names, "correct the cell, or leave the column out with --columns")
    if left_out:
        note(f"{path}: columns not used as features: {shown:.400}. Name columns in --columns to use them.")
    return _table(raw, names)


@dataclass(frozen=True)
class _Raw:
    """All numbers of a file, the time of its rows, and the columns that only count rows or hold the time."""

    columns: Columns
    times: Times | None
    counting: Collection[str]

    def is_hour(self, name: str) -> bool:
        """Return whether a column of numbers holds only the time of day: it may be a feature, too."""
        return self.times is not None and name in self.times.columns[1:] and name in self.columns.place


def _read(head: Head, named: Collection[str]) -> _Raw:
    """Read all columns of numbers and the columns `named`, and find the time of each row."""
    time = head.form.time
    for name in named if time in (None, TIME_OFF) else (*named, time):
        head.check(name)
    csvfile.warn_if_cut(head.path)
    numeric = [name for name in head.names if name in named or head.kinds[name] in ("number", "missing")]
    table = columns.read(head, numeric, rowtimes.of_text(head, numeric))
    counting = rowtimes.counting(table)
    return _Raw(table, rowtimes.find(table, counting, named), counting)


def _left_out(raw: _Raw, named: Collection[str]) -> dict[str, str]:
    """Return the columns that are not features, with the reasons."""
    reasons: dict[str, str] = {}
    for name in raw.columns.head.names:
        if name in named:
            continue
        if raw.times is not None and name in raw.times.columns and not raw.is_hour(name):
            reasons[name] = "time"
        elif name not in raw.columns.place or _without_numbers(raw.columns, name):
            line, text = raw.columns.not_numbers.get(name, (0, ""))
            reasons[name] = f"no numbers: line {line} has {text.strip()!r:.30}" if line else "no numbers"
        elif name in raw.counting:
            reasons[name] = "index"
    return reasons


def _without_numbers(table: Columns, name: str) -> bool:
    """Return whether a column holds no number, not even a number with other marks."""
    if table.head.names.count(name) > 1 or (table.column(name) == table.column(name)).any():
        return False
    bad = table.not_numbers.get(name)
    return bad is None or not csvhints.of_cells([bad[1]], table.head.form)


def _check(raw: _Raw, names: Sequence[str], fix: str) -> None:
    """Raise CommandError if a column is missing or occurs twice, or a cell holds no finite number."""
    for name in names:
        raw.columns.head.check(name)
    whole = () if raw.times is None else raw.times.columns
    columns.check_cells(raw.columns, names, names if raw.columns.head.form.fill is None else whole, fix)


def _table(raw: _Raw, names: Sequence[str]) -> Table:
    """Return these columns in order of time, without gaps."""
    path, form = raw.columns.head.path, raw.columns.head.form
    values = raw.columns.values[:, [raw.columns.place[name] for name in names]]
    if raw.times is not None:
        values = values[timeorder.order(path, raw.times, raw.columns.lines)]
    elif form.time is None:
        note(f"{path}: no time column was found; the first row is treated as the oldest.")
    if form.fill is not None:
        values = gaps.fill(path, values, names, form.fill)
    return Table(path, list(names), values)
