"""Find what is unusual in a CSV file that cannot be read, and the option that reads it."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from bptt.arguments import quantity
from bptt.cli.csv import cells as cell
from bptt.cli.csv.format import Format

SAMPLE = 50  # number of lines that are examined
_COMMENTS = ("#", "%", "//", "!")
_DELIMITERS = (",", ";", "\t", "|", " ")
_MARKS = {",": "comma", ".": "point", "'": "apostrophe", "_": "underscore", "space": "space"}
_MARKED = re.compile(rf"[+-]?\d(?:[\d.,]|{'|'.join(map(cell.mark_pattern, _MARKS))})*", re.ASCII)
Hint = tuple[str, str]
"""Description of something unusual in the file, and the options that read it."""


def of_file(path: Path, form: Format) -> str | None:
    """Return an error message about unusual first lines of a file, and the options that read them.

    Return None if there is nothing unusual.
    """
    hints = find(path, form)
    if hints:
        finding = " and ".join(finding for finding, _ in hints)
        return f"{path} must be {_expected(form)}; got {finding}. Fix: pass {options(hints)}."
    above = _lines_above(_sample(path, form)[1], form)
    if above:
        return (
            f"{path} must begin with the names of its columns; got {quantity(above, 'other line')} above the"
            " table. Fix: begin the file with the line of names."
        )
    return None


def options(hints: Iterable[Hint]) -> str:
    """Return the options of all hints."""
    return " ".join(option for _, option in hints)


def find(path: Path, form: Format) -> list[Hint]:
    """Compare the first lines of a file with the format: comment lines, delimiter, marks in numbers."""
    comments, lines = _sample(path, form)
    hints: list[Hint] = []
    if comments:
        mark = next(mark for mark in _COMMENTS if comments[0].startswith(mark))
        finding = f"{quantity(len(comments), 'comment line')} with {mark!r}"
        hints.append((finding, f"--comment {shlex.quote(mark)}"))
    delimiter, rows = _best_delimiter(lines, form)
    if delimiter != form.delimiter:
        shown = "tab" if delimiter == "\t" else delimiter
        hints.append((f"{delimiter!r} between cells", f"--delimiter {shlex.quote(shown)}"))
    elif not rows and _is_one_column(lines, form):
        unused = next(mark for mark in _DELIMITERS if mark != form.delimiter)
        rows = [[line] for line in lines]
        hints.append(
            (f"one column with {form.delimiter!r} in its cells", f"--delimiter {shlex.quote(unused)}")
        )
    marks = of_cells((text for row in rows[1:] for text in row), form)
    return [*hints, marks] if marks else hints


def of_cells(texts: Iterable[str], form: Format) -> Hint | None:
    """Find the decimal and thousands marks in cells that are not numbers in this format."""
    unread = [text.strip() for text in texts if cell.kind(text, form) == "text"]
    unread = [text for text in unread if _MARKED.fullmatch(text)]
    if not unread:
        return None
    other = "," if form.decimal == "." else "."
    # Maps the thousands mark to the decimal mark, which is the mark of the format if it fits.
    readings: dict[str | None, str] = {}
    for decimal in (form.decimal, other):
        for mark in (None, *_MARKS):
            marks = Format(decimal=decimal, thousands=mark)
            used = mark is None or any(re.search(cell.mark_pattern(mark), text) for text in unread)
            if mark != decimal and used and all(_reads(text, marks) for text in unread):
                readings.setdefault(mark, decimal)
    if not readings:
        return None
    finding = f"numbers such as {unread[0]!r:.40}"
    return finding, ", or ".join(_option(decimal, mark, form) for mark, decimal in readings.items())


def _option(decimal: str, mark: str | None, form: Format) -> str:
    options = []
    if decimal != form.decimal:
        options.append(f"--decimal {decimal}")
    if mark is not None and mark != form.thousands:
        options.append(f"--thousands {shlex.quote(mark)}")
    marks = f"decimal {_MARKS[decimal]}s" if mark is None else f"{_MARKS[mark]}s between thousands"
    return f"{' '.join(options)} for {marks}"


def _reads(text: str, form: Format) -> bool:
    try:
        cell.number(text, form)
    except ValueError:
        return False
    return True


def _expected(form: Format) -> str:
    shown = "tab" if form.delimiter == "\t" else repr(form.delimiter)
    return f"CSV with {shown} between cells and decimal {_MARKS[form.decimal]}s"


def _sample(path: Path, form: Format) -> tuple[list[str], list[str]]:
    """Return the comment lines at the start of a file, and the first lines after them."""
    comments: list[str] = []
    sample: list[str] = []
    mark: str | None = None
    try:
        with path.open(newline="", encoding=form.encoding) as file:
            for number, line in enumerate(file):
                line = line.removeprefix("\ufeff") if number == 0 else line
                if not line.strip() or (form.comment and line.startswith(form.comment)):
                    continue
                if not form.comment and not sample:
                    mark = mark or next((mark for mark in _COMMENTS if line.startswith(mark)), None)
                    if mark and line.startswith(mark):
                        comments.append(line)
                        continue
                sample.append(line)
                if len(sample) == SAMPLE:
                    break
    except (OSError, UnicodeError):
        return [], []
    return comments, sample


def _best_delimiter(lines: Sequence[str], form: Format) -> tuple[str, list[list[str]]]:
    """Return the delimiter that gives all lines the same number of cells and most numbers, and the cells.

    Without such a delimiter, return the delimiter of the format and no cells.
    """
    best, split_rows, most = form.delimiter, _cells(lines, form.delimiter), 0
    if split_rows:
        most = _numbers(split_rows)
    for delimiter in _DELIMITERS:
        rows = _cells(lines, delimiter)
        if rows and len(rows[0]) > 1 and (not split_rows or _numbers(rows) > most):
            best, split_rows, most = delimiter, rows, _numbers(rows)
    return best, split_rows


def _is_one_column(lines: Sequence[str], form: Format) -> bool:
    """Return whether all lines below the name are single numbers, some with the delimiter as a mark."""
    if not lines or form.delimiter in lines[0]:
        return False
    below = [line.strip() for line in lines[1:] if not cell.is_missing(line)]
    marked = [text for text in below if form.delimiter in text]
    plain = all(_reads(text, form) for text in below if form.delimiter not in text)
    return plain and of_cells(marked, form) is not None


def _cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of lines with equal numbers of cells; an empty list for other lines."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    return rows if len({len(row) for row in rows}) == 1 else []


def _numbers(rows: Sequence[Sequence[str]]) -> int:
    forms = (Format(), Format(decimal=","))
    return sum(any(_reads(text, form) for form in forms) for row in rows for text in row)


def _lines_above(lines: Sequence[str], form: Format) -> int:
    """Return the number of lines above a table with the format's delimiter; 0 without such a table."""
    if _cells(lines, form.delimiter):
        return 0
    for above in range(1, len(lines) - 2):
        rows = _cells(lines[above:], form.delimiter)
        if rows and len(rows[0]) > 1:
            # If a line above is as wide as the table, it is a row, and a line inside the table is wrong.
            lines_above = (_cells([line], form.delimiter) for line in lines[:above])
            return above if all(len(cells[0]) != len(rows[0]) for cells in lines_above if cells) else 0
    return 0
