"""Options for the format of a CSV file."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from bptt.cli.options import CommandError, Parser

FILLS = ("forward", "linear", "drop")
TIME_OFF = "off"


@dataclass(frozen=True)
class Format:
    """The format of a CSV file, and how its gaps are filled.

    Attributes
    ----------
    delimiter : str
        The character between cells.
    encoding : str
        The text encoding.
    decimal : str
        The decimal mark: "." or ",".
    thousands : str, optional
        The mark between groups of three digits; "space" is any kind of space.
    comment : str, optional
        Lines that begin with this text are skipped.
    header : bool, optional
        Whether the first line names the columns. None: yes, but a first line that looks like data is an
        error.
    time : str, optional
        Column that orders the rows. None: find the column. "off": keep the order of the file.
    fill : str, optional
        One of `FILLS`: how empty cells are filled. None: empty cells are errors.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str | None = None
    comment: str | None = None
    header: bool | None = None
    time: str | None = None
    fill: str | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Format:
        """Return the format that the options of `add_options` describe.

        Raises
        ------
        CommandError
            The decimal mark and the thousands mark are the same.
        """
        if options.decimal == options.thousands:
            raise CommandError(
                f"--thousands must differ from --decimal; got {options.thousands!r} for both."
                " Fix: pass the other mark to one of them."
            )
        names = cls.__dataclass_fields__
        return cls(**{name: getattr(options, name) for name in names})


def add_options(command: Parser) -> None:
    """Add the options of `Format`."""
    group = command.add_argument_group("CSV format")
    group.add_argument(
        "--delimiter", type=_delimiter, metavar="C", default=",", help="character between cells, or 'tab'"
    )
    group.add_argument("--encoding", metavar="NAME", default="utf-8", help="text encoding of the file")
    group.add_argument("--decimal", choices=(".", ","), default=".", help="decimal mark")
    marks = (",", ".", "'", "_", "space")
    group.add_argument("--thousands", choices=marks, help="thousands separator")
    group.add_argument("--comment", type=_comment, metavar="TEXT", help="skip lines that begin with TEXT")
    named = "the first line names the columns, even if it looks like numbers"
    group.add_argument("--header", action="store_true", default=None, help=named)
    unnamed = "the file does not name its columns; they are called column1, column2, ..."
    group.add_argument("--no-header", action="store_false", dest="header", default=None, help=unnamed)
    time = (
        f"sort the rows by this column, or '{TIME_OFF}' to keep their order (default: find the time column)"
    )
    group.add_argument("--time", metavar="COLUMN", help=time)
    fill = "fill empty cells with the value before (forward) or by interpolation (linear), or drop the row"
    group.add_argument("--fill", choices=FILLS, help=fill)


def _delimiter(text: str) -> str:
    if text == "tab":
        return "\t"
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"expected one character, or tab, got {text!r}")
    return text


def _comment(text: str) -> str:
    if not text.strip() or "\n" in text or "\r" in text:
        raise argparse.ArgumentTypeError(f"expected the text that comment lines begin with, got {text!r}")
    return text
