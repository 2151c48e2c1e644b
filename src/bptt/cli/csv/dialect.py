"""Find how a CSV file is written: encoding, delimiter, marks in numbers, names, units, comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bptt.arguments import quantity
from bptt.cli.csv import cells, delimiters, header, marks, source
from bptt.cli.csv.cells import Marks
from bptt.cli.csv.delimiters import DELIMITERS, Split
from bptt.cli.csv.format import NONE, Format
from bptt.cli.csv.header import Header
from bptt.cli.options import CommandError

SAMPLE = 200  # lines that are examined
_LONGEST = 1 << 20  # characters of a line that are examined
_COMMENTS = ("#", "%", "//", "!")
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_NAMES = {"\t": "tabs", " ": "spaces"}
Lines = list[tuple[int, str]]


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    comment : str or None
        Lines that begin with this text are skipped.
    above : int
        Number of lines above the names, or above the first row. They are skipped.
    sample : tuple of str
        Cells of the first lines that look like numbers.
    found : str
        What was found and is unusual, with the options that override it; empty for a plain file.
    """

    encoding: str
    delimiter: str
    marks: Marks
    comment: str | None
    above: int
    header: Header
    sample: tuple[str, ...]
    found: str


def find(path: Path, form: Format) -> Dialect:
    """Find how a file is written, as far as `form` does not say.

    Raises
    ------
    CommandError
        The file cannot be read, is empty, is of another kind, or holds no table. Or its numbers can be read
        in two ways.
    """
    with source.errors(path, ""):
        encoding = form.encoding or source.find_encoding(path)
    lines, comments, comment = _sample(path, encoding, form)
    words = [] if form.encoding or encoding == "utf-8" else [f"{encoding} text (--encoding)"]
    allowed = DELIMITERS if form.delimiter is None else (form.delimiter,)
    if lines and form.delimiter is None and form.skip is None:
        separator = _SEPARATOR.fullmatch(lines[0][1].strip())
        if separator:  # a line for Excel
            allowed, lines = (separator[1],), lines[1:]
            words.append(f"the line {separator[0]!r} (--skip)")
    if not lines:
        comment_only = f" It has only lines that begin with {comment!r}." if comment and comments else ""
        raise CommandError(
            f"{path} is empty.{comment_only} Fix: pass a file with a line of names and rows of numbers."
        )
    _refuse_markup(path, lines[0][1])
    split = delimiters.find(lines, allowed)
    if not split.is_table:
        raise _no_table(path, split, form)
    if form.delimiter is None and split.width > 1 and split.delimiter != ",":
        words.append(f"{_NAMES.get(split.delimiter, repr(split.delimiter))} between cells (--delimiter)")
    rows = [[text.strip() for text in row] for _, row in split.records if len(row) == split.width]
    sample = tuple(text for row in rows for text in row if marks.is_marked(text))
    grouped = marks.are_grouped(zip(*rows[1:], strict=True))
    # In a single column, no other mark shows the habits of the writer.
    found_marks = marks.find(path, sample, split.delimiter if split.width > 1 else "", form, grouped=grouped)
    comment_cells = _comment_cells(comments, comment, split)
    head = header.find(split.records, split.width, comment_cells, found_marks, form)
    words += marks.describe(found_marks) if (form.decimal, form.thousands) == (None, None) else []
    signed = next((text for text in sample if cells.without_sign(text) != text), None)
    words += [] if signed is None else [f"numbers with a sign, such as {signed!r:.30}"]
    words += _describe_lines(head, comments, comment, lines[0][0], form)
    above = head.first - 1
    return Dialect(encoding, split.delimiter, found_marks, comment, above, head, sample, ", ".join(words))


def _sample(path: Path, encoding: str, form: Format) -> tuple[Lines, list[str], str | None]:
    """Return the first lines that are neither blank nor comments, the comments, and their mark."""
    comments: list[str] = []
    lines: Lines = []
    comment = None if form.comment == NONE else form.comment
    with source.errors(path, encoding), source.text(path, encoding) as file:
        for number, line in enumerate(islice(file, form.skip or 0, None), 1 + (form.skip or 0)):
            line = (line.removeprefix("\ufeff") if number == 1 else line)[:_LONGEST]
            if not line.strip():
                continue
            if form.comment is None and comment is None and not lines:
                comment = next((mark for mark in _COMMENTS if line.startswith(mark)), None)
            if comment and line.startswith(comment):
                comments.append(line)
                continue
            lines.append((number, line))
            if len(lines) == SAMPLE:
                break
    return lines, comments, comment


def _refuse_markup(path: Path, line: str) -> None:
    text = line.lstrip()
    actual = "a web page (HTML) or XML" if text.startswith("<") else "JSON" if text[:1] in "{[" else None
    if actual:
        raise CommandError(
            f"{path} must be a CSV file; got {actual}. Fix: download or save the table itself as CSV."
        )


def _no_table(path: Path, split: Split, form: Format) -> CommandError:
    widths = sorted({len(row) for _, row in split.records})
    shown = _NAMES.get(split.delimiter, repr(split.delimiter))
    fix = "leave --delimiter out" if form.delimiter else "correct the file, or pass --delimiter"
    return CommandError(
        f"{path} must be a table with the same number of cells on every line; with {shown} between cells, its"
        f" lines have {widths[0]} to {widths[-1]} cells. Fix: {fix}."
    )


def _comment_cells(comments: Sequence[str], comment: str | None, split: Split) -> list[str]:
    """Return the cells of the last comment line."""
    if not comments or comment is None:
        return []
    text = comments[-1].strip().removeprefix(comment).strip()
    return next((row for _, row in delimiters.read([(1, text)], split.delimiter)), [])


def _describe_lines(
    head: Header, comments: Sequence[str], comment: str | None, first: int, form: Format
) -> list[str]:
    """Describe the lines around the names that are not data, and the options that override this."""
    words = []
    if comments and form.comment is None:
        words.append(f"{quantity(len(comments), 'comment line')} with {comment!r} (--comment)")
    if head.first > first and form.skip is None:
        words.append(f"the first row in line {head.first} (--skip)")
    if not head.named and form.header is None:
        words.append("no line of names (--header)")
    if head.units and form.units is None:
        numbers = " and ".join(map(str, head.units))
        words.append(f"units in line {numbers} (--no-units)")
    return words
