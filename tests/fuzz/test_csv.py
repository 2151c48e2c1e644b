"""Mutated CSV files: the reader returns the numbers that are there, or raises CommandError.

`BPTT_FUZZ_CASES=100000 python -m pytest tests/fuzz/test_csv.py` makes a long run, BPTT_FUZZ_SEED another one.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from bptt.cli.csv import tables
from bptt.cli.csv.format import FILLS, Format
from bptt.cli.options import CommandError

CASES = int(os.environ.get("BPTT_FUZZ_CASES", "150"))
SEED = int(os.environ.get("BPTT_FUZZ_SEED", "0"))
MEMORY = 100 * 2**20
BATCH = 50  # cases of one test

HOSTILE = [
    *("", " ", '"', "_", "-", "?", "%", "#", "é", "½", "٣", "\0", "\ufeff", "nan", "NaN", "NA", "null"),
    *("inf", "-inf", "1e308", "1e309", "-1e308", "1_000", "1,000", "1,271,596", "1.271,5", "0,994"),
    *("1 000", "1\u202f000", "1'000", "12,34", "--1", "+1", "1e", "0x10", "1e5", "a\nb", "a\r\nb"),
    *("a,b", "a;b", "# x", "=1+1", "true", "-0", "5e-324", "1e-400", "1.7976931348623157e308"),
    *("2021-01-01", "2021-13-01", "01/02/2021", "31/12/2021", "2021-01-01T25:00", "2021-01-01 24:00"),
    *("0000-01-01", "9999-12-31", "2021-02-30", "20210101", "20210231", "202113", "2021Q5", "2021"),
    *("Feb 30, 2021", "Mayo 2021", "9" * 400, "9" * 5000, "0." + "0" * 5000 + "1", "1 " * 5000),
    *("1" + ",000" * 3000, "2021-01-01 " + " " * 5000 + "x", "123456789012345678901234567890"),
]
NAMES = [
    *(
        "",
        "a",
        "date",
        "year",
        "YEAR",
        "column1",
        "1",
        "x,y",
        'q"q',
        "time",
        "off",
        " b ",
        "\ufeff",
        "n" * 300,
    ),
]


@dataclass
class Document:
    """A table of texts, and how it is written."""

    header: list[str]
    rows: list[list[str]]
    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"
    quote: bool = False
    mark: bool = False
    last_end: bool = True
    above: list[str] = field(default_factory=list)

    def content(self) -> bytes:
        """The file."""
        text = io.StringIO()
        quoting = csv.QUOTE_ALL if self.quote else csv.QUOTE_MINIMAL
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator=self.line_end, quoting=quoting)
        writer.writerows([self.header, *self.rows])
        whole = "".join(line + self.line_end for line in self.above) + text.getvalue()
        if not self.last_end:
            whole = whole.removesuffix(self.line_end)
        return (("\ufeff" if self.mark else "") + whole).encode(self.encoding, "replace")


Mutation = Callable[[np.random.Generator, Document], None]


def corpus(rng: np.random.Generator) -> Document:
    """A table as programs write them: dates, an index, a year, numbers, words."""
    N = int(rng.integers(1, 40))
    days = np.datetime_as_string(np.datetime64("2020-12-25") + np.arange(N)).tolist()
    kinds: dict[str, list[str]] = {
        "date": days,
        "digits": [day.replace("-", "") for day in days],
        "": [str(i) for i in range(N)],
        "year": [str(1900 + i) for i in range(N)],
        "a": [repr(value) for value in rng.standard_normal(N).tolist()],
        "b": [f"{value:.2f}" for value in rng.uniform(-1e4, 1e4, N).tolist()],
        "count": [str(value) for value in rng.integers(0, 10, N).tolist()],
        "constant": ["0.1"] * N,
        "word": ["word"] * N,
    }
    chosen = rng.permutation(list(kinds))[: rng.integers(1, len(kinds) + 1)].tolist()
    return Document(chosen, [list(row) for row in zip(*(kinds[name] for name in chosen), strict=True)])


def cell(rng: np.random.Generator, doc: Document) -> None:
    if doc.rows and doc.rows[0]:
        row = doc.rows[rng.integers(len(doc.rows))]
        if row:
            row[rng.integers(len(row))] = HOSTILE[rng.integers(len(HOSTILE))]


def whole_column(rng: np.random.Generator, doc: Document) -> None:
    k, value = int(rng.integers(len(doc.header) or 1)), HOSTILE[rng.integers(len(HOSTILE))]
    for row in doc.rows:
        if k < len(row):
            row[k] = value


def name(rng: np.random.Generator, doc: Document) -> None:
    if doc.header:
        doc.header[rng.integers(len(doc.header))] = NAMES[rng.integers(len(NAMES))]


def drop_cell(rng: np.random.Generator, doc: Document) -> None:
    if doc.rows:
        row = doc.rows[rng.integers(len(doc.rows))]
        del row[rng.integers(len(row) + 1) :]


def drop_column(rng: np.random.Generator, doc: Document) -> None:
    k = int(rng.integers(len(doc.header) + 1))
    del doc.header[k : k + 1]
    for row in doc.rows:
        del row[k : k + 1]


def copy_column(rng: np.random.Generator, doc: Document) -> None:
    k = int(rng.integers(len(doc.header) or 1))
    for row in (doc.header, *doc.rows):
        row.extend(row[k : k + 1])


def permute_rows(rng: np.random.Generator, doc: Document) -> None:
    doc.rows = [doc.rows[i] for i in rng.permutation(len(doc.rows))]


def reverse_rows(rng: np.random.Generator, doc: Document) -> None:
    doc.rows.reverse()


def drop_rows(rng: np.random.Generator, doc: Document) -> None:
    start = int(rng.integers(len(doc.rows) + 1))
    del doc.rows[start : start + int(rng.integers(1, 6))]


def copy_row(rng: np.random.Generator, doc: Document) -> None:
    if doc.rows:
        doc.rows.append(list(doc.rows[rng.integers(len(doc.rows))]))


def extra_row(rng: np.random.Generator, doc: Document) -> None:
    row: list[str] = [[], [""], [" "], [""] * len(doc.header), ["# x"], doc.header][rng.integers(6)]
    doc.rows.insert(int(rng.integers(len(doc.rows) + 1)), list(row))


def wide(rng: np.random.Generator, doc: Document) -> None:
    doc.rows = doc.rows[:3]
    doc.header += [f"n{i}" for i in range(100)]
    for row in doc.rows:
        row += ["1.5"] * 100


def header_away(rng: np.random.Generator, doc: Document) -> None:
    if doc.rows:
        doc.header = doc.rows.pop(0)


def written(rng: np.random.Generator, doc: Document) -> None:
    doc.delimiter = str(rng.choice([",", ";", "\t", "|", " ", "."]))
    doc.encoding = str(rng.choice(["utf-8", "utf-16", "utf-16-le", "utf-32", "latin-1", "ascii"]))
    doc.line_end = str(rng.choice(["\n", "\r\n", "\r"]))
    doc.quote, doc.mark, doc.last_end = (bool(one) for one in rng.integers(0, 2, 3))
    doc.above = [["# made by hand"], ["Weather", ""], ["% x", "% y"], []][rng.integers(4)]


STRUCTURE: list[Mutation] = [
    *(cell, cell, cell, whole_column, name, drop_cell, drop_column, copy_column, permute_rows, reverse_rows),
    *(drop_rows, copy_row, extra_row, wide, header_away, written, written),
]


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Cut, flip, insert, remove or repeat bytes."""
    at, more = (int(rng.integers(len(content) + 1)) for _ in range(2))
    first, last = min(at, more), max(at, more)
    byte = bytes([int(rng.choice([0, 10, 13, 34, 44, 59, 255, 0xEF, *rng.integers(0, 256, 3)]))])
    return [
        content[:at],
        content[:at] + byte + content[at + 1 :],
        content[:at] + byte + content[at:],
        content[:first] + content[last:],
        content[:last] + content[first:],
        codecs.BOM_UTF8 + content,
        b"\x1f\x8b" + content,
    ][int(rng.integers(7))]


def explicit(doc: Document) -> Format:
    """The format of the document: nothing is left to find."""
    return Format(doc.delimiter, doc.encoding, ".", "none", "#", 0, header=True, units=False)


def formats(rng: np.random.Generator, doc: Document) -> Format:
    """The format of the document, what the reader finds, or another one."""
    if rng.random() < 0.6:
        return replace(explicit(doc), fill=None if rng.random() < 0.7 else str(rng.choice(FILLS)))
    if rng.random() < 0.5:
        return Format()
    return Format(
        delimiter=str(rng.choice([doc.delimiter, ",", ";", " "])),
        encoding=str(rng.choice([doc.encoding, "utf-8", "utf-16", "latin-1", "klingon"])),
        decimal=str(rng.choice([".", ","])),
        thousands=[None, "'", "_", "space", "none"][rng.integers(5)],
        comment=[None, "#", "%", "1", "none"][rng.integers(5)],
        skip=[None, 0, 1, 1000][rng.integers(4)],
        header=[None, True, False][rng.integers(3)],
        units=[None, True, False][rng.integers(3)],
        dates=[None, "day-first", "month-first"][rng.integers(3)],
        time=[None, "off", "date", "year", "a", "column1"][rng.integers(6)],
        fill=[None, *FILLS][rng.integers(4)],
    )


def check(table: tables.Table, doc: Document, form: Format) -> None:
    """The table holds the numbers of an undamaged document, row by row, in some order."""
    rows = [row for row in doc.rows if row and (len(row) > 1 or row[0].strip(" ") or row == [""])]
    if form.comment:
        rows = [row for row in rows if not row[0].startswith(form.comment) or doc.quote]
    header = [one.strip() or f"column{i}" for i, one in enumerate(doc.header, 1)]
    places = [header.index(one) for one in table.names]
    right = sorted([float(row[place].strip()) for place in places] for row in rows)
    assert sorted(table.values.tolist()) == right


def _refused(path: Path, message: str) -> str:
    assert str(path) in message or "--encoding" in message
    assert len(message) < 1500
    return "refused"


def one_case(seed: int, path: Path) -> str:
    """Make a file, read it, check it; say what came of it."""
    rng = np.random.default_rng((SEED, seed))
    doc = corpus(rng)
    for _ in range(int(rng.integers(0, 4))):
        STRUCTURE[rng.integers(len(STRUCTURE))](rng, doc)
    content, form = doc.content(), formats(rng, doc)
    whole = rng.random() < 0.75
    path.write_bytes(content if whole else damaged(rng, content))
    named = [str(one).strip() for one in rng.permutation(doc.header)[: rng.integers(0, 3)]]
    named = list(dict.fromkeys(named))
    try:
        if named and rng.random() < 0.3:
            table = tables.read(path, named, form)
        else:
            table = tables.read_features(path, named if rng.random() < 0.3 else [], form)
    except CommandError as error:
        return _refused(path, str(error))
    assert table.values.ndim == 2
    assert table.values.shape[1] == len(table.names) == len(set(table.names)) > 0
    assert len(table.values) > 0
    assert np.isfinite(table.values).all()
    own = whole and doc.encoding.startswith("utf") and not doc.above
    own = own and not "".join(doc.header).startswith("\ufeff")  # read as a byte-order mark
    own = own and bool(doc.header)  # a blank line is skipped, and the first row is read as the names
    if own and form == explicit(doc):
        check(table, doc, form)
        return "checked"
    return "read"


def within_memory(seed: int, path: Path) -> str:
    tracemalloc.start()
    try:
        outcome = one_case(seed, path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
        return outcome
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("start", range(0, CASES, BATCH))
def test_mutated_files(tmp_path: Path, start: int) -> None:
    path = tmp_path / "fuzz.csv"
    outcomes = []
    for seed in range(start, min(start + BATCH, CASES)):
        print(f"case {seed} of BPTT_FUZZ_SEED={SEED}")  # pytest shows the last one where a case fails
        outcomes.append(within_memory(seed, path) if seed % 10 == 0 else one_case(seed, path))
    if len(outcomes) == BATCH:
        assert {"refused", "checked"} <= set(outcomes)  # the mutations are neither harmless nor all fatal
