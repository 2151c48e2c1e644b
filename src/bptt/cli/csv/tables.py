"""Read CSV files as tables of numbers: named columns, rows in order of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bptt.cli.csv import columns, dialect, gaps
from bptt.cli.csv import file as csvfile
from bptt.cli.csv import marks as csvmarks
from bptt.cli.csv import row_times as rowtimes
from bptt.cli.csv import time_order as timeorder
from bptt.cli.csv.cells import Marks
from bptt.cli.csv.columns import Columns, Numbers
from bptt.cli.csv.dialect import Dialect
from bptt.cli.csv.format import TIME_OFF, Format
from bptt.cli.csv.time_column import Times
from bptt.cli.options import CommandError, note

_ENDINGS = (".csv", ".tsv")


@dataclass(frozen=True)
class Table:
    """Columns of a file: finite float64 values (N, F), the oldest row first.

    Attributes
    ----------
    times : Times or None
        The time of each row.
    stamps : dict
        The times as the file has them, one text per row, by column name. Empty without a time column.
    """

    path: Path
    names: list[str]
    values: Numbers
    times: Times | None = None
    stamps: dict[str, list[str]] = field(default_factory=dict)


def paths(path: Path) -> list[Path]:
    """Return the file itself, or the .csv files in a folder, in order of name.

    Raises
    ------
    CommandError
        The folder has no .csv file.
    """
    if not path.is_dir():
        return [path]
    files = sorted(entry for entry in path.iterdir() if is_csv(entry) and entry.is_file())
    if not files:
        raise CommandError(
            f"{path} is a folder without a .csv file. Fix: pass a folder with .csv files, or a file."
        )
    return files


def is_csv(path: Path) -> bool:
    """Return whether the name of a file is that of a CSV file, packed with gzip or not."""
    return path.name.lower().endswith(tuple(ending + packed for ending in _ENDINGS for packed in ("", ".gz")))


def stem(path: Path) -> str:
    """Return the name of a file without the endings of a packed CSV file."""
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def read(path: Path, names: Sequence[str], form: Format) -> Table:
    """Read the columns with these names, in this order.

    Raises
    ------
    CommandError
        The file cannot be read. A column is missing, occurs twice, or holds values that are not finite
        numbers. The order of time is unknown.
    """
    return _named(_read(path, names, form), names)


def read_all(path: Path, form: Format) -> Table:
    """Read all columns except dates and times of day.

    Raises
    ------
    CommandError
        As `read`.
    """
    raw = _read(path, (), form, everything=True)
    head = raw.columns.head
    return _named(raw, [name for name in head.names if head.kinds[name] not in ("date", "clock")])


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
    raw = _read(path, named, form)
    left_out = _left_out(raw, named)
    names = [name for name in raw.columns.head.names if name not in left_out]
    shown = ", ".join(f"{name:.60} ({why})" for name, why in left_out.items())
    if not names:
        raise CommandError(
            f"{path} must have a column of numbers to learn from; got {shown:.400}. Fix: pass a file with a"
            f" column of numbers, or name columns in --columns{_other_options(form)}."
        )
    _check(raw, names, "correct the cell, or leave the column out with --columns")
    _say(raw)
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


def _read(path: Path, named: Collection[str], form: Format, *, everything: bool = False) -> _Raw:
    """Read all columns of numbers and the columns `named`, and find the time of each row.

    `everything` also reads columns of text, as numbers.
    """
    found = dialect.find(path, form)
    raw = _read_as(path, named, form, found, everything=everything)
    # Marks may appear only after the lines that decided how numbers are written.
    unread = [text for _, text in raw.columns.not_numbers.values() if csvmarks.advice([text], found.marks)]
    if unread and (form.decimal, form.thousands) == (None, None):
        grouped = found.marks == Marks(",", ".")
        marks = csvmarks.find(path, (*found.sample, *unread), found.delimiter, form, grouped=grouped)
        if marks != found.marks:
            words = ", ".join(filter(None, [found.found, *csvmarks.describe(marks)]))
            found = replace(found, marks=marks, found=words)
            raw = _read_as(path, named, form, found, everything=everything)
    return raw


def _read_as(path: Path, named: Collection[str], form: Format, found: Dialect, *, everything: bool) -> _Raw:
    head = columns.read_head(path, form, found)
    for name in named if form.time in (None, TIME_OFF) else (*named, form.time):
        head.check(name)
    kinds = ("number", "missing", "text") if everything else ("number", "missing")
    numeric = [name for name in head.names if name in named or head.kinds[name] in kinds]
    table = columns.read(head, numeric, rowtimes.of_text(head, numeric))
    counting = rowtimes.counting(table)
    return _Raw(table, rowtimes.find(table, counting, named), counting)


def _other_options(form: Format) -> str:
    """Return advice to leave out the options that may not fit the file."""
    given = [f"--{name}" for name in ("delimiter", "decimal", "skip") if getattr(form, name) is not None]
    return f", or leave {' and '.join(given)} out" if given else ""


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
    return bad is None or not csvmarks.advice([bad[1]], table.head.dialect.marks)


def _check(raw: _Raw, names: Sequence[str], fix: str) -> None:
    """Raise CommandError if a column is missing or occurs twice, or a cell holds no finite number."""
    for name in names:
        raw.columns.head.check(name)
    whole = () if raw.times is None else raw.times.columns
    columns.check_cells(raw.columns, names, names if raw.columns.head.form.fill is None else whole, fix)


def _say(raw: _Raw) -> None:
    """Print notes about what was found in the file."""
    head = raw.columns.head
    if head.dialect.found:
        note(f"{head.path}: found {head.dialect.found}.")
    csvfile.warn_if_cut(head.path)


def _named(raw: _Raw, names: Sequence[str]) -> Table:
    """Return the columns with these names in order of time, without gaps."""
    _check(raw, names, "correct the cell")
    _say(raw)
    return _table(raw, names)


def _table(raw: _Raw, names: Sequence[str]) -> Table:
    """Return these columns, which `_check` accepts, in order of time, without gaps."""
    path, form, times = raw.columns.head.path, raw.columns.head.form, raw.times
    values = raw.columns.values[:, [raw.columns.place[name] for name in names]]
    rows = np.arange(len(values))
    stamps: dict[str, list[str]] = {}
    if times is not None:
        stamps = {name: _stamps(raw.columns, name) for name in times.columns}
        joined = [" ".join(cells) for cells in zip(*stamps.values(), strict=True)]
        rows = timeorder.order(path, times, joined, raw.columns.lines)
    elif form.time is None:
        note(f"{path}: no time column was found; the first row is treated as the oldest.")
    values = values[rows]
    if form.fill is not None:
        values, kept = gaps.fill(path, values, names, form.fill)
        rows = rows[kept]
    if times is not None:
        times = replace(times, values=times.values[rows])
    stamps = {name: [cells[row] for row in rows] for name, cells in stamps.items()}
    return Table(path, list(names), values, times, stamps)


def _stamps(table: Columns, name: str) -> list[str]:
    """Return the cells of a time column as texts."""
    return table.texts[name] if name in table.texts else [f"{value:.15g}" for value in table.column(name)]
