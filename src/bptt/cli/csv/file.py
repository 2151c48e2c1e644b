"""The rows of a CSV file as cells. Errors name the line."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from bptt.cli.csv import source
from bptt.cli.csv.delimiters import Record
from bptt.cli.csv.dialect import Dialect
from bptt.cli.options import CommandError, note


def rows(path: Path, dialect: Dialect) -> Iterator[Record]:
    """Yield the number of the line and the cells of each row of data.

    Blank lines are skipped. In a file with one column, a blank line between other lines is an empty cell.

    Raises
    ------
    CommandError
        The file cannot be read, has another encoding, or has lines with unequal numbers of cells.
    """
    with source.errors(path, dialect.encoding), source.text(path, dialect.encoding) as file:
        yield from islice(_records(path, _Text(file, dialect), dialect), dialect.header.records, None)


class _Text:
    """Lines of text from the table on, without comments. `number` is the number of the last line read."""

    def __init__(self, file: Iterable[str], dialect: Dialect) -> None:
        self._file, self._dialect = file, dialect
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        comment, strips = self._dialect.comment, self._dialect.delimiter == " "
        for line in self._file:
            self.number += 1
            if self.number == 1:
                line = line.removeprefix("\ufeff")
            if self.number > self._dialect.above and not (comment and line.startswith(comment)):
                yield line.strip(" ") if strips or not line.strip(" \r\n") else line


def _records(path: Path, text: _Text, dialect: Dialect) -> Iterator[Record]:
    reader = csv.reader(text, delimiter=dialect.delimiter, skipinitialspace=True, strict=True)
    width = len(dialect.header.names)
    above = dialect.header.records
    blank: list[int] = []
    for count, cells in enumerate(_not_blank(reader, text, blank if width == 1 else None)):
        if count >= above and len(cells) != width:
            raise _ragged(path, text.number, len(cells), width, last=next(reader, None) is None)
        if count >= above:
            yield from ((number, [""]) for number in blank)
        blank.clear()
        yield text.number, cells


def _not_blank(reader: Iterator[list[str]], text: _Text, blank: list[int] | None) -> Iterator[list[str]]:
    """Yield the records that are not blank. The numbers of blank lines are added to `blank`."""
    for cells in reader:
        if cells:
            yield cells
        elif blank is not None:
            blank.append(text.number)


def _ragged(path: Path, number: int, cells: int, width: int, *, last: bool) -> CommandError:
    fix = "correct that line, or pass --delimiter or --skip"
    if last and cells < width:
        fix = "get the whole file: its last line looks cut short"
    return CommandError(
        f"{path} must have the same number of columns on every line; line {number} has {cells}, the first"
        f" {width}. Fix: {fix}."
    )


def warn_if_cut(path: Path) -> None:
    """Print a note if the last line has no line break: the file may be cut off inside a number."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"  # the end of a gzip file is checked when it is read
        file.seek(-1, os.SEEK_END)
        if not packed and file.read() not in (b"\n", b"\r", b"\0"):  # \0: the last byte of UTF-16
            note(f"{path}: the last line does not end with a line break; the file may be cut off.")
