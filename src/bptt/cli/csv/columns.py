"""The columns of a CSV file: the kind of content of each, and their numbers."""

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
from bptt.cli.csv import marks as csvmarks
from bptt.cli.csv.cells import Marks
from bptt.cli.csv.delimiters import Record
from bptt.cli.csv.dialect import Dialect
from bptt.cli.csv.format import Format
from bptt.cli.options import CommandError

Numbers = npt.NDArray[np.float64]
SAMPLE = 100  # rows that decide the kind of a column
_KINDS: tuple[cells.Kind, ...] = ("number", "date", "clock", "text")


@dataclass(frozen=True)
class Head:
    """The names and kinds of the columns of a file, and its rows.

    Attributes
    ----------
    kinds : dict
        Kind of most cells in the first rows, by column name.
    not_numbers : dict
        Line and text of the first cell in the first rows that is neither empty nor a number, by column name.
    """

    path: Path
    form: Format
    dialect: Dialect
    kinds: dict[str, cells.Kind]
    not_numbers: dict[str, tuple[int, str]]
    rows: Iterator[Record]

    @property
    def names(self) -> list[str]:
        """Names of the columns, in the file's order."""
        return self.dialect.header.names

    def check(self, name: str) -> None:
        """Raise CommandError unless exactly one column has this name."""
        count = self.names.count(name)
        if count != 1:
            columns = "several columns" if count else "no column"
            raise CommandError(
                f"{self.path} has {columns} named {name!r:.60}; its columns are {', '.join(self.names):.300}."
                f" Fix: {'rename them' if count else 'pass one of these names'}."
            )


@dataclass(frozen=True)
class Columns:
    """The numbers and the times of a file.

    Attributes
    ----------
    lines : sequence of int
        Line number of each row.
    values : ndarray (N, K)
        Numbers of the columns in `place`; NaN if a cell holds no finite number.
    texts : dict
        Cells of the columns that hold times as text.
    empty : dict
        Line and text of the first empty cell, by column name.
    not_numbers : dict
        Line and text of the first cell that is neither empty nor a finite number, by column name.
    """

    head: Head
    lines: Sequence[int]
    place: dict[str, int]
    values: Numbers
    texts: dict[str, list[str]]
    empty: dict[str, tuple[int, str]]
    not_numbers: dict[str, tuple[int, str]]

    def column(self, name: str) -> Numbers:
        """Return the values of one column, (N,)."""
        return self.values[:, self.place[name]]


def read_head(path: Path, form: Format, dialect: Dialect) -> Head:
    """Read enough rows to find the kind of each column.

    Raises
    ------
    CommandError
        The file cannot be read, or holds no row.
    """
    rows = csvfile.rows(path, dialect)
    sample = list(islice(rows, SAMPLE))
    if not sample:
        raise CommandError(
            f"{path} has no rows below the names of its columns. Fix: pass a file with rows of numbers."
        )
    kinds: dict[str, cells.Kind] = {}
    not_numbers: dict[str, tuple[int, str]] = {}
    for i, name in enumerate(dialect.header.names):
        sampled = [(line, row[i], _kind(row[i], dialect.marks)) for line, row in sample]
        counts: Counter[cells.Kind] = Counter(kind for *_, kind in sampled if kind != "missing")
        most = max(_KINDS, key=lambda kind: counts[kind]) if counts else "missing"
        if kinds.get(name) not in ("number", "missing"):  # if two columns have one name, prefer the numbers
            kinds[name] = most
        other = ((line, text) for line, text, kind in sampled if kind not in ("number", "missing"))
        not_numbers.setdefault(name, next(other, (0, "")))
    not_numbers = {name: cell for name, cell in not_numbers.items() if cell[0]}
    return Head(path, form, dialect, kinds, not_numbers, chain(sample, rows))


def read(head: Head, numbers: Iterable[str], times: Iterable[str]) -> Columns:
    """Read all rows: the columns `numbers` as numbers, the columns `times` as text."""
    first = {name: i for i, name in reversed(list(enumerate(head.names)))}
    place = {name: i for i, name in enumerate(dict.fromkeys(numbers))}
    indices = [first[name] for name in place]
    texts: dict[str, list[str]] = {name: [] for name in times}
    lines, values = array("q"), array("d")
    empty: dict[str, tuple[int, str]] = {}
    not_numbers = {name: cell for name, cell in head.not_numbers.items() if name not in place}
    for line, row in head.rows:
        lines.append(line)
        try:
            parsed = cells.numbers([row[i] for i in indices], head.dialect.marks)
        except ValueError:
            parsed = [math.nan]
        if not all(map(math.isfinite, parsed)):
            parsed = []
            for name, i in zip(place, indices, strict=True):
                parsed.append(_finite(row[i], head.dialect.marks))
                if math.isnan(parsed[-1]):
                    first_bad = empty if cells.is_missing(row[i]) else not_numbers
                    first_bad.setdefault(name, (line, row[i]))
        values.extend(parsed)
        for name, column in texts.items():
            column.append(row[first[name]])
    table = np.frombuffer(values).reshape(len(lines), len(indices))
    return Columns(head, lines, place, table, texts, empty, not_numbers)


def check_cells(table: Columns, names: Collection[str], whole: Collection[str], fix: str) -> None:
    """Raise CommandError for the first cell of the columns `names` that holds no finite number.

    Empty cells are errors only in the columns `whole`. `fix` is the fix in the message if a cell holds text.
    """
    bad = [(cell, table.place[name], name) for name, cell in table.not_numbers.items() if name in names]
    bad += [
        (cell, table.place[name], name)
        for name, cell in table.empty.items()
        if name in names and name in whole
    ]
    if not bad:
        return
    (line, text), _, name = min(bad, key=lambda entry: (entry[0][0], entry[1]))
    where = f"{table.head.path} must hold finite numbers; line {line}, column {name:.60},"
    if cells.is_missing(text):
        actual = f"has {text.strip()!r}" if text.strip() else "is empty"
        raise CommandError(f"{where} {actual}. Fix: fill the cell, or pass --fill linear.")
    options = csvmarks.advice([text], table.head.dialect.marks)
    raise CommandError(f"{where} has {text.strip()!r:.40}. Fix: {f'pass {options}' if options else fix}.")


def _kind(text: str, marks: Marks) -> cells.Kind:
    """Return the kind of a cell. A number with other marks is a number, too."""
    kind = cells.kind(text, marks)
    return "number" if kind == "text" and csvmarks.advice([text], marks) else kind


def _finite(text: str, marks: Marks) -> float:
    """Return the finite number in a cell, or NaN."""
    try:
        value = cells.number(text, marks)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
