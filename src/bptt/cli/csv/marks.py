"""Decimal marks and thousands marks of the numbers in a CSV file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from bptt.cli.csv import cells
from bptt.cli.csv.cells import Marks
from bptt.cli.csv.format import NONE, Format
from bptt.cli.options import CommandError

_NAMES = {",": "comma", ".": "point", "'": "apostrophe", "_": "underscore", "space": "space"}
_MARKED = re.compile(
    rf"[+-]?\d(?:[\d.,]|{'|'.join(map(cells.mark_pattern, _NAMES))})*(?:[eE][+-]?\d+)?", re.ASCII
)
_PLAIN = Marks()
_COMMAS = (Marks(","), Marks(".", ","))
"""Two readings of a comma: a decimal mark, or a mark between thousands."""
_POINTS = Marks(",", ".")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+", re.ASCII)
_OTHERS = tuple(
    Marks(decimal, thousands)
    for thousands in (".", "'", "space", "_")
    for decimal in (".", ",")
    if decimal != thousands
)


def find(path: Path, texts: Iterable[str], delimiter: str, form: Format, *, grouped: bool = False) -> Marks:
    """Return the marks with which most of these cells are numbers.

    If both readings of a comma fit, commas are decimal marks where ';' separates cells, and marks between
    thousands where ',' does: these are the habits of countries. If both readings of a point fit, points are
    decimal marks, except where they are `grouped` (see `are_grouped`) and ',' does not separate cells.

    Raises
    ------
    CommandError
        Both readings of a comma fit, and cells are separated by another character.
    """
    marked = [text.strip() for text in texts]
    marked = [text for text in marked if is_marked(text)]
    commas = _COMMAS if delimiter == ";" else _COMMAS[::-1]
    points = (_POINTS, _PLAIN) if grouped and delimiter != "," else (_PLAIN,)
    candidates = [marks for marks in (*points, *commas, *_OTHERS) if _allowed(marks, form)]
    counts = [sum(_reads(text, marks) for text in marked) for marks in candidates]
    most = max(counts)
    best: list[Marks] = [marks for marks, count in zip(candidates, counts, strict=True) if count == most]
    if delimiter not in (",", ";") and set(_COMMAS) <= set(best) and best[0] in _COMMAS:
        raise CommandError(
            f"{path} has numbers such as {marked[0]!r:.40}, which can be read in two ways. Fix: pass"
            f" {advice(marked, _PLAIN)}."
        )
    return best[0]


def are_grouped(columns: Iterable[Sequence[str]]) -> bool:
    """Return whether a column has whole numbers, with points before the last three digits from 1000 on.

    A column of decimals would have other numbers of digits after the point, or points in all cells.
    """
    for column in columns:
        pointed = [text for text in column if "." in text]
        whole = [text for text in column if text.isdigit()]
        if len(pointed) > 1 and whole and max(map(len, whole)) <= 3 and all(map(_GROUPED.fullmatch, pointed)):
            return True
    return False


def is_marked(text: str) -> bool:
    """Return whether a cell looks like a number with any marks, and not like a date."""
    text = cells.without_sign(text)
    return bool(_MARKED.fullmatch(text)) and (text.isdigit() or not next(cells.layouts(text), None))


def advice(texts: Sequence[str], marks: Marks) -> str | None:
    """Return the options that read these cells, which are not numbers with `marks`; None without any."""
    unread = [text.strip() for text in texts if cells.kind(text, marks) == "text"]
    unread = [text for text in unread if is_marked(text)]
    if not unread:
        return None
    other = "," if marks.decimal == "." else "."
    # Maps the thousands mark to the decimal mark, which is the present mark if it fits.
    readings: dict[str | None, str] = {}
    for decimal in (marks.decimal, other):
        for thousands in (None, *_NAMES):
            used = thousands is None or any(re.search(cells.mark_pattern(thousands), text) for text in unread)
            reading = Marks(decimal, thousands)
            if thousands != decimal and used and all(_reads(text, reading) for text in unread):
                readings.setdefault(thousands, decimal)
    return ", or ".join(_option(Marks(*pair[::-1]), marks) for pair in readings.items()) or None


def describe(marks: Marks) -> list[str]:
    """Return what is unusual about the marks, and the options that override it."""
    words = []
    if marks.decimal != ".":
        words.append(f"decimal {_NAMES[marks.decimal]}s (--decimal)")
    if marks.thousands is not None:
        words.append(f"{_NAMES[marks.thousands]}s between thousands (--thousands)")
    return words


def _allowed(marks: Marks, form: Format) -> bool:
    wanted = form.thousands
    return (form.decimal in (None, marks.decimal)) and (
        wanted is None or marks.thousands == (None if wanted == NONE else wanted)
    )


def _option(reading: Marks, present: Marks) -> str:
    options = []
    if reading.decimal != present.decimal:
        options.append(f"--decimal {reading.decimal}")
    if reading.thousands is not None and reading.thousands != present.thousands:
        options.append(f"--thousands {shlex.quote(reading.thousands)}")
    if reading.thousands is None:
        return f"{' '.join(options)} for decimal {_NAMES[reading.decimal]}s"
    return f"{' '.join(options)} for {_NAMES[reading.thousands]}s between thousands"


def _reads(text: str, marks: Marks) -> bool:
    try:
        cells.number(text, marks)
    except ValueError:
        return False
    return True
