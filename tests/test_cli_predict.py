"""`bptt predict`: what a model predicts for a file, in the file's units, with its times and names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine, fails, weather

import bptt
from bptt.files import read_checkpoint

SMALL = ("--hidden", 4, "--epochs", 1)
VALUES = weather(120)
DAYS = np.datetime_as_string(np.datetime64("2021-01-01") + np.arange(120)).tolist()
RNG = np.random.default_rng(0)


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


@pytest.fixture
def forecaster(bptt_command: CommandLine, folder: Path) -> Path:
    """A model of weather.csv, two steps ahead, and the file."""
    lines = [f"{day};{a};{b}\n".replace(".", ",") for day, (a, b) in zip(DAYS, VALUES.tolist(), strict=True)]
    Path("weather.csv").write_text("Tag;Wärme °C;Wind\n" + "".join(lines), encoding="cp1252")
    options = ("--target", "Wind", "--horizon", 2, "--window", 6, *SMALL)
    assert bptt_command("train", "csv", "weather.csv", *options).code == 0
    return Path("weather.safetensors")


def test_forecasts_of_the_rows_of_a_file(bptt_command: CommandLine, forecaster: Path) -> None:
    rows = rows_of(bptt_command("predict", forecaster, "weather.csv").out)
    assert rows[0] == ["step", "Tag", "Wind"]
    windows = 120 - 6 - 2 + 1
    assert [row[:2] for row in rows[1:]] == [
        [str(step), DAYS[6 + start + step - 1]] for start in range(windows) for step in (1, 2)
    ]
    predictions = np.array([float(row[2]) for row in rows[1:]]).reshape(windows, 2)
    # The model itself, on a window by hand.
    saved = read_checkpoint(forecaster)
    scaling = bptt.load_preprocessing(forecaster)["series"]
    y = saved.model(scaling.apply(VALUES[30:36])[:, None])[0][0]
    np.testing.assert_allclose(predictions[30], y * scaling.scale[1] + scaling.mean[1], rtol=1e-12)
    # `bptt forecast` says the same of a file that ends there.
    lines = Path("weather.csv").read_text(encoding="cp1252").splitlines()
    Path("head.csv").write_text("\n".join(lines[:37]) + "\n", encoding="cp1252")
    forecast = bptt_command("forecast", forecaster, "head.csv", "--json").figures["forecast"]["Wind"]
    assert forecast == predictions[30].tolist()


def test_outputs_agree(bptt_command: CommandLine, forecaster: Path) -> None:
    text = bptt_command("predict", forecaster, "weather.csv").out
    result = bptt_command("predict", forecaster, "weather.csv", "-o", "out.csv")
    assert "out.csv" in result.out
    assert Path("out.csv").read_text(encoding="utf-8") == text
    assert bptt_command("predict", forecaster, "weather.csv", "--out", "out.npz").code == 0
    arrays = dict(np.load("out.npz"))
    rows = rows_of(text)[1:]
    assert arrays["forecast"].ravel().tolist() == [float(row[2]) for row in rows]
    assert arrays["time"].ravel().tolist() == [row[1] for row in rows]
    assert arrays["row"][0].tolist() == [7, 8]
    assert arrays["target"].tolist() == ["Wind"]
    figures = bptt_command("predict", forecaster, "weather.csv", "--json").figures
    assert figures["forecast"] == arrays["forecast"].tolist()
    assert figures["predictions"] == len(rows) // 2


def test_a_file_without_times_and_without_the_target(bptt_command: CommandLine, folder: Path) -> None:
    Path("a.csv").write_text("v,w\n" + "".join(f"{a},{b}\n" for a, b in VALUES.tolist()))
    Path("b.csv").write_text("v\n" + "".join(f"{a}\n" for a in VALUES[:, 0].tolist()))
    options = ("--columns", "v", "--target", "w", "--window", 6, *SMALL)
    assert bptt_command("train", "csv", "a.csv", *options).code == 0
    with_it, without = (bptt_command("predict", "a.safetensors", name).out for name in ("a.csv", "b.csv"))
    assert with_it == without
    rows = rows_of(without)
    assert rows[0] == ["step", "row", "w"]
    assert rows[1][:2] == ["1", "7"]
    assert rows[-1][:2] == ["1", "120"]


LENGTHS = RNG.integers(2, 9, 60)
X = np.where(np.arange(8)[:, None] < LENGTHS[:, None, None], RNG.normal(size=(60, 8, 2)), 9.0)


@pytest.mark.parametrize("kind", ["classes", "numbers", "one number"])
def test_sequences(bptt_command: CommandLine, folder: Path, kind: str) -> None:
    y = {
        "classes": np.where(X[:, 0, 0] > 0, 7, -3),
        "numbers": X[:, 0] * 10 + 5,
        "one number": X[:, 0, 0],
    }[kind]
    np.savez("train.npz", x=X, y=y, lengths=LENGTHS)
    np.savez("new.npz", x=X, lengths=LENGTHS)  # predictions need no y
    assert bptt_command("train", "npz", "train.npz", *SMALL).code == 0
    assert bptt_command("predict", "train.safetensors", "new.npz", "-o", "out.npz").code == 0
    arrays = dict(np.load("out.npz"))
    saved = read_checkpoint("train.safetensors")
    scaling = bptt.load_preprocessing("train.safetensors")["x"]
    outputs = np.stack(
        [saved.model(scaling.apply(x[:length])[:, None])[0][0] for x, length in zip(X, LENGTHS, strict=True)]
    )
    rows = rows_of(bptt_command("predict", "train.safetensors", "new.npz").out)
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(60)]
    table = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])
    if kind == "classes":
        assert rows[0] == ["sequence", "y", "probability of -3", "probability of 7"]
        assert arrays["y"].tolist() == [[-3, 7][k] for k in outputs.argmax(axis=1)] == table[:, 0].tolist()
        np.testing.assert_array_equal(arrays["probabilities"], table[:, 1:])
        odds = np.log(table[:, 1] / table[:, 2])
        np.testing.assert_allclose(odds, outputs[:, 0] - outputs[:, 1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(table[:, 1:].sum(axis=1), 1, rtol=1e-15)
        return
    target = bptt.load_preprocessing("train.safetensors")["y"].to_dict()
    right = outputs * np.array(target["scale"]) + target["mean"]
    np.testing.assert_allclose(table, right, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(arrays["y"], table[:, 0] if kind == "one number" else table)
    assert rows[0] == ["sequence", "y"] if kind == "one number" else ["sequence", "y[0]", "y[1]"]


def test_failures(
    bptt_command: CommandLine, forecaster: Path, text_file: Path, subtests: pytest.Subtests
) -> None:
    np.savez("a.npz", x=X, y=LENGTHS)
    np.savez("narrow.npz", x=X[..., :1])
    np.savez("b.npz", y=X)
    assert bptt_command("train", "npz", "a.npz", *SMALL).code == 0
    text = ("--hidden", 4, "--batch", 2, "--truncate", 8, "--steps", 1, "--model", "text.safetensors")
    assert bptt_command("train", "text", text_file, *text).code == 0
    bptt.save("plain.safetensors", bptt.Linear(2, 1))
    Path("short.csv").write_text("Wärme °C;Wind\n1,5;2\n", encoding="utf-8")
    Path("folder.csv").mkdir()
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    for label, arguments, words in (
        ("text", ("text.safetensors", text_file), ("'bptt generate text.safetensors'",)),
        ("a model of nothing", ("plain.safetensors", "a.npz"), ("does not say", "'bptt train'")),
        ("over the data", (forecaster, "weather.csv", "-o", "weather.csv"), ("cannot be overwritten",)),
        ("over the model", (forecaster, "weather.csv", "-o", forecaster), ("cannot be overwritten",)),
        ("another format", (forecaster, "weather.csv", "-o", "out.txt"), (".csv or .npz", "out.txt")),
        ("no folder", (forecaster, "weather.csv", "-o", "no/out.csv"), ("no folder no",)),
        ("a folder", (forecaster, "folder.csv"), ("is a folder",)),
        ("too short", (forecaster, "short.csv"), ("at least 8 rows", "got 1", "'bptt forecast'")),
        ("no x", ("a.safetensors", "b.npz"), ("the array x", "got y", "numpy.savez(path, x=x)")),
        ("narrow", ("a.safetensors", "narrow.npz"), ("2 values per step", "got 1")),
        ("a CSV file of sequences", ("a.safetensors", "weather.csv"), ("not a complete .npz file",)),
        ("an archive of rows", (forecaster, "a.npz"), ("a zip archive",)),
        ("no model", ("none", "a.npz"), ("cannot read none",)),
    ):
        with subtests.test(label):
            fails(bptt_command("predict", *arguments), "Fix: ", *words)
            assert before == {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
