"""CSV files as other programs write them: read right, or refused with the option that reads them."""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.commandline import CommandLine, fails, weather
from tests.grids import pairwise

import bptt
from bptt.cli.csv import cells, tables
from bptt.cli.csv.cells import Marks
from bptt.cli.csv.format import Format
from bptt.cli.options import CommandError

SMALL = ("--hidden", 4, "--window", 6, "--epochs", 1)
VALUES = weather(120)
DAYS = np.datetime_as_string(np.datetime64("2021-01-01") + np.arange(120)).tolist()


def write(path: str, header: str, columns: Sequence[Sequence[object]], *, order: Sequence[int] = ()) -> Path:
    """Write columns, their rows in this order."""
    rows = list(zip(*columns, strict=True))
    rows = [rows[i] for i in order] if len(order) else rows
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    Path(path).write_text(f"{header}\n{text}", encoding="utf-8")
    return Path(path)


def features(path: str, form: Format | None = None, named: Sequence[str] = ()) -> tables.Table:
    return tables.read_features(Path(path), named, form or Format())


# Order of time


MIDDLES = (np.datetime64("1958-01") + np.arange(120)).astype("M8[D]") + 14
YEARS = MIDDLES.astype("M8[Y]")
TIMES = {
    "ISO dates": ("date", DAYS),
    "ISO times": ("t", [f"{day}T{i % 24:02}:30:00Z" for i, day in enumerate(DAYS)]),
    "slashes": ("t", [day.replace("-", "/") for day in DAYS]),
    "month first": ("t", [f"{day[5:7]}/{day[8:]}/{day[:4]}" for day in DAYS]),
    "day first": ("t", [f"{day[8:]}.{day[5:7]}.{day[:4]}" for day in DAYS]),
    "month names": ("t", [f'"Jan {1 + i % 28}, {1900 + i // 28}"' for i in range(120)]),
    "months": ("t", [f"{2000 + i // 12}-{1 + i % 12:02}" for i in range(120)]),
    "quarters": ("t", [f"{2000 + i // 4}Q{1 + i % 4}" for i in range(120)]),
    "short month names": ("t", [f"{1 + i % 28}-Feb-{i // 28:02}" for i in range(120)]),
    "zone of hours": ("t", [f"{day} 00:00:00+00" for day in DAYS]),
    "half days": ("t", [f"{DAYS[i // 2]} 12:05 {'AP'[i % 2]}M" for i in range(120)]),
    "dates as digits": ("t", [day.replace("-", "") for day in DAYS]),
    "hours as digits": ("t", [f"{DAYS[i // 24].replace('-', '')}{i % 24:02}" for i in range(120)]),
    "minutes as digits": ("t", [f"{DAYS[i // 9].replace('-', '')}23{i % 9:02}" for i in range(120)]),
    "seconds as digits": ("t", [f"{day.replace('-', '')}235959" for day in DAYS]),
    "irregular Unix times": ("timestamp", [1_500_000_000 + i * i for i in range(120)]),
    "irregular Unix times in ms": ("event_time", [1_500_000_000_000 + 7 * i * i for i in range(120)]),
    "rounded years": ("t", [f"{1958 + (i + 0.5) / 12:.4f}" for i in range(120)]),
    "coarsely rounded years": ("t", [f"{1958 + (i + 0.5) / 12:.2f}" for i in range(120)]),
    "months as digits": ("t", [f"{2000 + i // 12}{1 + i % 12:02}" for i in range(120)]),
    "row numbers": ("", range(120)),
    "years": ("YEAR", range(1880, 2000)),
    "seconds": ("t", [1.5e9 + 300 * i for i in range(120)]),
}


IN_ORDER = {  # or newest first
    "one row lost": ("n", [i + (i > 70) for i in range(120)]),
    "weekdays": ("n", [7 * (i // 5) + i % 5 for i in range(120)]),
    "Unix times with one row lost": ("t", [1.5e9 + 300 * (i + (i > 70)) for i in range(120)]),
    "irregular Unix times, first column": ("x", [1_500_000_000 + i * i for i in range(120)]),
    "two-digit years": ("t", [f"{day[8:]}/{day[5:7]}/{day[2:4]}" for day in DAYS]),
    "two-digit years first": ("t", [day[2:] for day in DAYS]),
    "decimal years of days": (
        "t",
        [
            f"{year:.4f}"
            for year in 1970 + YEARS.astype(int) + (MIDDLES - YEARS.astype("M8[D]")).astype(int) / 365
        ],
    ),
    "irregular seconds": ("Time (s)", [f"{0.01 * i + 0.004 * (i % 3):.3f}" for i in range(120)]),
    "irregular serial dates": ("date", [40_000 + i * i for i in range(120)]),
    "irregular index": ("Unnamed: 0", [i * i for i in range(120)]),
    "irregular index without a name": ("", [i * i for i in range(120)]),
    "clock": ("t", [f"{i // 60 + 22}:{i % 60:02}" for i in range(120)]),
    "clock over days": ("t", [f"{i % 24:02}:00" for i in range(120)]),
}


def test_rows_are_read_in_order_of_time(
    folder: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    for kind in TIMES | IN_ORDER:
        with subtests.test(kind):
            name, times = (TIMES | IN_ORDER)[kind]
            orders: dict[str, Iterable[int]] = {"in order": range(120), "newest first": range(119, -1, -1)}
            if kind in TIMES:
                orders["shuffled"] = np.random.default_rng(0).permutation(120).tolist()
            for how, order in orders.items():
                write(
                    "a.csv", f"{name},temperature,wind", [list(times), *VALUES.T.tolist()], order=list(order)
                )
                table = features("a.csv")
                np.testing.assert_array_equal(table.values, VALUES, err_msg=how)
                assert table.names == ["temperature", "wind"]
                said = capsys.readouterr().err
                assert f"{name or 'column1'} (time)" in said
                assert ("the rows were reversed" in said) is (how == "newest first")
                assert ("the rows were not in order of time" in said) is (how == "shuffled")


def test_forecast_and_evaluate_read_in_order_of_time(bptt_command: CommandLine, folder: Path) -> None:
    columns = [DAYS, *VALUES.T.tolist()]
    write("up.csv", "date,temperature,wind", columns)
    write("down.csv", "date,temperature,wind", columns, order=range(119, -1, -1))
    for name in ("up", "down"):
        assert bptt_command("train", "csv", f"{name}.csv", *SMALL).code == 0
    up, down = (bptt.load(f"{name}.safetensors").flat_parameters for name in ("up", "down"))
    np.testing.assert_array_equal(up, down)
    for command in ("forecast", "evaluate"):
        one, two = (
            bptt_command(command, "up.safetensors", f"{name}.csv", "--json") for name in ("up", "down")
        )
        for figures in (one.figures, two.figures):
            figures.pop("data", None)
        assert one.out.replace("up.csv", "") == two.out.replace("down.csv", "")
        assert "the rows were reversed" in two.err


CASES_OF_TIMES_BY_HAND = [
    ("2021-02-28", "year first", "2021-02-28T00:00"),
    ("2021-02-28T23:59:30.250+05:30", "year first", "2021-02-28T18:29:30.250"),
    ("2021-03-01 00:30-0100", "year first", "2021-03-01T01:30"),
    ("2021/2/8 24:00", "year first", "2021-02-09T00:00"),
    ("1/2/1969 12:05 AM", "day first", "1969-02-01T00:05"),
    ("1/2/1969 12:05 pm", "month first", "1969-01-02T12:05"),
    ("28-Feb-2021", "month name", "2021-02-28T00:00"),
    ("September 2021", "month name", "2021-09-01T00:00"),
    ("Sept 2021", "month name", "2021-09-01T00:00"),
    ("Sep 5, 2021", "month name first", "2021-09-05T00:00"),
    ("2021-03-01 00:30+05", "year first", "2021-02-28T19:30"),
    ("2021-03", "year and month", "2021-03-01T00:00"),
    ("1900.1", "year and month", None),
    ("1900.1", "year first", None),
    ("28.2.69", "day first", "1969-02-28T00:00"),
    ("2/28/68 24:00", "month first", "2068-02-29T00:00"),
    ("21-02-28", "short year first", "2021-02-28T00:00"),
    ("28-Feb-99", "day and month name", "1999-02-28T00:00"),
    ("2021-Q4", "quarter", "2021-10-01T00:00"),
    ("2021-02-30", "year first", None),
    ("2021-02-28T25:00", "year first", None),
    ("2021-02-28T23:60", "year first", None),
    ("2021-02-28 13:00 PM", "year first", None),
    ("31/12/2021", "month first", None),
    ("Mayo 2021", "month name", None),
    ("Foo 2021", "month name", None),
]


def test_times_by_hand(subtests: pytest.Subtests) -> None:
    for cell, layout, iso in CASES_OF_TIMES_BY_HAND:
        with subtests.test(cell=cell):
            if iso is None:
                with pytest.raises(ValueError, match=r"."):
                    cells.seconds(cell, layout)
            else:
                assert cells.seconds(cell, layout) == np.datetime64(iso, "ms").astype(float) / 1000


def test_day_and_month_that_cannot_be_told_apart(folder: Path) -> None:
    dates = [f"0{1 + i % 9}/0{1 + i // 9 % 9}/2021" for i in range(60)]
    write("a.csv", "date,v", [dates, VALUES[:60, 0].tolist()], order=np.random.default_rng(0).permutation(60))
    with pytest.raises(CommandError, match=r"day, month and year.*--time off"):
        features("a.csv")
    short = [day[2:] for day in DAYS[:60]]
    write("c.csv", "date,v", [short, VALUES[:60, 0].tolist()], order=np.random.default_rng(0).permutation(60))
    with pytest.raises(CommandError, match=r"day, month and year.*--time off"):
        features("c.csv")
    write("b.csv", "date,v", [dates, VALUES[:60, 0].tolist()])  # in order, if the day comes first
    np.testing.assert_array_equal(features("b.csv").values[:, 0], VALUES[:60, 0])


def test_several_series_in_one_file_are_refused(bptt_command: CommandLine, folder: Path) -> None:
    write("a.csv", "station,date,v", [["a"] * 60 + ["b"] * 60, DAYS[:60] * 2, VALUES[:, 0].tolist()])
    fails(bptt_command("train", "csv", "a.csv", *SMALL), "lines 2 and 62", "several series", "--time off")
    figures = bptt_command("train", "csv", "a.csv", "--json", "--time", "off", *SMALL).figures
    assert figures["columns"] == ["v"]
    sorted_rows = sorted(range(120), key=lambda i: i % 60)
    write("b.csv", "date,v", [DAYS[:60] * 2, VALUES[:, 0].tolist()], order=sorted_rows)
    assert "Are there several series" in bptt_command("train", "csv", "b.csv", *SMALL).err


def test_gaps_in_time_are_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [i for i in range(120) if not 40 <= i < 50]
    write("a.csv", "date,v", [DAYS, VALUES[:, 0].tolist()], order=kept)
    assert len(features("a.csv").values) == 110
    said = capsys.readouterr().err
    assert "1 of 109 steps are longer than the usual 1 day" in said
    assert "add the missing rows if rows are lost." in said
    assert "between lines 41 and 42, the longest 11 times" in said
    write("months.csv", "date,v", [TIMES["months"][1], VALUES[:, 0].tolist()])
    features("months.csv")
    assert "gaps" not in capsys.readouterr().err


def test_steps_below_the_usual_one_are_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    minutes = [60 * i - 59 * (i == 41) for i in range(120)]
    times = [f"2021-01-{1 + m // 1440:02} {m // 60 % 24:02}:{m % 60:02}" for m in minutes]
    write("a.csv", "date,v", [times, VALUES[:, 0].tolist()])
    features("a.csv")
    said = capsys.readouterr().err
    assert "1 of 119 steps are longer than the usual 1 hour" in said
    assert "1 of 119 steps are shorter than the usual 1 hour, the first between lines 42 and 43" in said
    write("b.csv", "date,v", [[*times[:40], times[41], "2021-01-02 16:10"], VALUES[:42, 0].tolist()])
    features("b.csv")
    assert "column date has uneven steps: 1 of 41 steps are shorter" in capsys.readouterr().err


CLOCKS: dict[str, Callable[[int], object]] = {
    "Time": lambda i: f"{i:02}:00",
    "Hour": lambda i: i,
    "hr": lambda i: i + 1,
    "time (UTC)": lambda i: 100 * i,
}


@pairwise(("name", CLOCKS.keys()), ("how", ["in order", "newest first", "shuffled"]))
def test_a_date_and_a_time_of_day_in_two_columns(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    for digits in [False, True]:
        columns = [
            [DAYS[i // 24].replace("-", "" if digits else "-") for i in range(120)],
            [CLOCKS[name](i % 24) for i in range(120)],
            VALUES[:, 0].tolist(),
        ]
        order = {"in order": range(120), "newest first": range(119, -1, -1)}.get(
            how, np.random.default_rng(0).permutation(120).tolist()
        )
        write("a.csv", f"Date,{name},x", columns, order=list(order))
        for form in (Format(), Format(time="Date")):
            table = features("a.csv", form)
            np.testing.assert_array_equal(table.values[:, -1], VALUES[:, 0])
            said = capsys.readouterr().err
            assert "Date (time)" in said
            assert table.names == (["x"] if name == "Time" else [name, "x"])
            assert "several series" not in said
            assert "steps" not in said


def test_times_of_day_that_do_not_show_an_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clocks = [f"{hour:02}:30" for hour in np.random.default_rng(0).permutation(np.arange(120) % 24)]
    write("a.csv", "t,v", [clocks, VALUES[:, 0].tolist()])
    np.testing.assert_array_equal(features("a.csv").values[:, 0], VALUES[:, 0])
    said = capsys.readouterr().err
    assert "no time column was found" in said
    assert re.search(r"t \(no numbers: line 2 has '\d\d:30'\)", said)
    with pytest.raises(CommandError, match="column t must hold dates"):
        features("a.csv", Format(time="t"))


def test_time_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = np.random.default_rng(1).permutation(120)
    rank = np.argsort(order)
    write("a.csv", "date,rank,v", [DAYS, rank.tolist(), VALUES[:, 0].tolist()])
    np.testing.assert_array_equal(features("a.csv", Format(time="rank")).values[:, 0], VALUES[order, 0])
    np.testing.assert_array_equal(features("a.csv", Format(time="off")).values[:, 0], VALUES[:, 0])
    with pytest.raises(CommandError, match="no column named 'when'"):
        features("a.csv", Format(time="when"))
    write("b.csv", "date,v", [[*DAYS[:50], "soon", *DAYS[51:]], VALUES[:, 0].tolist()])
    with pytest.raises(CommandError, match=r"times in column date; line 52 has 'soon'.*--time off"):
        features("b.csv")


# Columns that only count rows or tell the time


def test_index_like_columns_are_left_out_unless_named(bptt_command: CommandLine, folder: Path) -> None:
    columns = [list(range(120)), list(range(1880, 2000)), VALUES[:, 0].tolist()]
    write("a.csv", ",YEAR,value", columns)
    result = bptt_command("train", "csv", "a.csv", *SMALL)
    assert result.code == 0
    assert (
        "columns not used as features: column1 (time), YEAR (index). Name columns in --columns" in result.err
    )
    one, named, target = (
        bptt_command("train", "csv", "a.csv", "--json", *options, *SMALL).figures
        for options in ((), ("--columns", "YEAR,value"), ("--target", "YEAR"))
    )
    assert (one["columns"], one["target"]) == (["value"], ["value"])
    assert (named["columns"], named["target"]) == (["YEAR", "value"], ["YEAR", "value"])
    assert (target["columns"], target["target"]) == (["YEAR", "value"], ["YEAR"])
    write("b.csv", "n,year", columns[:2])
    fails(
        bptt_command("train", "csv", "b.csv", *SMALL),
        "must have a column of numbers",
        "n (time), year (index)",
        "--columns",
    )


def test_ordinary_columns_are_no_index(folder: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {
        "constant": np.full(120, 2000.0),
        "flag": rng.integers(0, 2, 120),
        "month": 1 + np.arange(120) % 12,
        "price": 1000.0 + rng.integers(0, 900, 120),
        "steps": np.arange(120) // 2,
        "trend": np.arange(120) + 1e-3 * rng.random(120),
        "meter": np.round(np.cumsum(rng.normal(0.4, 0.1, 120)), 1),
        "rising price": np.round(1800 + np.cumsum(rng.normal(0.5, 0.1, 120)), 2),
        "count": np.cumsum(1 + rng.poisson(1.0, 120)),
        "date": rng.normal(0, 1, 120),
        "station_id": np.arange(120) // 60,
        "time to failure": 1000.0 - np.cumsum(1 + rng.poisson(1.0, 120)),
    }
    write("a.csv", ",".join(columns), [column.tolist() for column in columns.values()])
    table = features("a.csv")
    assert table.names == list(columns)
    np.testing.assert_array_equal(table.values, np.stack(list(columns.values()), axis=1))


def test_time_columns_that_are_named_as_features_order_the_rows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    years, line = list(range(1880, 2000)), list(range(120, 0, -1))
    write("a.csv", "year,v", [years, VALUES[:, 0].tolist()], order=range(119, -1, -1))
    table = tables.read(Path("a.csv"), ["year", "v"], Format())
    np.testing.assert_array_equal(table.values[:, 0], years)
    assert "column year has the newest row first; the rows were reversed" in capsys.readouterr().err
    write("b.csv", "line,v", [line, VALUES[:, 0].tolist()])  # may be a value as well as an index
    table = tables.read(Path("b.csv"), ["line", "v"], Format())
    np.testing.assert_array_equal(table.values[:, 0], line)
    assert "no time column was found" in capsys.readouterr().err


@pytest.mark.parametrize("largest", [1.7e308, 5e-324, 1e-310])
def test_the_whole_range_of_numbers_is_read_without_a_warning(folder: Path, largest: float) -> None:
    rng = np.random.default_rng(0)
    signs = np.where(rng.random(120) < 0.5, -1.0, 1.0)
    for form in (Format(), Format(time="b")):
        write("a.csv", "a,b", [(largest * signs).tolist(), [largest * (i % 2) for i in range(120)]])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if form.time is None:
                features("a.csv", form)
            else:
                with pytest.raises(CommandError, match="have the same time"):
                    features("a.csv", form)


# The kind of a column


def test_the_first_cell_does_not_decide_what_a_column_holds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.csv", "a,b", [["M", *VALUES[1:, 0].tolist()], VALUES[:, 1].tolist()])
    with pytest.raises(CommandError, match=r"line 2, column a, has 'M'. Fix: correct the cell, or leave the"):
        features("a.csv")
    write("b.csv", "date,v", [["", *DAYS[1:]], VALUES[:, 0].tolist()], order=range(119, -1, -1))
    write("c.csv", "date,v", [["", *DAYS[:0:-1]], VALUES[:, 0].tolist()])
    for name, line in (("b.csv", 121), ("c.csv", 2)):
        with pytest.raises(CommandError, match=f"times in column date; line {line} is empty.*--time"):
            features(name)
    stations = ["", *(["7", "B4", "C1"] * 40)[1:]]
    write("d.csv", "station,v", [stations, VALUES[:, 0].tolist()])
    assert features("d.csv").names == ["v"]
    assert "station (no numbers: line 3 has 'B4')" in capsys.readouterr().err


# Cells


def test_gaps_in_cells_are_refused_with_row_and_column(bptt_command: CommandLine, folder: Path) -> None:
    one = [*VALUES[:40, 0].tolist(), '""', '""', *VALUES[42:, 0].tolist()]  # as pandas writes NaN
    write("one.csv", "v", [one])
    fails(bptt_command("train", "csv", "one.csv", *SMALL), "line 42, column v, is empty", "--fill")
    write("blank.csv", "v", [[cell if cell != '""' else "" for cell in one]])
    fails(bptt_command("train", "csv", "blank.csv", *SMALL), "line 42, column v, is empty", "--fill")
    write("two.csv", "v,w", [[*one[:41], "NA", *one[42:]], VALUES[:, 1].tolist()])
    fails(bptt_command("train", "csv", "two.csv", *SMALL), "line 42, column v, is empty")
    fails(
        bptt_command("train", "csv", "two.csv", "--columns", "w", "--target", "v", *SMALL),
        "line 42, column v",
    )
    assert bptt_command("train", "csv", "two.csv", "--columns", "w", *SMALL).code == 0


def test_the_end_of_a_file_is_no_gap(folder: Path) -> None:
    Path("a.csv").write_text("v\n1\n5\n2\n\n \n")
    np.testing.assert_array_equal(features("a.csv").values[:, 0], [1, 5, 2])


@pytest.mark.parametrize(
    ("how", "right"),
    [
        ("forward", [[1, 5], [1, 5], [1, 2], [4, 2], [4, 2]]),
        ("linear", [[1, 5], [2, 3.5], [3, 2], [4, 2], [4, 2]]),
        ("drop", [[1, 5]]),
    ],
)
def test_fill(folder: Path, capsys: pytest.CaptureFixture[str], how: str, right: npt.ArrayLike) -> None:
    Path("a.csv").write_text("t,a,b\n4,NaN,\n3,4,.\n2,,2\n1,n/a,\n0,1,5\n")  # the newest row first
    np.testing.assert_allclose(features("a.csv", Format(fill=how)).values, right)
    said = capsys.readouterr().err
    assert "a (3), b (3)" in said
    with pytest.raises(CommandError, match="line 2, column a, has 'NaN'"):
        features("a.csv")


def test_fill_that_cannot_be(folder: Path) -> None:
    Path("a.csv").write_text("a,b\n,1\n2,5\n3,\n")
    with pytest.raises(CommandError, match=r"column a.*begin with a number"):
        features("a.csv", Format(fill="forward"))
    Path("b.csv").write_text("a,b,c\n,1,\n2,,\n1,,\n4,,\n")
    with pytest.raises(CommandError, match="without empty cells"):
        tables.read(Path("b.csv"), ["a", "b"], Format(fill="drop"))
    with pytest.raises(CommandError, match=r"column c.*all its cells are empty"):
        tables.read(Path("b.csv"), ["a", "c"], Format(fill="linear"))
    Path("c.csv").write_text("a\n1\nx\n3\n")
    with pytest.raises(CommandError, match="line 3, column a, has 'x'"):
        features("c.csv", Format(fill="linear"))


def test_a_column_without_any_number_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("a,b,\n1,,\n5,,\n2,x,\n")  # every line ends with the delimiter
    assert features("a.csv").names == ["a"]
    assert "b (no numbers: line 4 has 'x'), column3 (no numbers)" in capsys.readouterr().err


CASES_OF_CELLS_THAT_ARE_NO_FINITE_NUMBERS = ["0x10", "1 2", "1,000,5", "inf", "1e999", "--1", "1e", "½"]


def test_cells_that_are_no_finite_numbers(folder: Path, subtests: pytest.Subtests) -> None:
    for cell in CASES_OF_CELLS_THAT_ARE_NO_FINITE_NUMBERS:
        with subtests.test(cell):
            Path("a.csv").write_text(f'a,b\n1,7\n2,"{cell}"\n3,8\n', encoding="utf-8")
            with pytest.raises(CommandError, match="line 3, column b"):
                tables.read(Path("a.csv"), ["b"], Format())


CASES_OF_MARKS = [
    ("1,5", ",", None, 1.5),
    ("-0,994", ",", None, -0.994),
    ("1.271,5", ",", ".", 1271.5),
    ("1,271,596", ".", ",", 1271596),
    ("+12,345.5e2", ".", ",", 1234550),
    ("1\u202f234,5", ",", "space", 1234.5),
    ("1'234", ".", "'", 1234),
    ("1\u2019234", ".", "'", 1234),
    ("1_000", ".", "_", 1000),
    ("12", ",", ".", 12),
    (",5", ",", None, 0.5),
    ("1.5", ",", None, None),
    ("1,27", ".", ",", None),
    ("0,994", ".", ",", None),
    ("12345,678", ".", ",", None),
    ("1,2345", ".", ",", None),
    ("1,5,2", ",", None, None),
    ("1.5.2", ",", ".", None),
    ("", ",", ".", None),
    (",", ",", None, None),
    ("inf", ",", None, None),
]


def test_marks(subtests: pytest.Subtests) -> None:
    for cell, decimal, thousands, value in CASES_OF_MARKS:
        with subtests.test(cell=cell):
            marks = Marks(decimal, thousands)
            if value is None:
                with pytest.raises(ValueError, match=re.escape(cell) or "^"):
                    cells.number(cell, marks)
            else:
                assert cells.number(cell, marks) == value


def test_a_mark_far_down_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [round(value, 2) for value in weather(300)[:, 0].tolist()]
    write("a.csv", "v,w", [[*numbers, '"1,234,567.5"'], range(301)])
    assert features("a.csv").values[-1, 0] == 1234567.5
    assert "a.csv: found commas between thousands (--thousands)" in capsys.readouterr().err
    write("b.csv", "v,w", [[*numbers, '"1,5"'], range(301)])  # no format reads both 20.12 and 1,5
    with pytest.raises(CommandError, match=r"line 302, column v, has '1,5'. Fix: pass --decimal , for"):
        features("b.csv")
    with pytest.raises(CommandError, match=r"line 302, column v, has '1,234,567.5'. Fix: pass --thousands ,"):
        features("a.csv", Format(thousands="none"))


# Formats that are found in the file


def comma(value: float) -> str:
    return f"{value:.3f}".replace(".", ",")


SPACES = " \u00a0\u2007\u2009\u202f"
RIGHT = np.round(VALUES, 3)
SMALL_COUNTS = np.rint(50 * VALUES[:, :1])
COUNTS = 1_000_000 + np.rint(1000 * VALUES[:, :1])


def formats() -> dict[str, tuple[bytes, npt.NDArray[np.float64], str, Format]]:
    """Files by name: bytes, values, words of the note about the file, and options that say the same."""
    rows = [(day, f"{a:.3f}", f"{b:.3f}") for day, (a, b) in zip(DAYS, RIGHT.tolist(), strict=True)]
    table = "".join(f"{day},{a},{b}\n" for day, a, b in rows)
    semicolons, tabs = table.replace(",", ";"), table.replace(",", "\t")
    commas = semicolons.replace(".", ",")
    counts = [f"{round(value):,}" for value in COUNTS[:, 0].tolist()]
    small = [f"{round(value):,}".replace(",", ".") for value in SMALL_COUNTS[:, 0].tolist()]
    tenths = [f"{value:.1f}" for value in RIGHT[:, 0].tolist()]
    counted = "".join(f'{day},"{count}"\n' for day, count in zip(DAYS, counts, strict=True))
    wide = "".join(f"{day}  {a:>9} {b:>9}\n" for day, a, b in rows)
    texts: dict[str, tuple[str, npt.NDArray[np.float64], str, Format]] = {
        "plain": ("day,a,b\n" + table, RIGHT, "", Format(",", "utf-8", ".", "none", "none", 0, True, False)),
        "semicolons": ("day;a;b\n" + semicolons, RIGHT, "';' between cells", Format(";")),
        "tabs": ("day\ta\tb\n" + tabs, RIGHT, "tabs between cells", Format("\t")),
        "bars": ("day|a|b\n" + table.replace(",", "|"), RIGHT, "'|' between cells", Format("|")),
        "aligned": ("day  a  b\n" + wide, RIGHT, "spaces between cells", Format(" ")),
        "decimal commas": (
            "day;a;b\n" + commas,
            RIGHT,
            "';' between cells (--delimiter), decimal commas (--decimal)",
            Format(";", decimal=","),
        ),
        "decimal commas in quotes": (
            "a\n" + "".join(f'"{value.replace(".", ",")}"\n' for value in tenths),
            np.round(RIGHT[:, :1], 1),
            "decimal commas",
            Format(",", decimal=","),
        ),
        "one column of decimal commas": (
            "a\n" + "".join(f"{value.replace('.', ',')}\n" for value in tenths),
            np.round(RIGHT[:, :1], 1),
            "decimal commas",
            Format(";", decimal=","),
        ),
        "thousands": ("day,a\n" + counted, COUNTS, "commas between thousands", Format(thousands=",")),
        "points between thousands": (
            "day;a\n" + counted.replace(",", ".").replace('."', ';"').replace('"', ""),
            COUNTS,
            "points between thousands",
            Format(";", decimal=",", thousands="."),
        ),
        "points between whole thousands": (
            "day;a\n" + "".join(f"{day};{count}\n" for day, count in zip(DAYS, small, strict=True)),
            SMALL_COUNTS,
            "points between thousands",
            Format(";", decimal=",", thousands="."),
        ),
        "currency and percent": (
            "day,a,b\n" + "".join(f'{day},"${1000 * float(a):,.0f}",{b}%\n' for day, a, b in rows),
            np.round(RIGHT * (1000, 1), 3),
            "commas between thousands (--thousands), numbers with a sign, such as '$20,013'",
            Format(thousands=","),
        ),
        "apostrophes": (
            "a\n" + "".join(count.replace(",", "'") + "\n" for count in counts),
            COUNTS,
            "apostrophes between thousands",
            Format(thousands="'"),
        ),
        **{
            f"U+{ord(space):04X} between thousands": (
                "day,a\n"
                + counted.replace('"', "").replace(",", space).replace(f"{space}1{space}", ",1" + space),
                COUNTS,
                "spaces between thousands",
                Format(",", thousands="space"),
            )
            for space in SPACES
        },
        "many comments": (
            "# x\n" * 120 + "day;a;b\n" + semicolons,
            RIGHT,
            "';' between cells (--delimiter), 120 comment lines with '#' (--comment)",
            Format(";", comment="#"),
        ),
        "a line above": (
            "Weather\nday,a,b\n" + table,
            RIGHT,
            "the first row in line 2 (--skip)",
            Format(skip=1),
        ),
        "lines above": (
            "Weather\n\nof 2021\n\nday,a,b\n" + table,
            RIGHT,
            "the first row in line 5 (--skip)",
            Format(skip=3),
        ),
        "a line for Excel": (
            "sep=;\nday;a;b\n" + semicolons,
            RIGHT,
            "the line 'sep=;' (--skip), ';' between cells",
            Format(";", skip=1),
        ),
        "no header": (table, RIGHT, "no line of names (--header)", Format(header=False)),
        "no header, only numbers": (
            "".join(f"{a},{b}\n" for _, a, b in rows),
            RIGHT,
            "no line of names (--header)",
            Format(header=False),
        ),
        "names in a comment": (
            "# made by hand\n# day,a,b\n" + table,
            RIGHT,
            "2 comment lines with '#' (--comment)",
            Format(comment="#"),
        ),
        "names without that of the row names": (
            "a b\n" + "".join(f'"{i}" {a} {b}\n' for i, (_, a, b) in enumerate(rows, 1)),
            RIGHT,
            "spaces between cells",
            Format(" "),
        ),
        "a delimiter at the end of rows": (
            "day,a,b\n" + table.replace("\n", ",\n"),
            RIGHT,
            "",
            Format(","),
        ),
        "units": ("day,a,b\n,°C,[m/s]\n" + table, RIGHT, "units in line 2 (--no-units)", Format(units=True)),
        "units below other words": (
            "day,a,b\nTS,°C,m/s\n,Avg,Max\n" + table,
            RIGHT,
            "units in line 2 and 3 (--no-units)",
            Format(","),
        ),
    }
    found = {name: (text.encode(), *rest) for name, (text, *rest) in texts.items()}
    whole = "größe,a,b\n" + table
    for encoding, said in (
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-8-sig", ""),
        ("cp1252", "cp1252"),
    ):
        words = f"{said} text (--encoding)" if said else ""
        found[encoding] = (whole.encode(encoding), RIGHT, words, Format(encoding=encoding))
    found["latin-1"] = (
        whole.replace("ö", "\x81").encode("latin-1"),
        RIGHT,
        "latin-1",
        Format(encoding="latin-1"),
    )
    found["gzip"] = (gzip.compress(("day,a,b\n" + table).encode()), RIGHT, "", Format())
    return found  # type: ignore[return-value]


def test_formats_are_found_and_said_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    for name, (content, right, words, said) in formats().items():
        with subtests.test(name):
            Path("a.csv").write_bytes(content)
            np.testing.assert_array_equal(features("a.csv").values, right)
            notes = [line for line in capsys.readouterr().err.splitlines() if ": found " in line]
            assert len(notes) == bool(words)
            assert words in "".join(notes)
            # What options say is not found, and the values are the same.
            np.testing.assert_array_equal(features("a.csv", said).values, right)
            options = re.findall(r"\((--[a-z-]+)\)", capsys.readouterr().err)
            names = [option.removeprefix("--").replace("no-", "") for option in options]
            assert not [option for option in names if getattr(said, option, None) is not None]


def test_points_are_decimal_marks_unless_a_column_shows_another_meaning(folder: Path) -> None:
    for cells_, right in (
        (["1.234", "2.345", "3.456"], 1.234),  # three decimals in every cell
        (["1.234", "900.125", "0.456"], 1.234),
        (["1.234", "2.3", "3"], 1.234),
        (["1.234", "2.345", "1200"], 1.234),
        (["1.234", "2.345", "900"], 1234.0),
    ):
        for decimals, delimiter in (("", ";"), (".5", ";"), ("", ",")):
            lines = [f"{cell}{delimiter}{i * i % 7}{decimals}\n" for i, cell in enumerate(cells_)]
            Path("a.csv").write_text(f"a{delimiter}b\n" + "".join(lines))
            first = tables.read(Path("a.csv"), ["a"], Format()).values[0, 0]
            # Decimals in another column, or commas between cells, speak for decimals.
            assert first == (right if (decimals, delimiter) == ("", ";") else 1.234)


def test_numbers_that_can_be_read_in_two_ways(bptt_command: CommandLine, folder: Path) -> None:
    Path("a.csv").write_text("a\n" + "".join(f'"{comma(value)}"\n' for value in VALUES[:, 0]))
    fails(
        bptt_command("train", "csv", "a.csv", *SMALL),
        *("a.csv has numbers such as '2", "two ways"),
        "--thousands , for commas between thousands, or --decimal , for decimal commas.",
    )
    for options, factor in ((Format(decimal=","), 1), (Format(thousands=","), 1000)):
        np.testing.assert_allclose(features("a.csv", options).values, factor * RIGHT[:, :1], rtol=1e-15)
    # Where another mark is between cells, the writer's country shows.
    rows = "".join(f'{day};"{comma(value)}"\n' for day, value in zip(DAYS, VALUES[:, 0], strict=True))
    Path("b.csv").write_text("day;a\n" + rows)
    np.testing.assert_allclose(features("b.csv").values, RIGHT[:, :1], rtol=1e-15)
    Path("c.csv").write_text("day,a\n" + rows.replace(";", ","))
    np.testing.assert_allclose(features("c.csv").values, 1000 * RIGHT[:, :1], rtol=1e-15)


@pytest.mark.parametrize("encoding", ["utf-8", "utf8", "UTF_8", "U8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_the_byte_order_mark_is_no_part_of_a_name(folder: Path, encoding: str) -> None:
    mark = "" if encoding in ("utf-8-sig", "utf-16") else "\ufeff"
    Path("a.csv").write_bytes((mark + "a,b\n1,2\n3,5\n").encode(encoding))
    assert features("a.csv", Format(encoding=encoding)).names == ["a", "b"]


def test_names_that_are_numbers(folder: Path) -> None:
    Path("a.csv").write_text("0,1\n1.5,2\n9,5\n")
    assert features("a.csv").names == ["0", "1"]  # pandas counts columns from 0
    Path("c.csv").write_text("7,1\n1.5,2\n9,5\n")
    assert features("c.csv").names == ["column1", "column2"]
    assert features("a.csv", Format(header=True)).names == ["0", "1"]
    assert features("a.csv", Format(header=False)).names == ["column1", "column2"]
    Path("b.csv").write_text(",0,1\n0,1.5,2\n1,3,5\n2,4,3\n")  # as pandas writes a frame without names
    assert features("b.csv").names == ["0", "1"]


@pytest.mark.parametrize("command", ["evaluate", "forecast", "gradflow"])
@pytest.mark.parametrize(
    ("cells_", "options", "fix"),
    [
        (["x"], (), "Fix: correct the cell."),
        ([""], (), "Fix: fill the cell, or pass --fill linear."),
        (["1\u202f234"], ("--thousands", ","), "Fix: pass --thousands space for spaces between thousands."),
        ([""] * 120, ("--fill", "drop"), "Fix: pass --fill linear."),
    ],
)
def test_commands_for_a_model_advise_only_their_own_options(
    bptt_command: CommandLine,
    folder: Path,
    command: str,
    cells_: list[str],
    options: tuple[str, ...],
    fix: str,
) -> None:
    a, b = VALUES.T.tolist()
    write("a.csv", "a,b", [a, b])
    assert bptt_command("train", "csv", "a.csv", *SMALL).code == 0
    write("b.csv", "a,b", [cells_ + a[len(cells_) :], b])
    data = ("--data", "b.csv") if command == "gradflow" else ("b.csv",)
    fails(bptt_command(command, "a.safetensors", *data, *options), "b.csv", fix)


def test_the_same_mark_twice(bptt_command: CommandLine, folder: Path) -> None:
    write("a.csv", "a", [VALUES[:, 0].tolist()])
    options = ("--decimal", ",", "--thousands", ",")
    fails(bptt_command("train", "csv", "a.csv", *options, *SMALL), "--thousands must differ from --decimal")


def test_options_from_a_config_file(bptt_command: CommandLine, folder: Path) -> None:
    Path("a.csv").write_bytes(formats()["decimal commas"][0])
    Path("c.toml").write_text('delimiter = ";"\ndecimal = ","\ntime = "off"\nfill = "drop"\n')
    assert bptt_command("train", "csv", "a.csv", "--config", "c.toml", *SMALL).code == 0
    Path("b.csv").write_bytes(formats()["no header"][0])
    Path("d.toml").write_text("no-header = true\n")
    assert bptt_command("train", "csv", "b.csv", "--config", "d.toml", *SMALL).code == 0
