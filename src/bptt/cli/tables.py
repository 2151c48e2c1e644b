"""CSV files: numbers by the names of their columns. Errors name the line."""

from __future__ import annotations

import csv
import math
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.cli.options import CommandError, note

Line = tuple[int, list[str]]


@dataclass(frozen=True)
class Format:
    """How the file is written."""

    delimiter: str = ","
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Table:
    """Columns of a file: values (N, F), float64, all finite."""

    path: Path
    names: list[str]
    values: npt.NDArray[np.float64]


def lines(path: Path, form: Format | None = None) -> Iterator[Line]:
    """The cells of every line that is not blank, with its number in the file, from 1.

    Raises
    ------
    CommandError
        A file that cannot be read, is no such text, or has lines of unequal length.
    """
    form = form or Format()
    encoding = "utf-8-sig" if form.encoding.lower().replace("_", "-") == "utf-8" else form.encoding
    width = None
    try:
        with path.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=form.delimiter, strict=True)
            for cells in reader:
                if len(cells) < 2 and not "".join(cells).strip():
                    continue  # of more than one cell, all empty, it would be a step without values
                width = len(cells) if width is None else width
                if len(cells) != width:
                    number, last = reader.line_num, next(reader, None) is None
                    cut = "; it is the last line: the file looks cut short, get it whole" if last else ""
                    raise CommandError(
                        f"{path} must have the same number of columns everywhere; line {number} has"
                        f" {len(cells)}, the first {width}{cut}"
                    )
                yield reader.line_num, cells
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}; give an existing CSV file") from None
    except UnicodeError:
        raise CommandError(
            f"cannot read {path}: it is not text in {form.encoding.upper()}; give its own --encoding"
        ) from None
    except LookupError:
        raise CommandError(f"--encoding {form.encoding} is none that Python knows") from None
    except csv.Error as error:
        raise CommandError(f"cannot read {path}: it is no whole CSV file ({error})") from None


def number(path: Path, line: int, cell: str, column: str = "", *, finite: bool = True) -> float:
    """The number in a cell, or CommandError."""
    if not is_number(cell) or (finite and not math.isfinite(float(cell))):
        what = "finite numbers" if finite else "numbers"
        where = f"line {line}" + (f", column {column}," if column else "")
        came = f"has {cell.strip()!r:.40}" if cell.strip() else "is empty"
        raise CommandError(f"{path} must hold {what}; {where} {came}: fill it, or leave the line out")
    return float(cell)


def is_number(cell: str) -> bool:
    """Whether a cell holds one, NaN and infinities included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def paths(path: Path) -> list[Path]:
    """The file itself, or the .csv files in a folder, in order of name.

    Raises
    ------
    CommandError
        A folder without any.
    """
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".csv" and entry.is_file())
    if not found:
        raise CommandError(f"{path} is a folder without a .csv file; give one that has some, or a file")
    return found


def numeric_columns(path: Path, form: Format) -> tuple[list[str], list[str]]:
    """The names of the columns that begin with a number or with nothing, and of the others.

    Raises
    ------
    CommandError
        As `read`.
    """
    rows = lines(path, form)
    names = _names(path, rows)
    _, first = next(rows, (0, [""] * len(names)))
    numeric = [is_number(cell) or not cell.strip() for cell in first]
    kept = [name for name, yes in zip(names, numeric, strict=True) if yes]
    return kept, [name for name in names if name not in kept]


def read(path: Path, names: Sequence[str], form: Format) -> Table:
    """The columns of these names, in this order.

    Raises
    ------
    CommandError
        As `lines`; no line of names; a column that is missing, or there twice; what is no finite number.
    """
    rows = lines(path, form)
    header = _names(path, rows)
    for name in names:
        if header.count(name) != 1:
            few = ", ".join(header)
            wrong = "two columns" if name in header else "no column"
            raise CommandError(f"{path} has {wrong} named {name!r:.60}; it has {few:.300}")
    if not _ends_its_last_line(path):
        note(f"{path}: its last line has no end; is the file whole?")
    at = [header.index(name) for name in names]
    values = array("d")
    for line, cells in rows:
        row = _numbers([cells[i] for i in at])
        if not all(map(math.isfinite, row)):
            row = [number(path, line, cells[i], header[i]) for i in at]  # which says what is wrong
        values.extend(row)
    if not values:
        raise CommandError(f"{path} holds no numbers below the names of its columns")
    return Table(path, list(names), np.frombuffer(values).reshape(-1, len(names)))


def _numbers(cells: list[str]) -> list[float]:
    """Their numbers, or a NaN where one of them is none."""
    try:
        return list(map(float, cells))
    except ValueError:
        return [math.nan]


def _ends_its_last_line(path: Path) -> bool:
    """Where a file was cut inside a number, nothing else tells."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() in (b"\n", b"\r", b"\0")  # the last of UTF-16


def _names(path: Path, rows: Iterator[Line]) -> list[str]:
    _, header = next(rows, (0, None))
    if header is None:
        raise CommandError(f"{path} is empty; its first line must name the columns")
    if all(map(is_number, header)):
        raise CommandError(f"{path} must name its columns in the first line; it begins with numbers")
    return [cell.strip() for cell in header]
