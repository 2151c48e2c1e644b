"""Open a CSV file as text: compression, encoding, and files of another kind."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from bptt.cli.options import CommandError

_GZIP = b"\x1f\x8b"
_OTHER_FILES = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    b"BZh": ("a bzip2 file", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("an xz file", "unpack it with unxz"),
    b"\x28\xb5\x2f\xfd": ("a zstd file", "unpack it with unzstd"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
    b"PAR1": ("a Parquet file", "save the table as CSV"),
    b"\x93NUMPY": ("a NumPy array", "save the array with numpy.savetxt"),
    b"%PDF": ("a PDF file", "pass the table as CSV"),
}
_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_START = 4096  # bytes that show the kind of a file
_BLOCK = 1 << 20
_CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1a\x1b"})


def find_encoding(path: Path) -> str:
    """Return the text encoding of a file: of its byte-order mark, else UTF-8, else that of Windows.

    Raises
    ------
    CommandError
        The file cannot be read, or holds no text.
    """
    with errors(path, "utf-8"), _bytes(path) as file:
        start = file.read(_START)
        for mark, encoding in _BOMS:
            if start.startswith(mark):
                return encoding
        if b"\0" in start and len(start) % 2 == 0:
            # Most characters of UTF-16 tables are ASCII, so every second byte is 0.
            even, odd = start[::2], start[1::2]
            for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
                if zeros.count(0) > 0.7 * len(zeros) and not others.count(0):
                    return encoding
        if len(start.translate(None, _CONTROLS)) < len(start):
            raise CommandError(
                f"{path} must be a CSV file; got a binary file, which holds no text."
                " Fix: save the table as CSV, for example with 'Save as' in a spreadsheet."
            )
        decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
        block = start
        while decoders:
            for name, decoder in list(decoders.items()):
                try:
                    decoder.decode(block, final=not block)
                except UnicodeError:
                    del decoders[name]
            if not block:
                break
            block = file.read(_BLOCK)
    return next(iter(decoders), "latin-1")


@contextmanager
def text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file, packed with gzip or not, as text in this encoding, without a byte-order mark.

    Raises
    ------
    CommandError
        The file cannot be read, is of another kind, or has another encoding.
    """
    with (
        errors(path, encoding),
        _bytes(path) as binary,
        io.TextIOWrapper(binary, encoding=encoding, newline="") as file,
    ):
        yield file


@contextmanager
def errors(path: Path, encoding: str) -> Iterator[None]:
    """Turn every error of reading a file into a CommandError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise CommandError(
            f"cannot read {path}: the gzip file is damaged or cut off. Fix: get the whole file."
        ) from None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}. Fix: pass an existing CSV file.") from None
    except UnicodeError:
        raise CommandError(
            f"{path} must be text in {encoding.upper()}; got other bytes. Fix: leave --encoding out, or pass"
            " another encoding."
        ) from None
    except LookupError:
        raise CommandError(
            f"--encoding must be a text encoding that Python knows; got {encoding}."
            " Fix: pass utf-8, utf-16, latin-1 or cp1252, for example."
        ) from None
    except csv.Error as error:
        raise CommandError(
            f"cannot read {path}: it is not a complete CSV file ({error}). Fix: get the whole file, or"
            " correct the quotes."
        ) from None


@contextmanager
def _bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpack it if it is a gzip file, and refuse files of other kinds."""
    with path.open("rb") as raw:
        start = raw.read(8)
        raw.seek(0)
        if not start.startswith(_GZIP):
            _refuse_other_files(path, start)
            yield raw
            return
        with gzip.open(raw) as unpacked:
            start = unpacked.read(8)
            unpacked.seek(0)
            _refuse_other_files(path, start)
            yield cast(IO[bytes], unpacked)


def _refuse_other_files(path: Path, start: bytes) -> None:
    for magic, (actual, fix) in _OTHER_FILES.items():
        if start.startswith(magic):
            raise CommandError(f"{path} must be a CSV file; got {actual}. Fix: {fix}.")
