"""Options for the format of a CSV file."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal

from bptt.cli.options import CommandError, Parser, number

FILLS = ("forward", "linear", "drop")
TIME_OFF = "off"
NONE = "none"
"""The word that switches a thousands mark or comments off."""


@dataclass(frozen=True)
class Format:
    """What the user says about the format of a CSV file, and how its gaps are filled.

    None: `dialect.find` finds the value in the file.

    Attributes
    ----------
    delimiter : str, optional
        The character between cells. " ": any number of spaces.
    encoding : str, optional
        The text encoding.
    decimal : str, optional
        The decimal mark: "." or ",".
    thousands : str, optional
        The mark between groups of three digits; "space" is any kind of space, "none" is no mark.
    comment : str, optional
        Lines that begin with this text are skipped; "none": no line is.
    skip : int, optional
        Number of lines at the start of the file that are skipped.
    header : bool, optional
        Whether the first line names the columns.
    units : bool, optional
        Whether the line below the names holds units.
    dates : str, optional
        "day-first" or "month-first".
    time : str, optional
        Column that orders the rows. "off": keep the order of the file.
    fill : str, optional
        One of `FILLS`: how empty cells are filled. None: empty cells are errors.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    comment: str | None = None
    skip: int | None = None
    header: bool | None = None
    units: bool | None = None
    dates: Literal["day-first", "month-first"] | None = None
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
        if options.decimal is not None and options.decimal == options.thousands:
            raise CommandError(
                f"--thousands must differ from --decimal; got {options.thousands!r} for both."
                " Fix: pass the other mark to one of them."
            )
        names = cls.__dataclass_fields__
        return cls(**{name: getattr(options, name) for name in names})


def add_options(command: Parser) -> None:
    """Add the options of `Format`."""
    group = command.add_argument_group(
        "CSV format", "The command finds these in the file, and prints what it found. An option overrides it."
    )
    group.add_argument(
        "--delimiter", type=_delimiter, metavar="C", help="character between cells, or 'tab', or 'space'"
    )
    group.add_argument("--encoding", metavar="NAME", help="text encoding of the file")
    group.add_argument("--decimal", choices=(".", ","), metavar="C", help="decimal mark: . or ,")
    marks = (",", ".", "'", "_", "space", NONE)
    between = f"mark between thousands: {' '.join(marks[:-1])} or {NONE}"
    group.add_argument("--thousands", choices=marks, metavar="C", help=between)
    comment = f"skip lines that begin with TEXT; '{NONE}': skip none"
    group.add_argument("--comment", type=_comment, metavar="TEXT", help=comment)
    lines = number(int, minimum=0, below=2**31)
    group.add_argument("--skip", type=lines, metavar="N", help="skip N lines at the start of the file")
    named = "the first line names the columns, even if it looks like numbers"
    group.add_argument("--header", action="store_true", default=None, help=named)
    unnamed = "the file does not name its columns; they are called column1, column2, ..."
    group.add_argument("--no-header", action="store_false", dest="header", default=None, help=unnamed)
    units = "the line below the names holds units, and is skipped"
    group.add_argument("--units", action="store_true", default=None, help=units)
    data = "the line below the names holds data"
    group.add_argument("--no-units", action="store_false", dest="units", default=None, help=data)
    order = "order of day and month in dates such as 1/2/2021"
    orders = ("day-first", "month-first")
    group.add_argument("--dates", choices=orders, metavar="ORDER", help=f"{order}: {' or '.join(orders)}")
    time = f"sort the rows by this column, or '{TIME_OFF}' to keep their order"
    group.add_argument("--time", metavar="COLUMN", help=time)
    fill = "fill empty cells with the value before (forward) or by interpolation (linear), or drop the row"
    group.add_argument(
        "--fill", choices=FILLS, metavar="HOW", help=f"{fill} (default: an empty cell is an error)"
    )


def arguments(form: Format) -> list[str]:
    """Return the options that make this format on another command line."""
    words: list[str] = []
    for name in Format.__dataclass_fields__:
        value = getattr(form, name)
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name}")
        elif value is not None:
            words += [f"--{name}", {"\t": "tab", " ": "space"}.get(value, str(value))]
    return words


def _delimiter(text: str) -> str:
    if text in ("tab", "space"):
        return "\t" if text == "tab" else " "
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"expected one character, tab or space, got {text!r}")
    return text


def _comment(text: str) -> str:
    if not text.strip() or "\n" in text or "\r" in text:
        raise argparse.ArgumentTypeError(f"expected the text that comment lines begin with, got {text!r}")
    return text
