"""CSV files: numbers by the names of their columns, in order of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bptt.cli import cells, columns, csvfile, csvhints, gaps, timecolumn, timeorder
from bptt.cli.columns import Columns, Head, Numbers
from bptt.cli.csvformat import TIME_OFF, Format
from bptt.cli.options import CommandError, note
from bptt.cli.timecolumn import Times


@dataclass(frozen=True)
class Table:
    """Columns of a file: values (N, F), float64, all finite, the oldest row first."""

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
    found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".csv" and entry.is_file())
    if not found:
        raise CommandError(f"{path} is a folder without a .csv file; give one that has some, or a file")
    return found


def read(path: Path, names: Sequence[str], form: Format) -> Table:
    """Read the columns of these names, in this order.

    Raises
    ------
    CommandError
        The file cannot be read; a column is missing, is there twice or holds something else than finite
        numbers; the order of time cannot be told.
    """
    raw = _read(columns.read_head(path, form), names)
    _check(raw, names, "correct the cell")
    return _table(raw, names)


def read_all(path: Path, form: Format) -> Table:
    """Read all columns but those of dates and times of day; the first line may hold names or numbers.

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

    Columns that only count rows or tell the time are left out. A note names each column that
    is left out, and the reason.

    Parameters
    ----------
    named : sequence of str
        Columns that are read in any case.

    Raises
    ------
    CommandError
        As `read`; no column is left.
    """
    raw = _read(columns.read_head(path, form), named)
    left_out = _left_out(raw, named)
    names = [name for name in raw.columns.head.names if name not in left_out]
    shown = ", ".join(f"{name:.60} ({why})" for name, why in left_out.items())
    if not names:
        raise CommandError(
            csvhints.of_file(path, form)
            or f"{path} has no column of numbers to learn from; got {shown:.400}. Fix: name columns in"
            " --columns."
        )
    _check(raw, names, "correct the cell, or leave the column out with --columns")
    if left_out:
        note(f"{path}: columns not used as features: {shown:.400}. Name columns in --columns to use them.")
    return _table(raw, names)


@dataclass(frozen=True)
class _Raw:
    """All numbers of a file, the time of its rows, and the columns that only count rows or tell the time."""

    columns: Columns
    times: Times | None
    counting: Collection[str]


def _read(head: Head, named: Collection[str]) -> _Raw:
    """Read the numbers of a file, those in the columns `named` in any case, and find the time of its rows."""
    form = head.form
    given = None if form.time in (None, TIME_OFF) else form.time
    for name in named if given is None else (*named, given):
        head.check(name)
    csvfile.warn_if_cut(head.path)
    numeric = [name for name in head.names if name in named or head.kinds[name] in ("number", "missing")]
    clocks = [name for name, kind in head.kinds.items() if kind == "clock"][:1]
    dates = [name for name, kind in head.kinds.items() if kind == "date"][:1]
    if given is not None:
        dates = [] if given in numeric else [given]
    found = columns.read(head, numeric, () if form.time == TIME_OFF else {*dates, *clocks})
    counting = {name: times for name in found.place if (times := _counting(found, name)) is not None}
    if form.time == TIME_OFF:
        times = None
    elif dates:
        times = _dated(found, dates[0], clocks)
    elif given is not None:
        _check_cells(found, [given], [given], "correct the cell")
        times = counting.get(given) or Times((given,), found.column(given), in_seconds=False)
    else:
        times = _find(found, counting, named) or (
            timecolumn.of_clock(clocks[0], found.texts[clocks[0]]) if clocks else None
        )
    return _Raw(found, times, counting)


def _dated(found: Columns, name: str, clocks: Sequence[str]) -> Times:
    """The times in a column of text, with those in the column of times of day if the dates repeat."""
    if found.head.kinds[name] == "clock":
        times = timecolumn.of_clock(name, found.texts[name])
        if times is None:
            raise CommandError(
                f"{found.head.path} must hold times in order of time in column {name:.60}, the day too."
                f" Fix: pass --time with another column, or --time {TIME_OFF}."
            )
        return times
    times = timecolumn.of_dates(found.head.path, name, found.texts[name], found.lines)
    for clock in clocks:
        times = timecolumn.with_clock(times, clock, found.texts[clock]) or times
    return times


def _counting(found: Columns, name: str) -> Times | None:
    """The times in a column of numbers, if it only counts rows or tells the time."""
    head = found.head
    if head.names.count(name) > 1:
        return None
    first = name == head.names[0]
    times = timecolumn.of_numbers(name, found.column(name), first=first)
    if times is None and first and name == "column1" and head.form.header is not False:
        times = timecolumn.of_numbers("index", found.column(name), first=first)  # pandas names no index
        return None if times is None else replace(times, columns=(name,))
    return times


def _find(found: Columns, counting: dict[str, Times], named: Collection[str]) -> Times | None:
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


def _left_out(raw: _Raw, named: Collection[str]) -> dict[str, str]:
    """Columns that are no features, and why."""
    reasons: dict[str, str] = {}
    for name in raw.columns.head.names:
        if name in named:
            continue
        if raw.times is not None and name in raw.times.columns:
            reasons[name] = "time"
        elif name not in raw.columns.place or _without_numbers(raw.columns, name):
            line, text = raw.columns.not_numbers.get(name, (0, ""))
            reasons[name] = f"no numbers: line {line} has {text.strip()!r:.30}" if line else "no numbers"
        elif name in raw.counting:
            reasons[name] = "index"
    return reasons


def _without_numbers(found: Columns, name: str) -> bool:
    """Whether the column holds no number at all, not even one that is written with other marks."""
    if found.head.names.count(name) > 1 or (found.column(name) == found.column(name)).any():
        return False
    bad = found.not_numbers.get(name)
    return bad is None or not csvhints.of_cells([bad[1]], found.head.form)


def _check(raw: _Raw, names: Sequence[str], fix: str) -> None:
    """Raise CommandError for a name that is not there once, or the first cell that holds no finite number."""
    for name in names:
        raw.columns.head.check(name)
    whole = () if raw.times is None else raw.times.columns
    _check_cells(raw.columns, names, names if raw.columns.head.form.fill is None else whole, fix)


def _check_cells(found: Columns, names: Collection[str], whole: Collection[str], fix: str) -> None:
    """Raise CommandError for the first cell that holds no finite number; only `whole` may not be empty."""
    bad = [(cell, found.place[name], name) for name, cell in found.not_numbers.items() if name in names]
    bad += [
        (cell, found.place[name], name)
        for name, cell in found.empty.items()
        if name in names and name in whole
    ]
    if not bad:
        return
    (line, text), _, name = min(bad, key=lambda one: (one[0][0], one[1]))
    path, form = found.head.path, found.head.form
    where = f"{path} must hold finite numbers; line {line}, column {name:.60},"
    if cells.is_missing(text):
        came = f"has {text.strip()!r}" if text.strip() else "is empty"
        raise CommandError(f"{where} {came}. Fix: fill the cell, or pass --fill linear.")
    marks = csvhints.of_cells([text], form)
    if marks:
        hints = csvhints.find(path, form) or [marks]  # the first lines together say more
        fix = f"pass {csvhints.options(hints)}"
    raise CommandError(f"{where} has {text.strip()!r:.40}. Fix: {fix}.")


def _table(raw: _Raw, names: Sequence[str]) -> Table:
    """These columns, in order of time and without gaps."""
    path, form = raw.columns.head.path, raw.columns.head.form
    values = raw.columns.values[:, [raw.columns.place[name] for name in names]]
    if raw.times is not None:
        values = values[timeorder.order(path, raw.times, raw.columns.lines)]
    elif form.time is None:
        note(f"{path}: no time column was found; the first row is taken as the oldest.")
    if form.fill is not None:
        values = gaps.fill(path, values, names, form.fill)
    return Table(path, list(names), values)
