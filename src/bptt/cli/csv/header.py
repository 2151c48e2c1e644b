"""Find the names of the columns of a CSV file, and the lines above the first row of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bptt.cli.csv import cells
from bptt.cli.csv.cells import Marks
from bptt.cli.csv.delimiters import Record
from bptt.cli.csv.format import Format

_MOST_UNITS = 3  # lines of units, or of other words, below the names


@dataclass(frozen=True)
class Header:
    """The names of the columns, and what is above the first row of data.

    Attributes
    ----------
    first : int
        Number of the line of the names, or of the first row of data.
    named : bool
        Whether the file names its columns.
    records : int
        Number of records from line `first` on that are not data.
    units : tuple of int
        Numbers of the lines of units among them.
    """

    names: list[str]
    first: int
    named: bool
    records: int
    units: tuple[int, ...]


def find(
    records: Sequence[Record], width: int, comment_cells: Sequence[str], marks: Marks, form: Format
) -> Header:
    """Find the names and the units of a table.

    Parameters
    ----------
    records : sequence of Record
        The first records of the file, at least one. Lines above the table have another number of cells.
    width : int
        Number of cells of the rows of the table.
    comment_cells : sequence of str
        Cells of the last comment line above the table: numpy.savetxt writes the names there.
    """
    top = 0
    if form.skip is None:
        top = next((i for i, (_, row) in enumerate(records) if len(row) == width), 0)
    rows = [row for _, row in records[top:]]
    named = not _looks_like_data(rows, marks) if form.header is None else form.header
    if named:
        return _below(rows[0], records, top, top + 1, marks, form)
    if form.header is None:
        above = records[top - 1][1] if top else []
        if len(above) == width - 1 > 0 and _are_names(above, marks):
            # The line of names is one cell short: R leaves out the name of the column of row names, and some
            # programs end every row with a delimiter.
            is_last = all(cells.is_missing(row[-1]) for row in rows if len(row) == width)
            return _below([*above, ""] if is_last else ["", *above], records, top - 1, top, marks, form)
        if len(comment_cells) == width and _are_names(comment_cells, marks):
            return _below(comment_cells, records, top, top, marks, form)
    return Header([f"column{i}" for i in range(1, width + 1)], records[top][0], False, 0, ())


def _below(
    names: Sequence[str], records: Sequence[Record], top: int, data: int, marks: Marks, form: Format
) -> Header:
    """Return the header of a table that begins at record `top`. Its rows, or units, begin at `data`."""
    units = _units([row for _, row in records[data:]], marks, form)
    return Header(
        [name.strip() or f"column{i}" for i, name in enumerate(names, 1)],
        records[top][0],
        True,
        data - top + units,
        tuple(number for number, _ in records[data : data + units]),
    )


def _units(rows: Sequence[Sequence[str]], marks: Marks, form: Format) -> int:
    """Return how many rows below the names hold units: words in columns of numbers, and no number."""
    if form.units is not None:
        return int(form.units and bool(rows))
    for count in range(min(_MOST_UNITS, len(rows) - 2), 0, -1):
        numeric = _numeric(rows[count:], marks)
        above = [[cells.kind(cell, marks) for cell in row] for row in rows[:count]]
        words = all(set(kinds) <= {"text", "missing"} and "text" in kinds for kinds in above)
        if words and any(k < len(kinds) and kinds[k] == "text" for kinds in above for k in numeric):
            return count
    return 0


def _numeric(rows: Sequence[Sequence[str]], marks: Marks) -> list[int]:
    """Return the columns in which most cells are numbers."""
    columns = []
    for k in range(max(map(len, rows))):
        counts = Counter(cells.kind(row[k], marks) for row in rows if k < len(row))
        del counts["missing"]
        if counts and counts.most_common(1)[0][0] == "number":
            columns.append(k)
    return columns


def _are_names(row: Sequence[str], marks: Marks) -> bool:
    return all(cells.kind(cell, marks) == "text" for cell in row)


def _looks_like_data(rows: Sequence[Sequence[str]], marks: Marks) -> bool:
    """Return whether the first row is data: all numbers, or numbers and times where the next row has them.

    Numbers that count from 0 above other numbers are the names that pandas gives.
    """
    first = [cells.kind(cell, marks) for cell in rows[0]]
    second = [cells.kind(cell, marks) for cell in rows[1]] if len(rows) > 1 else []
    if _count_from_0(rows[0]) and any("." in cell or "," in cell for row in rows[1:] for cell in row):
        return False
    if set(first) == {"number"}:
        return True
    data = [kind in ("number", "date", "clock") for kind in first]
    alike = [a == b or (yes and b == "missing") for a, b, yes in zip(first, second, data, strict=False)]
    return any(data) and bool(alike) and all(alike)


def _count_from_0(row: Sequence[str]) -> bool:
    """Return whether a row holds 0, 1, 2 and so on, after an empty cell or not."""
    row = [cell.strip() for cell in row]
    row = row[1:] if row and not row[0] else row
    return len(row) > 1 and row == [str(i) for i in range(len(row))]
