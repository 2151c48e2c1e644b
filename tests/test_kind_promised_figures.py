"""A promise that a number cannot keep: every figure that `bptt train` prints is recomputed from the files."""

from __future__ import annotations

import csv
import re
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from tests.commandline import CommandLine, Result, fails, weather, write_csv

import bptt
from bptt.cli.models import fitting
from bptt.data import TextStream, split
from bptt.files import read_checkpoint

SECONDS = 4.0
TEXT = ("--hidden", 8, "--embedding", 4, "--truncate", 8, "--batch", 4, "--log", "log.csv")
SMALL = ("--hidden", 4, "--log", "log.csv")
RUN = ("--checkpoint", "run.safetensors")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training takes four seconds, whatever it does."""
    ticks = iter(np.arange(100) * SECONDS)
    monkeypatch.setattr(fitting, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def log(column: str, path: str = "log.csv") -> list[float]:
    """A column of the log: one number per update, or per validation."""
    with open(path, newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row[column]]


def interrupted(command: CommandLine, *arguments: object, at: int) -> Result:
    """Run a command that Ctrl-C stops at the begin of this update."""
    step, made = bptt.Adam.step, [0]

    def stopping(self: bptt.Adam, model: bptt.Module) -> None:
        made[0] += 1
        if made[0] == at:
            raise KeyboardInterrupt
        step(self, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bptt.Adam, "step", stopping)
        return command(*arguments)


def training_part(path: Path) -> TextStream:
    return TextStream(path, batch_size=4, steps=8).split(0.1)[0]


# Characters per second


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("length", [("--steps", 40), ("--epochs", 2)])
@pytest.mark.parametrize("stop", [None, 5])
@pytest.mark.usefixtures("clock")
def test_characters_per_second(
    bptt_command: CommandLine,
    folder: Path,
    text_file: Path,
    accumulate: int,
    length: tuple[str, int],
    stop: int | None,
) -> None:
    command = ("train", "text", text_file, *length, "--accumulate", accumulate, *TEXT)
    stream = training_part(text_file)
    if length[0] == "--steps":
        batches = list(islice(cycle(stream), length[1] * accumulate))
        groups = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    else:
        once = list(stream)
        groups = length[1] * [once[i : i + accumulate] for i in range(0, len(once), accumulate)]
    made = len(groups)
    if stop is None:
        result = bptt_command(*command)
    else:
        assert interrupted(bptt_command, *command, *RUN, at=stop).code == 130
        result = bptt_command(*command, *RUN, "--resume")
        groups = groups[stop - 1 :]
    characters = sum(x.size for group in groups for x, _ in group)
    pace = f"{made} updates" + ("" if stop is None else f", the last {len(groups)} of them")
    first = result.out.splitlines()[0]
    assert first == f"{pace} in {SECONDS} s, {characters / SECONDS:,.0f} characters/s, validation included"


# Updates and learning rates


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize(("epochs", "rows"), [(50, 160), (7, 175), (1, 250)])
def test_the_step_schedule_has_three_stairs(
    bptt_command: CommandLine, folder: Path, epochs: int, rows: int, accumulate: int
) -> None:
    write_csv(folder / "a.csv", weather(rows))
    options = ("--schedule", "step", "--learning-rate", 0.01, "--patience", 0, "--window", 6, *SMALL)
    command = ("train", "csv", "a.csv", "--epochs", epochs, "--accumulate", accumulate, *options)
    assert bptt_command(*command).code == 0
    rates = log("lr")
    third = -(-len(rates) // 3)
    np.testing.assert_allclose(rates, [0.01 * 0.1 ** (i // third) for i in range(len(rates))], rtol=1e-12)
    assert len(set(rates)) == min(3, -(-len(rates) // third))


def test_steps_are_time_steps_where_updates_are_not_meant(
    bptt_command: CommandLine, folder: Path, text_file: Path
) -> None:
    Path("short.txt").write_text("abcd" * 20)
    result = bptt_command("train", "text", "short.txt", "--steps", 3, *TEXT)
    fails(
        result,
        "the validation part of short.txt",
        "at least 33 symbols",
        "--batch 4",
        "--truncate 8",
        "got 8",
    )
    assert not re.search(r"(?<!time )\bsteps\b", result.err)
    out = bptt_command("train", "text", text_file, "--steps", 3, *TEXT).out
    assert out.startswith("3 updates in ")
    advice = out.replace("Try more --steps or --epochs.", "")
    assert "steps" not in advice


# Figures of a run


def run_figures(figures: dict[str, object], model: bptt.Module) -> None:
    """Check what every kind of training prints of its run."""
    assert figures["parameters"] == sum(values.size for values in model.parameters.values())
    clipped = [row for row in csv.DictReader(Path("log.csv").read_text().splitlines()) if row["clipped"]]
    assert figures["clipped_share"] == np.mean([row["clipped"] in ("1", "True") for row in clipped])
    assert figures.get("updates", figures.get("steps")) == len(log("loss"))


@pytest.mark.usefixtures("clock")
def test_text(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    figures = bptt_command("train", "text", text_file, "--steps", 30, "--json", *TEXT).figures
    model = bptt.load("text.safetensors")
    run_figures(figures, model)
    training, validation = TextStream(text_file, batch_size=4, steps=8).split(0.1)
    text = text_file.read_text()
    assert figures["symbols"] == len(set(text))
    assert figures["training_characters"] + figures["validation_characters"] == len(text)
    assert figures["seconds"] == SECONDS
    state, losses = None, []
    for x, target in validation:
        y, state = model(x, state)
        y = y.astype(np.float64)
        log_p = y - np.log(np.exp(y).sum(axis=-1, keepdims=True))
        losses.append(-np.take_along_axis(log_p, target[..., None], axis=-1).ravel())
    assert figures["validation_nats"]["model"] == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    symbols = len(training.vocabulary)
    counts = np.bincount(training.ids, minlength=symbols)
    targets = np.concatenate([target.ravel() for _, target in validation])
    unigram = -np.log((counts + 1) / (counts.sum() + symbols))[targets].mean()
    assert figures["validation_nats"]["unigram"] == pytest.approx(unigram, rel=0.02)


def test_csv(bptt_command: CommandLine, folder: Path) -> None:
    write_csv(folder / "a.csv", weather())
    options = ("--window", 6, "--horizon", 2, "--epochs", 6, "--target", "wind", *SMALL)
    result = bptt_command("train", "csv", "a.csv", "--json", *options)
    figures = result.figures
    saved = read_checkpoint("a.safetensors")
    run_figures(figures, saved.model)
    assert figures["epochs"] == len(log("validation_loss"))
    assert figures["validation_loss"] == pytest.approx(min(log("validation_loss")), rel=1e-6)
    scaling = bptt.load_preprocessing("a.safetensors")["series"]
    parts = split(weather(), 0.1, 0.1, context=6)
    truth, told = [], []
    for start in range(len(parts.test) - 6 - 2 + 1):
        window = scaling.apply(parts.test[start : start + 6])
        y = saved.model(window[:, None])[0][0].astype(np.float64)
        told.append(y * scaling.scale[1] + scaling.mean[1])
        truth.append(parts.test[start + 6 : start + 8, 1])
    found = figures["test"]["wind"]["model"]
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(np.subtract(told, truth) ** 2)), rel=1e-6)
    assert found["mae"] == pytest.approx(np.mean(np.abs(np.subtract(told, truth))), rel=1e-6)
    assert figures["test_windows"] == len(truth)
    counts = [len(part) - 6 - 2 + 1 for part in parts[:2]]
    assert f"160 rows; windows: {counts[0]} for training, {counts[1]} for validation" in result.err


def test_npz(bptt_command: CommandLine, folder: Path) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((70, 5, 2))
    y = (x[:, :, 0].sum(axis=1) > 0) * 3 + 1
    np.savez("a.npz", x=x, y=y)
    figures = bptt_command("train", "npz", "a.npz", "--json", "--epochs", 3, *SMALL).figures
    saved = read_checkpoint("a.safetensors")
    run_figures(figures, saved.model)
    rows = split(np.random.default_rng((0, 1)).permutation(70), 0.1, 0.1)
    assert figures["test_sequences"] == len(rows.test)
    scaled = bptt.load_preprocessing("a.safetensors")["x"].apply(x[rows.test])
    told = saved.model(scaled.swapaxes(0, 1))[0].argmax(axis=1) * 3 + 1
    found: dict[str, dict[str, float]] = figures["test"]["y"]
    assert found["model"]["accuracy"] == pytest.approx(np.mean(told == y[rows.test]))
    most = 1 + 3 * (np.mean(y[rows.training] == 4) > 0.5)
    assert found["most frequent class"]["accuracy"] == pytest.approx(np.mean(y[rows.test] == most))


# Why a run ended


def stopping_data(kind: str, text_file: Path) -> tuple[object, ...]:
    """Data and options of a run that cannot get better: patience ends it."""
    rng: np.random.Generator = np.random.default_rng(0)
    noise: npt.NDArray[np.float64] = rng.standard_normal(120)
    if kind == "text":
        return "text", text_file, "--epochs", 40, *TEXT
    if kind == "csv":
        Path("a.csv").write_text("v\n" + "".join(f"{value!r}\n" for value in noise.cumsum().tolist()))
        return "csv", "a.csv", "--window", 6, "--epochs", 40, *SMALL
    np.savez("a.npz", x=rng.standard_normal((60, 4, 1)), y=noise[:60])
    return "npz", "a.npz", "--epochs", 40, *SMALL


@pytest.mark.parametrize("kind", ["text", "csv", "npz"])
def test_a_run_that_patience_stopped_says_so(
    bptt_command: CommandLine, folder: Path, text_file: Path, kind: str
) -> None:
    command = ("train", *stopping_data(kind, text_file), "--optimizer", "sgd", "--schedule", "constant")
    options = ("--patience", 2, "--learning-rate", 1e-12)
    figures = bptt_command(*command, *options, "--json").figures
    out = bptt_command(*command, *options).out
    made = len(log("loss"))
    planned = 40 * made // len(log("validation_loss"))
    assert figures["stopped_by_patience"]
    assert f"--patience stopped training after {made} of {planned} updates." in out
    assert "a larger --patience" in out
    assert "more --epochs" not in out
    short = bptt_command(*command, "--patience", 0, "--learning-rate", 1e-12, "--epochs", 1)
    assert "--epochs" in short.out
    assert "patience" not in short.out
