"""`bptt evaluate`: the figures of saved models on texts, series and sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine, fails, weather, write_csv

import bptt

SMALL = ("--hidden", 4, "--epochs", 1)


@pytest.fixture
def models(bptt_command: CommandLine, folder: Path, text_file: Path) -> Path:
    """A folder with models of a text, a table and two sets of sequences, and these."""
    write_csv(folder / "weather.csv", weather())
    x = np.random.default_rng(0).standard_normal((60, 5, 2))
    np.savez("sums.npz", x=x, y=x.sum(axis=(1, 2)))
    np.savez("signs.npz", x=x, y=(x.sum(axis=(1, 2)) > 0).astype(int))
    commands = (
        ("text", text_file, "--hidden", 8, "--steps", 5, "--truncate", 8, "--batch", 4),
        ("csv", "weather.csv", "--window", 6, "--horizon", 2, "--target", "temperature", *SMALL),
        ("npz", "sums.npz", *SMALL),
        ("npz", "signs.npz", *SMALL),
    )
    for command in commands:
        assert bptt_command("train", *command).code == 0
    return folder


def test_text(bptt_command: CommandLine, models: Path, text_file: Path) -> None:
    figures = bptt_command("evaluate", "text.safetensors", text_file, "--json").figures
    assert 2600 < figures["characters"] < len(text_file.read_text())
    assert figures["perplexity"] == pytest.approx(2 ** figures["bits_per_character"])
    assert 0 <= figures["accuracy"] <= 1
    Path("two.txt").write_text("th")
    assert bptt_command("evaluate", "text.safetensors", "two.txt", "--json").figures["characters"] == 1
    assert "bits per character" in bptt_command("evaluate", "text.safetensors", text_file).out


def test_series(bptt_command: CommandLine, models: Path) -> None:
    def figures(*options: object) -> dict[str, object]:
        return bptt_command("evaluate", "weather.safetensors", "weather.csv", "--json", *options).figures

    trained = bptt.files.read_checkpoint("weather.safetensors").extra["figures"]
    assert figures("--part", "test")["errors"] == trained["test"]
    assert figures()["windows"] == 160 - 6 - 2 + 1
    assert figures("--part", "training")["windows"] == 128 - 6 - 2 + 1
    assert figures("--part", "validation")["windows"] == figures("--part", "test")["windows"] == 16 - 1
    shown = bptt_command("evaluate", "weather.safetensors", "weather.csv").out
    assert "persistence" in shown


def test_more_columns_in_another_order(bptt_command: CommandLine, models: Path) -> None:
    lines = Path("weather.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    Path("other.csv").write_text("".join(f"{w},x,{t}\n" for _, t, w in cells))
    a, b = (
        bptt_command("evaluate", "weather.safetensors", name, "--json").figures["errors"]
        for name in ("weather.csv", "other.csv")
    )
    assert a == b


def test_sequences(bptt_command: CommandLine, models: Path) -> None:
    sums = bptt_command("evaluate", "sums.safetensors", "sums.npz", "--json").figures
    assert sums["sequences"] == 60
    assert set(sums["figures"]["y"]["model"]) == {"rmse", "mae"}
    signs = bptt_command("evaluate", "signs.safetensors", "signs.npz", "--json").figures
    x = np.load("signs.npz")
    model = bptt.load("signs.safetensors")
    scaling = bptt.load_preprocessing("signs.safetensors")["x"]
    told = model(scaling.apply(x["x"]).swapaxes(0, 1))[0].argmax(axis=1)
    assert signs["figures"]["y"]["model"]["accuracy"] == pytest.approx(np.mean(told == x["y"]))


def test_other_data_than_trained_on(bptt_command: CommandLine, models: Path) -> None:
    def bad(model: str, data: str, *words: str, options: tuple[str, ...] = ()) -> None:
        fails(bptt_command("evaluate", f"{model}.safetensors", data, *options), *words)

    Path("strange.txt").write_text("été " * 100, encoding="utf-8")
    bad("text", "strange.txt", "'é'")
    bad("text", "missing.txt", "missing.txt", "No such file")
    bad("text", "strange.txt", "--part", options=("--part", "test"))
    Path("rain.csv").write_text("rain\n" + "1\n" * 50)
    bad("weather", "rain.csv", "'temperature'", "rain")
    write_csv(Path("short.csv"), weather(7))
    bad("weather", "short.csv", "7 rows", "needs 8")
    bad("weather", "sums.npz", "sums.npz", "zip archive")
    bad("sums", "weather.csv", "weather.csv", "not a complete .npz")
    bad("sums", "signs.npz", "y must hold numbers")
    bad("signs", "sums.npz", "y must hold classes")
    x = np.zeros((5, 4, 2))
    np.savez("third.npz", x=x, y=np.array([0, 1, 2, 1, 0]))
    bad("signs", "third.npz", "the class 2")
    np.savez("wide.npz", x=np.zeros((5, 4, 3)), y=np.zeros(5, int))
    bad("signs", "wide.npz", "x must have 2 values per step", "got 3")
    np.savez("columns.npz", x=x, y=np.zeros((5, 2)))
    bad("sums", "columns.npz", "must have 1 columns", "got 2")


def test_bad_models(bptt_command: CommandLine, models: Path) -> None:
    bptt.save("layer.safetensors", bptt.Linear(2, 1))
    fails(bptt_command("evaluate", "layer.safetensors", "weather.csv"), "layer.safetensors", "bptt train")
    fails(bptt_command("evaluate", "none.safetensors", "weather.csv"), "none.safetensors", "No such file")
    whole = Path("weather.safetensors").read_bytes()
    Path("half.safetensors").write_bytes(whole[: len(whole) // 2])
    fails(bptt_command("evaluate", "half.safetensors", "weather.csv"), "half.safetensors", "cut short")
    newer = whole.replace(rb"{\"format\": 1,", rb"{\"format\": 2,")
    assert newer != whole
    Path("newer.safetensors").write_bytes(newer)
    fails(bptt_command("evaluate", "newer.safetensors", "weather.csv"), "newer", "format 2", "upgrade bptt")
