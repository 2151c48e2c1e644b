"""CSV files as other programs write them, without an option; and files that no option can help."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine, fails, weather

from bptt.cli.csv import tables
from bptt.cli.csv.format import Format

SMALL = ("--hidden", 4, "--window", 12, "--epochs", 1)
N = 240
VALUES = np.round(weather(N), 2)
HOURS = np.datetime64("2021-03-01T00:00") + np.arange(N) * np.timedelta64(1, "h")
ISO = [stamp.replace("T", " ") for stamp in np.datetime_as_string(HOURS, unit="s").tolist()]
DAYS = np.datetime_as_string(np.datetime64("2021-03-01") + np.arange(N)).tolist()
FOLDED = VALUES * (1000, 1)


def european() -> bytes:
    """A semicolon, decimal commas, points between thousands, dd.mm.yyyy and the encoding of Windows."""
    lines = ["Datum;Außentemperatur °C;Wind;Zähler kWh"]
    for i, (day, (a, b)) in enumerate(zip(DAYS, VALUES.tolist(), strict=True)):
        date = f"{day[8:]}.{day[5:7]}.{day[:4]}"
        counter = f"{12_345 + 31 * i + i * i % 11:,}".replace(",", ".")
        decimals = (f"{value:.2f}".replace(".", ",") for value in (a, b))
        lines.append(";".join([date, *decimals, counter]))
    return "\r\n".join([*lines, ""]).encode("cp1252")


def excel() -> bytes:
    """A byte-order mark, the line "sep=", quoted names, commas between thousands and US dates."""
    lines = ["sep=,", '"Date","Sales, total","Wind"']
    for day, (a, b) in zip(DAYS, FOLDED.tolist(), strict=True):
        lines.append(f'{int(day[5:7])}/{int(day[8:])}/{day[:4]},"{a:,.1f}",{b:.2f}')
    return "\r\n".join([*lines, ""]).encode("utf-8-sig")


def pandas() -> bytes:
    """An index without a name, ISO times, and a column of words."""
    lines = [",timestamp,temperature,wind,station"]
    lines += [f"{i},{ISO[i]}+00:00,{a},{b},Potsdam" for i, (a, b) in enumerate(VALUES.tolist())]
    return "\n".join([*lines, ""]).encode()


def r() -> bytes:
    """Quoted names of rows, and NA for what is unknown."""
    lines = ['"","time","temperature","wind","remark","spare"']
    for i, (a, b) in enumerate(VALUES.tolist(), 1):
        lines.append(f'"{i}","{ISO[i - 1]}",{a},{b},{"NA" if i % 3 else chr(34) + "ok" + chr(34)},NA')
    return "\n".join([*lines, ""]).encode()


def logger() -> bytes:
    """Lines about the device, units, tabs, date and time in two columns, packed."""
    lines = ["# Logger 17", "# serial no. 0042; interval 60 min", "Date\tTime\tTemp\tWind", "\t\t°C\tm/s"]
    lines += [f"{ISO[i][:10]}\t{ISO[i][11:]}\t{a}\t{b}" for i, (a, b) in enumerate(VALUES.tolist())]
    return gzip.compress("\n".join([*lines, ""]).encode())


PROGRAMS: dict[str, tuple[Callable[[], bytes], str, list[str], str, list[str]]] = {
    # content, file name, features, words of the note about the format, and the time of the first forecast
    "European": (
        european,
        "messung.csv",
        ["Außentemperatur °C", "Wind", "Zähler kWh"],
        "found cp1252 text (--encoding), ';' between cells (--delimiter), decimal commas (--decimal), points"
        " between thousands (--thousands).",
        ["2021-10-27"],
    ),
    "Excel": (
        excel,
        "sales.csv",
        ["Sales, total", "Wind"],
        "found the line 'sep=,' (--skip), commas between thousands (--thousands).",
        ["2021-10-27"],
    ),
    "pandas": (pandas, "frame.csv", ["temperature", "wind"], "", ["2021-03-11 00:00:00"]),
    "R": (r, "r.csv", ["temperature", "wind"], "", ["2021-03-11 00:00:00"]),
    "logger": (
        logger,
        "log.csv.gz",
        ["Temp", "Wind"],
        "found tabs between cells (--delimiter), 2 comment lines with '#' (--comment), units in line 4"
        " (--no-units).",
        ["2021-03-11", "00:00:00"],
    ),
}


def test_files_of_programs_need_no_option(
    bptt_command: CommandLine, folder: Path, subtests: pytest.Subtests
) -> None:
    for name, (content, file, columns, words, following) in PROGRAMS.items():
        with subtests.test(name):
            Path(file).write_bytes(content())
            trained = bptt_command("train", "csv", file, "--json", *SMALL)
            assert trained.figures["columns"] == columns
            notes = [line for line in trained.err.splitlines() if ": found " in line]
            assert notes == ([f"{file}: {words}"] if words else [])
            assert "gaps" not in trained.err
            forecast = bptt_command("forecast", trained.figures["model_file"], file)
            header, first, *_ = csv.reader(forecast.out.splitlines())
            assert header[0] == "step"
            assert header[-len(columns) :] == columns
            assert first[1 : -len(columns)] == following
            assert np.isfinite([float(cell) for cell in first[-len(columns) :]]).all()
            assert bptt_command("evaluate", trained.figures["model_file"], file).code == 0


def test_the_values_are_those_that_the_programs_wrote(folder: Path) -> None:
    for name, right in (("European", VALUES), ("Excel", np.round(FOLDED, 1) * (1, 0) + VALUES * (0, 1))):
        content, file, *_ = PROGRAMS[name]
        Path(file).write_bytes(content())
        values = tables.read_features(Path(file), [], Format()).values
        np.testing.assert_allclose(values[:, :2], right, rtol=1e-15)
    for name in ("pandas", "R", "logger"):
        content, file, *_ = PROGRAMS[name]
        Path(file).write_bytes(content())
        np.testing.assert_array_equal(tables.read_features(Path(file), [], Format()).values, VALUES)


WORKBOOK = b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256)) * 4
PAGE = b"<!DOCTYPE html>\n<html><head><title>404, not found</title></head><body>1,2,3</body></html>\n"
HOPELESS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("is empty", "pass a file with a line of names and rows of numbers")),
    "blank lines": (b"\n \n\n", ("is empty",)),
    "words": (
        b"comment\n" + b"good\nbad\n" * 40,
        ("a column of numbers", "line 2 has 'good'", "pass a file with a column of numbers"),
    ),
    "workbook": (WORKBOOK, ("a zip archive or an Excel workbook", "save the sheet as CSV")),
    "binary": (bytes(range(256)) * 4, ("a binary file", "save the table as CSV")),
    "ragged": (
        "".join(",".join(["1.5"] * (2 + 7 * i % 11)) + "\n" for i in range(40)).encode(),
        ("the same number of cells on every line", "2 to 12 cells", "correct the file"),
    ),
    "two rows": (
        b"date,v\n2021-01-01,1.5\n2021-01-02,2.5\n",
        ("got 2", "longer series"),
    ),
    "web page": (PAGE, ("a web page (HTML)", "save the table itself as CSV")),
    "JSON": (b'{"v": [1, 2, 3]}\n', ("got JSON", "save the table itself as CSV")),
    "cut gzip": (gzip.compress(b"v\n" + b"1.5\n" * 400)[:-12], ("damaged or cut off", "get the whole file")),
}


def test_hopeless_files_get_one_line(
    bptt_command: CommandLine, folder: Path, subtests: pytest.Subtests
) -> None:
    for name, (content, words) in HOPELESS.items():
        with subtests.test(name):
            Path("a.csv").write_bytes(content)
            result = bptt_command("train", "csv", "a.csv", *SMALL)
            fails(result, "a.csv", "Fix: ", *words)
            assert result.err.count("bptt:") == 1
            assert result.err.count("\n") == 1 or name == "two rows"  # notes about what was found come first
            assert [path.name for path in folder.iterdir()] == ["a.csv"]
