"""The lines of a CSV file as cells. Errors name the line."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bptt.cli.csv import hints as csvhints
from bptt.cli.csv.format import Format
from bptt.cli.options import CommandError, note

Line = tuple[int, list[str]]

_PACKED = {
    b"\x1f\x8b": ("a gzip file", "unpack it with gunzip"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    b"BZh": ("a bzip2 file", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("an xz file", "unpack it with unxz"),
    b"\x28\xb5\x2f\xfd": ("a zstd file", "unpack it with unzstd"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
    b"PAR1": ("a Parquet file", "save the table as CSV"),
}


def lines(path: Path, form: Format) -> Iterator[Line]:
    """Yield the number of each line in the file, from 1, and its cells.

    Blank lines are skipped. In a file with one column, a blank line between other lines is an empty cell.

    Raises
    ------
    CommandError
        The file cannot be read, has another encoding, or has lines with unequal numbers of cells.
    """
    try:
        _refuse_packed(path)
        with path.open(newline="", encoding=form.encoding) as file:
            yield from _records(path, _Text(file, form.comment), form)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}. Fix: pass an existing CSV file.") from None
    except UnicodeError:
        raise CommandError(
            f"{path} must be text in {form.encoding.upper()}; got other bytes."
            f" Fix: pass --encoding {_encoding(path)}."
        ) from None
    except LookupError:
        raise CommandError(
            f"--encoding must be a text encoding that Python knows; got {form.encoding}."
            " Fix: pass utf-8, utf-16, latin-1 or cp1252, for example."
        ) from None
    except csv.Error as error:
        raise CommandError(f"cannot read {path}: it is not a complete CSV file ({error})") from None


class _Text:
    """Lines of text without comments and byte-order mark. `number` is the number of the last line read."""

    def __init__(self, file: Iterable[str], comment: str | None) -> None:
        self._file, self._comment = file, comment
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.number += 1
            if self.number == 1:
                line = line.removeprefix("\ufeff")
            if self._comment is None or not line.startswith(self._comment):
                yield line


def _records(path: Path, text: _Text, form: Format) -> Iterator[Line]:
    reader = csv.reader(text, delimiter=form.delimiter, strict=True)
    width = 0
    blank: list[int] = []
    for cells in reader:
        if not cells or (len(cells) == 1 and cells[0] and not cells[0].strip()):
            if width == 1:
                blank.append(text.number)
            continue
        width = width or len(cells)
        if len(cells) != width:
            number = text.number
            last = next(reader, None) is None
            raise _ragged(path, form, number, len(cells), width, last=last)
        yield from ((number, [""]) for number in blank)
        blank.clear()
        yield text.number, cells


def _ragged(path: Path, form: Format, number: int, cells: int, width: int, *, last: bool) -> CommandError:
    hint = csvhints.of_file(path, form)
    if hint:
        return CommandError(hint)
    fix = "correct that line"
    if last and cells < width:
        fix = "get the whole file: its last line looks cut short"
    return CommandError(
        f"{path} must have the same number of columns on every line; line {number} has {cells}, the first"
        f" {width}. Fix: {fix}."
    )


def _refuse_packed(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, (actual, fix) in _PACKED.items():
        if start.startswith(magic):
            raise CommandError(f"{path} must be a CSV file; got {actual}. Fix: {fix}.")


def _encoding(path: Path) -> str:
    """Return the encoding to suggest."""
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "latin-1, or the right one"


def warn_if_cut(path: Path) -> None:
    """Print a note if the last line has no line break: the file may be cut off inside a number."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() not in (b"\n", b"\r", b"\0"):  # \0: the last byte of UTF-16
            note(f"{path}: the last line does not end with a line break; the file may be cut off.")
