"""`bptt train npz`: classes and numbers for sequences of one length and of many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.commandline import CommandLine, fails

import bptt
from bptt.cli.models import sequence_files as sequencefiles
from bptt.cli.models import sequences as sequencemodel
from bptt.cli.options import CommandError
from bptt.files import read_checkpoint

RNG = np.random.default_rng(0)
SMALL = ("--hidden", 8, "--epochs", 2)


def made(kind: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of 60 sequences of 6 steps, 2 values each, or of 3 to 6 steps."""
    x = RNG.standard_normal((60, 6, 2))
    lengths = RNG.integers(3, 7, 60)
    rising = (x[:, :3, 0].sum(axis=1) > 0) * 4 + 3  # classes 3 and 7
    return {
        "classes": {"x": x, "y": rising},
        "one value a step": {"x": x[:, :, 0], "y": rising.astype(np.uint8)},
        "numbers": {"x": x.astype(np.float32), "y": x.sum(axis=(1, 2)) * 100},
        "two numbers": {"x": x, "y": x.sum(axis=1)},
        "padded": {"x": x, "y": rising, "lengths": lengths},
        "joined": {
            "x": np.concatenate([row[:n] for row, n in zip(x, lengths, strict=True)]),
            "y": rising,
            "lengths": lengths,
        },
    }[kind]


@pytest.mark.parametrize("kind", ["classes", "one value a step", "padded", "joined"])
def test_classes(bptt_command: CommandLine, folder: Path, kind: str) -> None:
    np.savez("data.npz", **made(kind))
    figures = bptt_command("train", "npz", "data.npz", "--json", *SMALL).figures
    assert figures["test_sequences"] == 6
    assert set(figures["test"]["y"]) == {"model", "most frequent class"}
    assert all(0 <= row["accuracy"] <= 1 for row in figures["test"]["y"].values())
    assert read_checkpoint("data.safetensors").extra["sequences"]["classes"] == [3, 7]


@pytest.mark.parametrize(("kind", "columns"), [("numbers", ["y"]), ("two numbers", ["y[0]", "y[1]"])])
def test_numbers(bptt_command: CommandLine, folder: Path, kind: str, columns: list[str]) -> None:
    np.savez("data.npz", **made(kind))
    figures = bptt_command("train", "npz", "data.npz", "--json", *SMALL).figures
    assert list(figures["test"]) == columns
    for rows in figures["test"].values():
        assert set(rows) == {"model", "mean"}
        assert 0 < rows["model"]["mae"] <= rows["model"]["rmse"]


def test_it_learns(bptt_command: CommandLine, folder: Path) -> None:
    x = RNG.standard_normal((400, 5, 1))
    np.savez("sums.npz", x=x, y=100 + 10 * x.sum(axis=(1, 2)))
    options = ("--hidden", 16, "--epochs", 40, "--learning-rate", 0.02)
    figures = bptt_command("train", "npz", "sums.npz", "--json", *options).figures
    rows = figures["test"]["y"]
    assert rows["mean"]["rmse"] == pytest.approx(10 * np.sqrt(5), rel=0.3)
    assert rows["model"]["rmse"] < 0.3 * rows["mean"]["rmse"]
    assert figures["beats_baseline"]
    np.savez("signs.npz", x=x, y=(x.sum(axis=(1, 2)) > 0).astype(int))
    figures = bptt_command("train", "npz", "signs.npz", "--json", *options).figures
    assert figures["test"]["y"]["model"]["accuracy"] > 0.85
    assert figures["beats_baseline"]


def test_padding_is_never_looked_at(bptt_command: CommandLine, folder: Path) -> None:
    arrays = made("padded")
    for name, filler in (("a", 0.0), ("b", 1e6)):
        x = arrays["x"].copy()
        for row, length in zip(x, arrays["lengths"], strict=True):
            row[length:] = filler
        np.savez(f"{name}.npz", **{**arrays, "x": x})
        assert bptt_command("train", "npz", f"{name}.npz", *SMALL).code == 0
    a, b = (bptt.load(f"{name}.safetensors").flat_parameters for name in "ab")
    np.testing.assert_array_equal(a, b)


def test_baselines_by_hand(folder: Path) -> None:
    data = sequencefiles.Data([np.zeros((2, 1))] * 4, np.array([5, 9, 9, 9]), (4, 2, 1))
    task = sequencemodel.Task.of(data, np.array([5, 9]))
    model = bptt.Sequential(bptt.RNN(1, 2, seed=0), bptt.Last(), bptt.Linear(2, 2, seed=0))
    other = sequencefiles.Data(data.x, np.array([5, 5, 5, 9]), data.shape)
    assert task.judge(model, other)["y"]["most frequent class"] == {"accuracy": 0.25}
    numbers = sequencefiles.Data(data.x, np.array([[1.0], [2.0], [3.0], [6.0]]), data.shape)
    mean = sequencemodel.Task.of(numbers, np.unique(numbers.y))
    model = bptt.Sequential(bptt.RNN(1, 2, seed=0), bptt.Last(), bptt.Linear(2, 1, seed=0))
    found = mean.judge(model, numbers)["y"]["mean"]
    assert found["mae"] == pytest.approx(1.5, rel=1e-6)
    assert found["rmse"] == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 4), rel=1e-6)


def test_truncate(bptt_command: CommandLine, folder: Path) -> None:
    for kind in ("classes", "padded"):
        np.savez(f"{kind}.npz", **made(kind))
    plain = bptt_command("train", "npz", "classes.npz", "--json", *SMALL).figures
    cut = bptt_command("train", "npz", "classes.npz", "--json", "--truncate", 2, *SMALL).figures
    assert plain["validation_loss"] != cut["validation_loss"]
    fails(bptt_command("train", "npz", "padded.npz", "--truncate", 2, *SMALL), "equal length")


X, Y = np.zeros((60, 6, 2)), np.arange(60) % 2
BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no y": ({"x": X}, ("arrays x and y", "got x")),
    "no x": ({"a": X, "y": Y}, ("arrays x and y", "a, y")),
    "NaN": ({"x": np.where(X == 0, np.nan, X), "y": Y}, ("x must be finite", "nan at (0, 0, 0)")),
    "infinite target": ({"x": X, "y": np.full(60, np.inf)}, ("y must be finite", "inf")),
    "texts": ({"x": X, "y": np.array(["a"] * 60)}, ("y must be an array of numbers", "<U1")),
    "complex": ({"x": X * 1j, "y": Y}, ("x must be an array of numbers", "complex")),
    "rank of x": ({"x": np.zeros(60), "y": Y}, ("x must be (N, T)", "(60,)")),
    "no steps": ({"x": np.zeros((60, 0, 2)), "y": Y}, ("none of them 0", "(60, 0, 2)")),
    "fewer targets": ({"x": X, "y": Y[:50]}, ("each of the 60 sequences", "(50,)")),
    "a matrix of classes": ({"x": X, "y": np.stack((Y, Y), 1)}, ("y must be integers (N,)", "(60, 2)")),
    "one class": ({"x": X, "y": np.full(60, 4)}, ("two classes", "got only 4")),
    "few": ({"x": X[:3], "y": Y[:3]}, ("must have more sequences",)),
    "negative lengths": ({"x": X, "y": Y, "lengths": np.full(60, -1)}, ("at least 1",)),
    "real lengths": ({"x": X, "y": Y, "lengths": np.full(60, 2.0)}, ("lengths must be integers",)),
    "too long": ({"x": X, "y": Y, "lengths": np.full(60, 7)}, ("none above 6", "60, up to 7")),
    "other lengths": ({"x": X, "y": Y, "lengths": np.full(59, 2)}, ("an entry for each sequence", "59")),
    "no lengths": ({"x": X, "y": Y, "lengths": np.zeros(0, int)}, ("at least 1",)),
    "objects": ({"x": np.array([X, None], dtype=object), "y": Y}, ("got an array of objects", "lengths")),
}


def test_bad_arrays(bptt_command: CommandLine, folder: Path, subtests: pytest.Subtests) -> None:
    for name in BAD:
        with subtests.test(name):
            arrays, words = BAD[name]
            np.savez("bad.npz", **arrays)
            before = Path("bad.npz").read_bytes()
            fails(bptt_command("train", "npz", "bad.npz", *SMALL), "bad.npz", *words)
            assert [path.name for path in folder.iterdir()] == ["bad.npz"]
            assert Path("bad.npz").read_bytes() == before


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_anywhere(folder: Path, save: Callable[..., None]) -> None:
    path = folder / "a.npz"
    x = RNG.random((20, 3, 1))
    save(path, x=x, y=np.arange(20) % 2)
    content = path.read_bytes()
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at])
        with pytest.raises(CommandError, match="not a complete"):
            sequencefiles.read(path)
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        with contextlib.suppress(CommandError):  # some bytes are of no account: a date
            np.testing.assert_array_equal(sequencefiles.read(path).x, x)


def test_bad_files(bptt_command: CommandLine, folder: Path) -> None:
    np.savez("whole.npz", **made("classes"))
    content = Path("whole.npz").read_bytes()
    Path("half.npz").write_bytes(content[: len(content) // 2])
    fails(bptt_command("train", "npz", "half.npz", *SMALL), "half.npz", "not a complete .npz")
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    Path("flipped.npz").write_bytes(flipped)
    fails(bptt_command("train", "npz", "flipped.npz", *SMALL), "flipped.npz", "not a complete .npz")
    Path("empty.npz").write_bytes(b"")
    fails(bptt_command("train", "npz", "empty.npz", *SMALL), "empty.npz", "not a complete .npz")
    np.save("lone.npy", X)
    fails(bptt_command("train", "npz", "lone.npy", *SMALL), "lone.npy", "not a complete .npz")
    fails(bptt_command("train", "npz", "missing.npz", *SMALL), "missing.npz", "No such file")
    fails(bptt_command("train", "npz", ".", *SMALL), "directory")
