"""CSV files: numbers by the names of their columns, in order of time."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.cli import cells, csvfile, csvhints, gaps, timeorder
from bptt.cli.csvfile import Line
from bptt.cli.csvformat import TIME_OFF, Format
from bptt.cli.options import CommandError, note

Numbers = npt.NDArray[np.float64]


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
    raw = _Raw(path, form, names)
    raw.check(names)
    return raw.table(names)


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
    raw = _Raw(path, form, named)
    left_out = raw.left_out(named)
    names = [name for name in raw.header if name not in left_out]
    if not names:
        hint = csvhints.of_file(path, form)
        shown = ", ".join(f"{name:.60} ({why})" for name, why in left_out.items())
        fix = "name columns in --columns"
        raise CommandError(
            hint or f"{path} has no column of numbers to learn from; got {shown:.300}. Fix: {fix}."
        )
    raw.check(names)
    if raw.times is None and form.time is None:
        note(f"{path}: no time column was found; the first row is taken as the oldest.")
    if left_out:
        shown = ", ".join(f"{name:.60} ({why})" for name, why in left_out.items())
        note(f"{path}: columns not used as features: {shown:.300}. Name columns in --columns to use them.")
    return raw.table(names)


class _Raw:
    """All numbers of a file, with NaN where a cell holds none."""

    def __init__(self, path: Path, form: Format, named: Collection[str]) -> None:
        self.path, self.form = path, form
        rows = csvfile.lines(path, form)
        top = list(islice(rows, 2))
        if not top:
            raise CommandError(f"{path} is empty; its first line must name the columns")
        if form.header is False:
            self.header = [f"column{i}" for i, _ in enumerate(top[0][1], 1)]
        else:
            self.header = [cell.strip() or f"column{i}" for i, cell in enumerate(top.pop(0)[1], 1)]
            _check_header(path, form, self.header, top)
        if not top:
            raise CommandError(f"{path} holds no numbers below the names of its columns")
        self._count = Counter(self.header)
        for name in named if form.time in (None, TIME_OFF) else (*named, str(form.time)):
            self._check_name(name)
        csvfile.warn_if_cut(path)
        kinds = [cells.kind(cell, form) for cell in top[0][1]]
        numeric = [
            name
            for name, one, cell in zip(self.header, kinds, top[0][1], strict=True)
            if name in named or one in ("number", "missing") or csvhints.of_cells([cell], form)
        ]
        self._place = {name: i for i, name in enumerate(dict.fromkeys(numeric))}
        self._time_name = self._find_time(kinds, named)
        self._read(chain(top, rows))
        self.times = self._times(named)

    def _check_name(self, name: str) -> None:
        if self._count[name] != 1:
            wrong = "two columns" if self._count[name] else "no column"
            raise CommandError(
                csvhints.of_file(self.path, self.form)
                or f"{self.path} has {wrong} named {name!r:.60}; it has {', '.join(self.header):.300}"
            )

    def _find_time(self, kinds: Sequence[cells.Kind], named: Collection[str]) -> str | None:
        """The column of dates."""
        if self.form.time is not None:
            return None if self.form.time == TIME_OFF else self.form.time
        dates = (name for name, one in zip(self.header, kinds, strict=True) if one == "time")
        return next((name for name in dates if name not in named), None)

    def _read(self, rows: Iterator[Line]) -> None:
        form, values = self.form, array("d")
        self.lines, self._time_cells = array("q"), list[str]()
        self._bad: dict[str, tuple[int, str]] = {}
        first = {name: i for i, name in reversed(list(enumerate(self.header)))}
        at = [first[name] for name in self._place]
        time_at = None if self._time_name is None else first[self._time_name]
        for line, texts in rows:
            self.lines.append(line)
            try:
                row = cells.numbers([texts[i] for i in at], form)
            except ValueError:
                row = [math.nan]
            if not all(map(math.isfinite, row)):
                row = [self._number(line, name, texts[i]) for name, i in zip(self._place, at, strict=True)]
            values.extend(row)
            if time_at is not None:
                self._time_cells.append(texts[time_at])
        self.values = np.frombuffer(values).reshape(len(self.lines), len(at))

    def _number(self, line: int, name: str, text: str) -> float:
        """The number in a cell, or NaN; the first bad cell of each column is kept for the message."""
        try:
            value = cells.number(text, self.form)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        if not (cells.is_missing(text) and self.form.fill) or name == self._time_name:
            self._bad.setdefault(name, (line, text))
        return math.nan

    def column(self, name: str) -> Numbers:
        """Values of one column, (N,)."""
        return self.values[:, self._place[name]]

    def _times(self, named: Collection[str]) -> timeorder.Times | None:
        name = self._time_name
        if name is not None and name in self._place:
            self.check([name])
            return self.counting(name) or timeorder.Times(name, self.column(name), in_seconds=False)
        if name is not None:
            return timeorder.of_cells(self.path, name, self._time_cells, self.lines)
        if self.form.time == TIME_OFF:
            return None
        counting = {name: self.counting(name) for name in self._place if name not in named}
        found = [times for times in counting.values() if times is not None]
        # Dates first, then columns without equal numbers: a year may be that of several rows.
        found.sort(key=lambda times: (not times.in_seconds, len(np.unique(times.values)) < len(times.values)))
        return found[0] if found else None

    def counting(self, name: str) -> timeorder.Times | None:
        """Times, if the column only counts rows or tells the time."""
        if self._count[name] > 1:
            return None
        return timeorder.of_numbers(name, self.column(name))

    def left_out(self, named: Collection[str]) -> dict[str, str]:
        """Columns that are no features, and why."""
        found: dict[str, str] = {}
        for name in self.header:
            if name in named:
                continue
            if self.times is not None and name == self.times.column:
                found[name] = "time"
            elif name not in self._place or self._without_numbers(name):
                found[name] = "no numbers"
            elif self.counting(name):
                found[name] = "index"
        return found

    def _without_numbers(self, name: str) -> bool:
        """Whether the column holds no number at all, not even one that is written with other marks."""
        if not np.isnan(self.column(name)).all():
            return False
        return name not in self._bad or not csvhints.of_cells([self._bad[name][1]], self.form)

    def check(self, names: Sequence[str]) -> None:
        """Raise CommandError for the first cell of these columns that holds no finite number."""
        for name in names:
            self._check_name(name)
        bad = [name for name in names if name in self._bad]
        if not bad:
            return
        name = min(bad, key=lambda one: (self._bad[one][0], self._place[one]))
        line, text = self._bad[name]
        where = f"{self.path} must hold finite numbers; line {line}, column {name:.60},"
        if cells.is_missing(text):
            came = f"has {text.strip()!r}" if text.strip() else "is empty"
            raise CommandError(f"{where} {came}. Fix: fill the cell, or pass --fill linear.")
        fix = "correct the cell, or leave the column out with --columns"
        marks = csvhints.of_cells([text], self.form)
        if marks:
            hints = csvhints.find(self.path, self.form) or [marks]  # the first lines together say more
            fix = f"pass {csvhints.options(hints)}"
        raise CommandError(f"{where} has {text.strip()!r:.40}. Fix: {fix}.")

    def table(self, names: Sequence[str]) -> Table:
        """These columns, in order of time and without gaps."""
        values = self.values[:, [self._place[name] for name in names]]
        if self.times is not None:
            values = values[timeorder.order(self.path, self.times, self.lines)]
        if self.form.fill is not None:
            values = gaps.fill(self.path, values, names, self.form.fill)
        return Table(self.path, list(names), values)


def _check_header(path: Path, form: Format, header: Sequence[str], below: Sequence[Line]) -> None:
    """Refuse a first line that holds what the line below it holds, numbers or times among it."""
    if form.header:
        return
    first = [cells.kind(cell, form) for cell in header]
    data = [one in ("number", "time") for one in first]
    second = [cells.kind(cell, form) for cell in below[0][1]] if below else []
    alike = [a == b or (yes and b == "missing") for a, b, yes in zip(first, second, data, strict=False)]
    if set(first) == {"number"} or (any(data) and alike and all(alike)):
        raise CommandError(
            f"{path} must name its columns in the first line; got {', '.join(header)!r:.60}. Fix: pass"
            " --no-header, or --header if these are the names."
        )
