"""The columns of a CSV file: what each of them holds, and their numbers."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.cli.csv import cells
from bptt.cli.csv import file as csvfile
from bptt.cli.csv import hints as csvhints
from bptt.cli.csv.file import Line
from bptt.cli.csv.format import Format
from bptt.cli.options import CommandError

Numbers = npt.NDArray[np.float64]
SAMPLE = 100  # rows that decide what a column holds
_KINDS: tuple[cells.Kind, ...] = ("number", "date", "clock", "text")


@dataclass(frozen=True)
class Head:
    """The first line of a file, what its columns hold, and all rows below that line.

    Attributes
    ----------
    kinds : dict
        What most cells of the first rows hold, by the column's name.
    not_numbers : dict
        Line and text of the first cell that holds neither a number nor nothing, in the first rows.
    """

    path: Path
    form: Format
    names: list[str]
    kinds: dict[str, cells.Kind]
    not_numbers: dict[str, tuple[int, str]]
    rows: Iterator[Line]

    def check(self, name: str) -> None:
        """Raise CommandError unless exactly one column has this name."""
        count = self.names.count(name)
        if count != 1:
            wrong = "two columns" if count else "no column"
            raise CommandError(
                csvhints.of_file(self.path, self.form)
                or f"{self.path} has {wrong} named {name!r:.60}; it has {', '.join(self.names):.300}"
            )


@dataclass(frozen=True)
class Columns:
    """The numbers and the times of a file.

    Attributes
    ----------
    lines : sequence of int
        Line number of each row.
    values : ndarray (N, K)
        Numbers of the columns in `place`; NaN where a cell holds no finite number.
    texts : dict
        The cells of columns that hold times as text.
    empty : dict
        Line of the first empty cell, by the column's name.
    not_numbers : dict
        Line and text of the first cell that holds neither a finite number nor nothing.
    """

    head: Head
    lines: Sequence[int]
    place: dict[str, int]
    values: Numbers
    texts: dict[str, list[str]]
    empty: dict[str, tuple[int, str]]
    not_numbers: dict[str, tuple[int, str]]

    def column(self, name: str) -> Numbers:
        """Values of one column, (N,)."""
        return self.values[:, self.place[name]]


def read_head(path: Path, form: Format) -> Head:
    """Read the names of the columns, and enough rows to say what each column holds.

    Raises
    ------
    CommandError
        The file cannot be read, holds no row, or begins with a line that looks like data.
    """
    rows = csvfile.lines(path, form)
    first = next(rows, None)
    if first is None:
        raise CommandError(f"{path} is empty; its first line must name the columns")
    if form.header is False:
        names = [f"column{i}" for i, _ in enumerate(first[1], 1)]
        rows = chain([first], rows)
    else:
        names = [cell.strip() or f"column{i}" for i, cell in enumerate(first[1], 1)]
    sample = list(islice(rows, SAMPLE))
    if form.header is None:
        _check_header(path, names, [cells.kind(cell, form) for cell in first[1]], sample, form)
    if not sample:
        raise CommandError(f"{path} holds no numbers below the names of its columns")
    kinds: dict[str, cells.Kind] = {}
    not_numbers: dict[str, tuple[int, str]] = {}
    for i, name in enumerate(names):
        sampled = [(line, row[i], _kind(row[i], form)) for line, row in sample]
        counts: Counter[cells.Kind] = Counter(kind for *_, kind in sampled if kind != "missing")
        most = max(_KINDS, key=lambda kind: counts[kind]) if counts else "missing"
        if kinds.get(name) not in ("number", "missing"):  # of two columns with one name, the one of numbers
            kinds[name] = most
        other = ((line, text) for line, text, kind in sampled if kind not in ("number", "missing"))
        not_numbers.setdefault(name, next(other, (0, "")))
    kept = {name: cell for name, cell in not_numbers.items() if cell[0]}
    return Head(path, form, names, kinds, kept, chain(sample, rows))


def read(head: Head, numbers: Iterable[str], times: Iterable[str]) -> Columns:
    """Read the rows: these columns as numbers, and the cells of columns that hold times as text."""
    first = {name: i for i, name in reversed(list(enumerate(head.names)))}
    place = {name: i for i, name in enumerate(dict.fromkeys(numbers))}
    at = [first[name] for name in place]
    texts: dict[str, list[str]] = {name: [] for name in times}
    lines, values = array("q"), array("d")
    empty: dict[str, tuple[int, str]] = {}
    not_numbers = {name: cell for name, cell in head.not_numbers.items() if name not in place}
    for line, row in head.rows:
        lines.append(line)
        try:
            parsed = cells.numbers([row[i] for i in at], head.form)
        except ValueError:
            parsed = [math.nan]
        if not all(map(math.isfinite, parsed)):
            parsed = []
            for name, i in zip(place, at, strict=True):
                parsed.append(_finite(row[i], head.form))
                if math.isnan(parsed[-1]):
                    first_bad = empty if cells.is_missing(row[i]) else not_numbers
                    first_bad.setdefault(name, (line, row[i]))
        values.extend(parsed)
        for name, kept in texts.items():
            kept.append(row[first[name]])
    table = np.frombuffer(values).reshape(len(lines), len(at))
    return Columns(head, lines, place, table, texts, empty, not_numbers)


def check_cells(table: Columns, names: Collection[str], whole: Collection[str], fix: str) -> None:
    """Raise CommandError for the first cell of the columns `names` that holds no finite number.

    Empty cells are refused in the columns `whole` only. `fix` says what helps if the cell holds text.
    """
    bad = [(cell, table.place[name], name) for name, cell in table.not_numbers.items() if name in names]
    bad += [
        (cell, table.place[name], name)
        for name, cell in table.empty.items()
        if name in names and name in whole
    ]
    if not bad:
        return
    (line, text), _, name = min(bad, key=lambda one: (one[0][0], one[1]))
    path, form = table.head.path, table.head.form
    where = f"{path} must hold finite numbers; line {line}, column {name:.60},"
    if cells.is_missing(text):
        came = f"has {text.strip()!r}" if text.strip() else "is empty"
        raise CommandError(f"{where} {came}. Fix: fill the cell, or pass --fill linear.")
    marks = csvhints.of_cells([text], form)
    if marks:
        hints = csvhints.find(path, form) or [marks]  # the first lines together say more
        fix = f"pass {csvhints.options(hints)}"
    raise CommandError(f"{where} has {text.strip()!r:.40}. Fix: {fix}.")


def _kind(text: str, form: Format) -> cells.Kind:
    """What a cell holds; a number with other marks is a number, too."""
    kind = cells.kind(text, form)
    return "number" if kind == "text" and csvhints.of_cells([text], form) else kind


def _finite(text: str, form: Format) -> float:
    """The number in a cell, or NaN."""
    try:
        value = cells.number(text, form)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _check_header(
    path: Path, names: Sequence[str], first: Sequence[cells.Kind], below: Sequence[Line], form: Format
) -> None:
    """Refuse a first line that holds what the line below it holds, numbers or times among it."""
    data = [one in ("number", "date", "clock") for one in first]
    second = [cells.kind(cell, form) for cell in below[0][1]] if below else []
    alike = [a == b or (yes and b == "missing") for a, b, yes in zip(first, second, data, strict=False)]
    if set(first) == {"number"} or (any(data) and alike and all(alike)):
        raise CommandError(
            f"{path} must name its columns in the first line; got {', '.join(names)!r:.60}. Fix: pass"
            " --no-header, or --header if these are the names."
        )
