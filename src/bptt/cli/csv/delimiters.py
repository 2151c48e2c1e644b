"""Find the character between the cells of a CSV file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bptt.cli.csv import cells
from bptt.cli.csv.cells import Marks

Record = tuple[int, list[str]]
"""Number of the line in which a record begins, and its cells."""

DELIMITERS = (",", ";", "\t", "|", " ")
_MARKS = tuple(
    Marks(decimal, thousands)
    for thousands in (None, ",", ".", "space", "'", "_")
    for decimal in (".", ",")
    if decimal != thousands
)
_ROWS, _CELLS = 40, 50  # rows and cells per row whose contents are examined
_LEAST = 0.5  # fraction of lines with the usual number of cells; below it, the lines are no table
_LEAST_SPACES = 0.5  # score below which spaces are part of texts, not marks between cells


@dataclass(frozen=True)
class Split:
    """Lines that are split at a delimiter.

    Attributes
    ----------
    width : int
        The usual number of cells; 1 if the delimiter splits no line.
    fraction : float
        Fraction of lines with this number of cells, from the first of them on.
    score : float
        That fraction, times the fraction of cells that hold numbers or times.
    """

    delimiter: str
    records: list[Record]
    width: int
    fraction: float
    score: float

    @property
    def is_table(self) -> bool:
        """Whether enough lines have the usual number of cells."""
        return self.fraction >= _LEAST


def find(lines: Sequence[tuple[int, str]], allowed: Sequence[str] = DELIMITERS) -> Split:
    """Split lines at the delimiter that makes the most regular table of numbers and times.

    Lines that are all single numbers are one column, whatever marks the numbers have.
    """
    splits = [split(lines, delimiter) for delimiter in allowed]
    if len(allowed) == 1:
        return splits[0]
    tables = [
        table
        for table in splits
        if table.width > 1
        and table.is_table
        and (table.delimiter != " " or table.score > _LEAST_SPACES)
        and not _is_one_column(lines, table.delimiter)
    ]
    ragged = [table for table in splits if table.width > 1 and not table.is_table and table.delimiter != " "]
    if tables or (ragged and not _is_one_column(lines, "")):
        return max(tables or ragged, key=lambda table: table.score)
    # One column: its cells may hold any mark, so the delimiter is a character that no line has.
    unused = (mark for mark in allowed if not any(mark in line for _, line in lines))
    return split(lines, next(unused, allowed[0]))


def read(lines: Sequence[tuple[int, str]], delimiter: str) -> list[Record]:
    """Split lines at a delimiter. Quotes may enclose several lines."""
    numbers = [number for number, _ in lines]
    texts = (line.strip(" ") if delimiter == " " else line for _, line in lines)
    reader = csv.reader(texts, delimiter=delimiter, skipinitialspace=True)
    records: list[Record] = []
    begin = 0
    try:
        for row in reader:
            if row:
                records.append((numbers[begin], row))
            begin = reader.line_num
    except csv.Error:  # reading the file reports the line
        pass
    return records


def split(lines: Sequence[tuple[int, str]], delimiter: str) -> Split:
    """Split lines at a delimiter, and measure how regular a table that makes."""
    records = read(lines, delimiter)
    widths = Counter(len(row) for _, row in records)
    wide = {width: count for width, count in widths.items() if width > 1}
    if not wide:
        return Split(delimiter, records, 1, 1.0, 0.0)
    width = max(wide, key=lambda width: (wide[width], width))
    first = next(i for i, (_, row) in enumerate(records) if len(row) == width)
    table = [row for _, row in records[first:] if len(row) == width]
    fraction = len(table) / (len(records) - first)
    rows = table[1:][:_ROWS] or table  # the first row may hold names
    contents = [kind(text) for row in rows for text in row[:_CELLS]]
    known = [content for content in contents if content != "missing"]
    typed = sum(content != "text" for content in known) / max(len(known), 1)
    return Split(delimiter, records, width, fraction, fraction * typed)


def kind(text: str) -> cells.Kind:
    """Return the kind of a cell. A number may have any marks."""
    for marks in _MARKS:
        content = cells.kind(text, marks)
        if content != "text":
            return content
    return "text"


def _is_one_column(lines: Sequence[tuple[int, str]], delimiter: str) -> bool:
    """Return whether the lines below the name are single numbers, with or without this mark inside."""
    if len(lines) < 2 or (delimiter and delimiter in lines[0][1].strip()):
        return False
    below = [line.strip().strip('"') for _, line in lines[1:]]
    known = [text for text in below if not cells.is_missing(text)]
    return bool(known) and any(all(cells.kind(text, marks) == "number" for text in known) for marks in _MARKS)
