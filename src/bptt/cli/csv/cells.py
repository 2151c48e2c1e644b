"""Numbers and times in the cells of a CSV file."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal["number", "date", "clock", "missing", "text"]
"""Kind of content of a cell. "clock" is a time of day without a date."""

_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?", ".", "nat"})
_SIGNS = "$\u20ac\u00a3\u00a5%"
"""Signs of currencies, and percent: no part of a number, but written at its start or its end."""
_ALTERNATIVES = {"space": "[ \u00a0\u2007\u2009\u202f]", "'": "['\u2019]"}
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Marks:
    """The decimal mark, and the mark between groups of three digits if there is one."""

    decimal: str = "."
    thousands: str | None = None


def kind(cell: str, marks: Marks) -> Kind:
    """Return the kind of content of a cell."""
    if is_missing(cell):
        return "missing"
    try:
        number(cell, marks)
    except ValueError:
        if next(layouts(cell), None):
            return "date"
        return "clock" if is_clock(cell) else "text"
    return "number"


def is_clock(cell: str) -> bool:
    """Return whether a cell holds a time of day without a date."""
    try:
        clock(cell)
    except ValueError:
        return False
    return True


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty or holds a common word for a missing value."""
    return cell.strip().lower() in _MISSING


def number(cell: str, marks: Marks) -> float:
    """Return the number in a cell.

    Raises
    ------
    ValueError
        The cell holds no number with these marks.
    """
    return numbers([cell], marks)[0]


def numbers(texts: Sequence[str], marks: Marks) -> list[float]:
    """Return the numbers in cells; raise as `number`."""
    # Python reads 1_000 as a number; other programs do not.
    if marks == Marks() and "_" not in "".join(texts):
        try:
            return list(map(float, texts))
        except ValueError:
            pass  # a sign
    pattern = _pattern(marks.decimal, marks.thousands)
    return [_marked_number(text, marks, pattern) for text in texts]


def without_sign(text: str) -> str:
    """Return a cell without the sign of a currency or percent at its start or its end."""
    text = text.strip()
    if text[:1] and (text[0] in _SIGNS or text[-1] in _SIGNS):
        return text[1:].lstrip() if text[0] in _SIGNS else text[:-1].rstrip()
    return text


def _marked_number(text: str, marks: Marks, pattern: re.Pattern[str]) -> float:
    text = without_sign(text)
    if not pattern.fullmatch(text):
        raise ValueError(text)
    if marks.thousands is not None:
        text = re.sub(mark_pattern(marks.thousands), "", text)
    return float(text.replace(marks.decimal, "."))


def mark_pattern(thousands: str) -> str:
    """Return a regular expression for a mark between thousands. "space" is any space character."""
    return _ALTERNATIVES.get(thousands, re.escape(thousands))


@functools.cache
def _pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    whole = r"\d+" if thousands is None else rf"(?:[1-9]\d{{0,2}}(?:{mark_pattern(thousands)}\d{{3}})+|\d+)"
    point = re.escape(decimal)
    return re.compile(rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)


_HOURS = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d(?:[.,]\d+)?))?"
    r"(?: ?(?P<half>[AaPp]\.?[Mm]\.?))?(?: ?(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?))?"
)
_CLOCK = re.compile(_HOURS, re.ASCII)
_LAYOUTS = {
    name: re.compile(rf"{pattern}(?:[T ] ?{_HOURS})?", re.ASCII)
    for name, pattern in {
        "year first": r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)",
        "year and month": r"(?P<year>\d{4})[-/](?P<month>\d\d?)",
        "day first": r"(?P<day>\d\d?)(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<year>\d{4}|\d\d)",
        "month first": r"(?P<month>\d\d?)(?P<mark>[-/])(?P<day>\d\d?)(?P=mark)(?P<year>\d{4}|\d\d)",
        "short year first": r"(?P<year>\d\d)(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)",
        "month name first": r"(?P<word>[A-Za-z]{3,9})\.? (?P<day>\d\d?),? (?P<year>\d{4})",
        "month name": r"(?:(?P<day>\d\d?)[- ])?(?P<word>[A-Za-z]{3,9})[- ](?P<year>\d{4})",
        "day and month name": r"(?P<day>\d\d?)[- ](?P<word>[A-Za-z]{3,9})[- ](?P<year>\d\d)",
        "quarter": r"(?P<year>\d{4})[- ]?[Qq](?P<quarter>[1-4])",
    }.items()
}
_FIRST_SHORT_YEAR = 1969  # as in POSIX: 69 to 99 are years of the 20th century
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def layouts(cell: str) -> Iterator[str]:
    """Yield the layouts in which a cell can be read as a time, such as "day first"."""
    for layout in _LAYOUTS:
        try:
            seconds(cell, layout)
        except ValueError:
            continue
        yield layout


def seconds(cell: str, layout: str) -> float:
    """Return the time in a cell in seconds since 1970.

    Raises
    ------
    ValueError
        The cell holds no time in this layout.
    """
    match = _LAYOUTS[layout].fullmatch(cell.strip())
    if match is None:
        raise ValueError(cell)
    part = match.groupdict()
    month = int(part.get("month") or 0)
    if part.get("word"):
        word = part["word"].lower()
        month = next((i for i, name in enumerate(_MONTHS, 1) if name.startswith(word)), 0)
    elif part.get("quarter"):
        month = 3 * int(part["quarter"]) - 2
    year = int(part["year"])
    if len(part["year"]) == 2:
        year = _FIRST_SHORT_YEAR + (year - _FIRST_SHORT_YEAR) % 100
    day = date(year, month, int(part.get("day") or 1)).toordinal() - _EPOCH
    return 86400.0 * day + _seconds_of_day(part, cell)


def clock(cell: str) -> float:
    """Return the time of day in a cell that holds no date, in seconds.

    Raises
    ------
    ValueError
        The cell holds no time of day.
    """
    match = _CLOCK.fullmatch(cell.strip())
    if match is None:
        raise ValueError(cell)
    return _seconds_of_day(match.groupdict(), cell)


def _seconds_of_day(part: Mapping[str, str | None], cell: str) -> float:
    hour, minute = int(part["hour"] or 0), int(part["minute"] or 0)
    second = float((part["second"] or "0").replace(",", "."))
    if part["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(cell)
        hour = hour % 12 + 12 * (part["half"][0] in "pP")
    if hour > 24 or minute > 59 or second > 60:
        raise ValueError(cell)
    zone = part["zone"]
    if zone and zone[0] in "+-":
        sign = 1 if zone[0] == "+" else -1
        hour -= sign * int(zone[1:3])
        minute -= sign * int(zone[3:].lstrip(":") or 0)
    return 3600.0 * hour + 60 * minute + second
