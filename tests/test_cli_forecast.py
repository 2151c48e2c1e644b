"""`bptt forecast`: what follows a series, from a saved model."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine, fails, weather, write_csv

import bptt
from bptt.cli.csv import following, tables
from bptt.cli.csv.format import Format
from bptt.cli.models import series as seriesmodel
from bptt.diagnose.pictures import canvas

SMALL = ("--hidden", 4, "--window", 6, "--epochs", 1)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def models(bptt_command: CommandLine, folder: Path) -> Path:
    """Two models of a weather.csv, two steps ahead: one of all columns, one of the temperature alone."""
    write_csv(folder / "weather.csv", weather())
    options = ("train", "csv", "weather.csv", "--horizon", 2, *SMALL)
    assert bptt_command(*options, "--model", "all").code == 0
    assert bptt_command(*options, "--model", "one", "--target", "temperature").code == 0
    return folder


def test_by_hand(bptt_command: CommandLine, models: Path) -> None:
    figures = bptt_command("forecast", "one", "weather.csv", "--json").figures
    saved = bptt.files.read_checkpoint("one")
    scaling = bptt.load_preprocessing("one")["series"]
    y = saved.model(scaling.apply(weather()[-6:])[:, None])[0][0]
    told = y.astype(np.float64) * scaling.scale[0] + scaling.mean[0]
    assert figures["rows"] == 160
    assert figures["forecast"] == {"temperature": pytest.approx(told.tolist(), rel=1e-12)}


def test_further_than_the_horizon(bptt_command: CommandLine, models: Path) -> None:
    five = bptt_command("forecast", "all", "weather.csv", "--json", "--steps", 5).figures["forecast"]
    two = bptt_command("forecast", "all", "weather.csv", "--json").figures["forecast"]
    assert {name: len(values) for name, values in five.items()} == {"temperature": 5, "wind": 5}
    longer = np.concatenate((weather(), np.stack((two["temperature"], two["wind"]), axis=1)))
    write_csv(Path("longer.csv"), longer)
    after = bptt_command("forecast", "all", "longer.csv", "--json").figures["forecast"]
    for name, values in five.items():
        assert values[:2] == two[name]
        assert values[2:4] == after[name]


def _every(text: str, count: int) -> list[str]:
    start, unit = text.split("+")
    steps = np.datetime64(start) + np.arange(count) * np.timedelta64(int(unit[:-1]), unit[-1])
    return np.datetime_as_string(steps).tolist()


FOLLOWING: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {
    "days": ({"date": _every("2024-02-01+1D", 28)}, {"date": ["2024-02-29", "2024-03-01"]}),
    "quarters of an hour": (
        {"t": _every("2021-01-01T00:00+15m", 95)},
        {"t": ["2021-01-01 23:45:00", "2021-01-02 00:00:00"]},
    ),
    "months": ({"t": _every("2021-01+1M", 23)}, {"t": ["2022-12-01", "2023-01-01"]}),
    "ends of months": (
        {"t": [str(np.datetime64(month, "D") - 1) for month in _every("2021-02+1M", 24)]},
        {"t": ["2023-01-31", "2023-02-28"]},
    ),
    "quarters": (
        {"t": [f"{2000 + i // 4}Q{1 + i % 4}" for i in range(22)]},
        {"t": ["2005-07-01", "2005-10-01"]},
    ),
    "years": ({"year": [str(1900 + i) for i in range(30)]}, {"year": ["1930", "1931"]}),
    "rows": ({"": [str(i) for i in range(30)]}, {"column1": ["30", "31"]}),
    "decimal seconds": ({"t": [f"{0.1 * i:.1f}" for i in range(30)]}, {"t": ["3", "3.1"]}),
    "two columns": (
        {"day": _every("2021-01-01+1D", 24), "time": ["12:30"] * 24},
        {"day": ["2021-01-25", "2021-01-26"]},
    ),
    "day and hour": (
        {
            "day": [f"2021-01-0{1 + i // 24}" for i in range(47)],
            "time": [f"{i % 24:02}:00" for i in range(47)],
        },
        {"day": ["2021-01-02", "2021-01-03"], "time": ["23:00:00", "00:00:00"]},
    ),
    "a gap": (
        {"date": [*_every("2021-01-01+1D", 20), *_every("2021-02-01+1D", 20)]},
        {"date": ["2021-02-21", "2021-02-22"]},
    ),
    "business days": (
        {"date": [day for day in _every("2021-01-01+1D", 29) if np.is_busday(np.datetime64(day))]},
        {"date": ["2021-02-01", "2021-02-02"]},
    ),
    "tenths of a second": (
        {"t": [f"2021-01-01 00:00:{0.1 * i:04.1f}" for i in range(100)]},
        {"t": ["2021-01-01 00:00:10", "2021-01-01 00:00:10.100"]},
    ),
    "years before all nanoseconds": ({"date": _every("1650-01-01+1D", 30)}, {}),
    "equal times": ({"date": sorted(["2021-01-30", "2021-02-28", "2021-03-30"] * 10)}, {}),
    "times of day": ({"t": [f"{i % 24:02}:00" for i in range(30)]}, {}),
    "no time": ({}, {}),
}


def test_times_of_the_next_rows(folder: Path, subtests: pytest.Subtests) -> None:
    for name, (columns, right) in FOLLOWING.items():
        with subtests.test(name):
            rows = max(map(len, columns.values()), default=30)
            cells = zip(*columns.values(), map(str, weather(rows)[:, 0]), strict=True)
            lines = [",".join([*columns, "v"]), *map(",".join, cells)]
            Path("a.csv").write_text("\n".join(lines) + "\n")
            assert following.times(tables.read(Path("a.csv"), ["v"], Format()), 2) == right


def test_files(bptt_command: CommandLine, models: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'bptt[plot]'")
    text = bptt_command("forecast", "all", "weather.csv", "--steps", 4).out
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["step", "temperature", "wind"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3", "4"]
    result = bptt_command("forecast", "all", "weather.csv", "--steps", 4, "--out", "o.csv", "--plot", "p.png")
    assert (result.code, Path("o.csv").read_text()) == (0, text)
    assert Path("p.png").read_bytes().startswith(PNG)
    assert "o.csv" in result.out
    assert "p.png" in result.out
    assert bptt_command("forecast", "one", "weather.csv", "--plot", "p.svg").code == 0
    assert b"<svg" in Path("p.svg").read_bytes()


def test_only_what_is_needed_is_read(bptt_command: CommandLine, models: Path) -> None:
    write_csv(Path("end.csv"), weather()[-6:])
    whole, end = (
        bptt_command("forecast", "all", name, "--json").figures["forecast"]
        for name in ("weather.csv", "end.csv")
    )
    assert whole == end


def test_a_target_that_is_not_read_need_not_be_there(bptt_command: CommandLine, models: Path) -> None:
    options = ("--columns", "wind", "--target", "temperature", "--model", "other", *SMALL)
    assert bptt_command("train", "csv", "weather.csv", *options).code == 0
    Path("wind.csv").write_text("wind\n" + "".join(f"{row!r}\n" for row in weather()[:, 1].tolist()))
    with_it, without = (
        bptt_command("forecast", "other", name, "--json").figures["forecast"]
        for name in ("weather.csv", "wind.csv")
    )
    assert with_it == without
    assert list(without) == ["temperature"]


def test_failures(
    bptt_command: CommandLine, models: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad(*arguments: object, words: tuple[str, ...]) -> None:
        before = {path: path.read_bytes() for path in models.iterdir() if path.is_file()}
        fails(bptt_command("forecast", *arguments), *words)
        assert {path: path.read_bytes() for path in models.iterdir() if path.is_file()} == before

    bad("one", "weather.csv", "--steps", 3, words=("--steps", "horizon of the model, 2", "wind"))
    write_csv(Path("short.csv"), weather(5))
    bad("one", "short.csv", words=("short.csv", "window of the model, 6", "got 5"))
    Path("rain.csv").write_text("rain\n" + "1\n" * 50)
    bad("one", "rain.csv", words=("'temperature'",))
    Path("nan.csv").write_text("temperature,wind\n" + "1,2\n" * 50 + "nan,2\n")
    bad("one", "nan.csv", words=("line 52", "column temperature"))
    bad("one", "missing.csv", words=("missing.csv",))
    bad("one", ".", words=("folder",))
    bad("weather.csv", "weather.csv", words=("weather.csv",))
    bptt.save("layer", bptt.Linear(2, 1))
    bad("layer", "weather.csv", words=("no forecasting model", "bptt train csv"))
    bad("one", "weather.csv", "--out", "weather.csv", words=("weather.csv is an input",))
    bad("one", "weather.csv", "--out", "no/o.csv", words=("no folder no",))
    bad("one", "weather.csv", "--plot", "p.gif", words=("p.gif",))
    monkeypatch.setattr(canvas, "available", lambda: False)
    bad("one", "weather.csv", "--plot", "p.png", words=("pip install 'bptt[plot]'",))


@pytest.mark.parametrize(
    "change",
    [
        {"window": 0},
        {"window": "6"},
        {"horizon": 3},
        {"columns": ["temperature"]},
        {"scaling": {"mean": [0.0], "scale": [1.0]}},
        {"scaling": None},
        {"target": []},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit(
    bptt_command: CommandLine, models: Path, change: dict[str, object]
) -> None:
    saved = bptt.files.read_checkpoint("one")
    extra = {"series": {**saved.extra["series"], **change}}
    preprocessing = bptt.load_preprocessing("one")
    if "scaling" in change:
        scaling = extra["series"].pop("scaling")
        preprocessing = {} if scaling is None else {"series": bptt.data.Standardize(**scaling)}
    bptt.save("bad", saved.model, extra=extra, preprocessing=preprocessing)
    fails(bptt_command("forecast", "bad", "weather.csv"), "no forecasting model")


def test_seasons_by_hand() -> None:
    scaling = bptt.data.Standardize([0.0], [1.0])
    task = seriesmodel.Task(["a"], ["a"], 4, 5, scaling, (0.1, 0.1), 3)
    model = bptt.Sequential(bptt.RNN(1, 2, seed=0), bptt.Last(), bptt.Linear(2, 5, seed=0))
    series = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8])[:, None]
    figures, count = seriesmodel.judge(model, task, [series])
    assert count == 1  # 0 1 2 3, then 4 5 6 7 8
    found = figures["a"]
    assert found["persistence"]["mae"] == pytest.approx(np.mean([1, 2, 3, 4, 5]))
    assert found["seasonal naive"]["mae"] == pytest.approx(np.mean([3, 3, 3, 6, 6]))
