"""Degenerate columns and cells in CSV and npz files: used right or refused in one line; a second fit too."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.commandline import CommandLine, Result, fails

import bptt
from bptt.cli.models import sequence_files as sequencefiles

Arrays = dict[str, npt.NDArray[Any]]
RNG = np.random.default_rng(0)
N = 60
WAVE = np.sin(np.arange(N) / 3).tolist()
CSV = {
    "constant column": [WAVE, [0.1] * N],
    "all columns constant": [[0.1] * N, [-3.0] * N],
    "one column": [WAVE],
    "one constant column": [[1e9] * N],
    "equal columns": [WAVE, WAVE],
    "large and tiny": [[1e100 * value for value in WAVE], [1e-100 * value for value in WAVE]],
    "too large": [[1e300 * value for value in WAVE]],
    "constant training part": [[0.0] * 50 + WAVE[50:]],
    "the fewest rows": [WAVE[:50]],
    "one row": [[1.5]],
    "two rows": [[1.5, 1.0]],
    "too few rows": [WAVE[:4]],
    "a gap": [[*WAVE[:20], "", *WAVE[21:]], WAVE],
    "a gap in one column": [[*WAVE[:20], '""', *WAVE[21:]]],
    "empty column": [WAVE, [""] * N],
    "words": [["word"] * N],
}
REFUSED = {"too large", "one row", "two rows", "too few rows", "a gap", "a gap in one column", "words"}
SMALL = ("--json", "--hidden", 3, "--epochs", 1)


def twice(run: Callable[[], Result]) -> dict[str, Any]:
    """The figures of a command that is run twice: they are the same, but for the time."""
    one, two = run().figures, run().figures
    for figures in (one, two):
        del figures["seconds"]
    assert one == two
    return one


def numbers(value: Any) -> list[float | None]:
    """All numbers of nested figures."""
    if isinstance(value, dict):
        return [found for item in value.values() for found in numbers(item)]
    return [value] if isinstance(value, (int, float)) or value is None else []


@pytest.mark.parametrize("name", CSV)
def test_csv(bptt_command: CommandLine, folder: Path, name: str) -> None:
    columns = CSV[name]
    rows = "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
    Path("a.csv").write_text(",".join("abc"[: len(columns)]) + "\n" + rows)
    command = ("train", "csv", "a.csv", "--window", 4, *SMALL)
    if name in REFUSED:
        fails(bptt_command(*command), "a.csv")
        assert not Path("a.safetensors").exists()
        return
    figures = twice(lambda: bptt_command(*command))
    assert all(value is not None and math.isfinite(value) for value in numbers(figures))
    assert all(np.isfinite(values).all() for values in bptt.load("a.safetensors").parameters.values())
    forecast = bptt_command("forecast", "a.safetensors", "a.csv", "--json").figures["forecast"]
    assert all(value is not None and math.isfinite(value) for values in forecast.values() for value in values)


LAST = np.random.default_rng((0, 1)).permutation(40)[-1]  # a sequence of the test part
X, Y = RNG.standard_normal((40, 5, 2)), np.arange(40) % 2
ONES = np.ones(40, int)
PADDED = np.where(np.arange(5)[None, :, None] < 3, X, np.nan)
NPZ: dict[str, Arrays] = {
    "constant x": {"x": np.full((40, 5, 2), 0.1), "y": Y},
    "constant feature": {"x": np.where([True, False], X, 0.1), "y": Y},
    "constant numbers": {"x": X, "y": np.full(40, 0.1)},
    "one step": {"x": X[:, :1], "y": Y},
    "one feature": {"x": X[:, :, :1], "y": Y},
    "one of each": {"x": X[:, :1, :1], "y": Y},
    "one class in training": {
        "x": X,
        "y": (np.arange(40) == np.random.default_rng((0, 1)).permutation(40)[-1]) * 1,
    },
    "equal lengths": {"x": X, "y": Y, "lengths": np.full(40, 3)},
    "full lengths": {"x": X, "y": Y, "lengths": np.full(40, 5)},
    "lengths all 1": {"x": X, "y": Y, "lengths": ONES},
    "lengths all 1, one feature": {"x": X[:, :, 0], "y": Y, "lengths": ONES},
    "NaN in the padding": {"x": PADDED, "y": Y, "lengths": np.full(40, 3)},
    "the fewest sequences": {"x": X[:6], "y": Y[:6]},
}


@pytest.mark.parametrize("name", NPZ)
def test_npz(bptt_command: CommandLine, folder: Path, name: str) -> None:
    np.savez("a.npz", **NPZ[name])
    command = ("train", "npz", "a.npz", *SMALL)
    figures = twice(lambda: bptt_command(*command))
    assert all(value is not None and math.isfinite(value) for value in numbers(figures))
    assert all(np.isfinite(values).all() for values in bptt.load("a.safetensors").parameters.values())
    assert bptt_command("evaluate", "a.safetensors", "a.npz").code == 0


def test_one_sequence_is_refused(bptt_command: CommandLine, folder: Path) -> None:
    np.savez("a.npz", x=X[:1], y=Y[:1])
    fails(bptt_command("train", "npz", "a.npz", *SMALL), "must have more sequences")
    np.savez("b.npz", x=PADDED, y=Y)  # without lengths, the padding is data
    fails(bptt_command("train", "npz", "b.npz", *SMALL), "x must be finite", "nan at (0, 3, 0)")


@pytest.mark.parametrize("length", [1, 3, 5])
def test_equal_lengths_are_those_of_shorter_arrays(
    bptt_command: CommandLine, folder: Path, length: int
) -> None:
    for x in (X, X[:, :, 0]):
        np.savez("padded.npz", x=x, y=Y, lengths=np.full(40, length))
        np.savez("short.npz", x=x[:, :length], y=Y)
        assert bptt_command("train", "npz", "padded.npz", *SMALL).code == 0
        assert bptt_command("train", "npz", "short.npz", *SMALL).code == 0
        padded, short = (bptt.load(f"{name}.safetensors").flat_parameters for name in ("padded", "short"))
        np.testing.assert_array_equal(padded, short)


def test_joined_steps_are_still_read(folder: Path) -> None:
    lengths = np.array([1, 3, 1, 5])
    steps = RNG.standard_normal((10, 2))
    np.savez("a.npz", x=steps, y=np.arange(4) % 2, lengths=lengths)
    found = sequencefiles.read(Path("a.npz")).x
    for one, right in zip(found, np.split(steps, [1, 4, 5]), strict=True):
        np.testing.assert_array_equal(one, right)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (
            (40, 2, 30),
            "at most 2 time steps of 30 features each. If its axes are (N, features, time), save x.swapaxes",
        ),
        ((40, 1, 5), "at most 1 time step of 5 features"),
        ((40, 1, 1), "every sequence of x has one time step"),
        ((40, 1), "every sequence of x has one time step"),
        ((40, 5, 2), None),
        ((40, 5, 5), None),
        ((40, 5), None),
    ],
)
def test_axes_that_look_swapped(
    bptt_command: CommandLine, folder: Path, shape: tuple[int, ...], words: str | None
) -> None:
    np.savez("a.npz", x=RNG.standard_normal(shape), y=Y)
    result = bptt_command("train", "npz", "a.npz", *SMALL)
    assert result.code == 0
    if words is None:
        assert not any(part in result.err for part in ("swapaxes", "one time step"))
    else:
        assert words in result.err
    if len(shape) == 3 and shape[1] != shape[2]:
        np.savez("b.npz", x=RNG.standard_normal(shape).swapaxes(1, 2), y=Y)
        fails(bptt_command("evaluate", "a.safetensors", "b.npz"), "Fix: save x.swapaxes(1, 2).")


def test_lengths_all_1_are_remarked_on(bptt_command: CommandLine, folder: Path) -> None:
    for x, advised in ((X[:, :, 0], True), (X, False)):
        np.savez("a.npz", x=x, y=Y, lengths=ONES)
        said = bptt_command("train", "npz", "a.npz", *SMALL).err
        assert "only the first of the 5 steps of each sequence is read" in said
        assert ("save x[:, None]" in said) is advised


JOINED = {"x": RNG.standard_normal((60, 5)), "y": Y, "lengths": np.repeat([1, 2], 20)}
ADVICE: dict[str, tuple[Arrays, Arrays]] = {  # what is trained on, what is judged
    "swapped": ({"x": X.swapaxes(1, 2), "y": Y}, {"x": X.swapaxes(1, 2), "y": Y}),
    "swapped for the model": ({"x": X, "y": Y}, {"x": X.swapaxes(1, 2), "y": Y}),
    "joined": (JOINED, JOINED),
    "two axes for the model": ({"x": X[:, :1].swapaxes(1, 2).repeat(2, 2), "y": Y}, {"x": X[:, 0], "y": Y}),
    "features on two axes": ({"x": X.swapaxes(1, 2)[:, :1], "y": Y}, {"x": X[:, :, 0], "y": Y}),
    "all lengths 1": ({"x": X, "y": Y, "lengths": ONES}, {"x": X[:, :, 0], "y": Y, "lengths": ONES}),
}


@pytest.mark.parametrize("name", ADVICE)
def test_advice_on_arrays_can_be_followed(bptt_command: CommandLine, folder: Path, name: str) -> None:
    """What a message advises to save runs on the x of the file, and gives three axes."""
    for file, arrays in zip(("a.npz", "b.npz"), ADVICE[name], strict=True):
        np.savez(file, **arrays)
    said = [(bptt_command("train", "npz", "a.npz", *SMALL).err, ADVICE[name][0])]
    said.append((bptt_command("evaluate", "a.safetensors", "b.npz").err, ADVICE[name][1]))
    for text, arrays in said:
        for advice in re.findall(r"save (x.*)\.\n", text):
            assert eval(advice, {"x": arrays["x"]}).ndim == 3
        assert not re.search(r"\b1 time steps", text)
    advised = {"swapped for the model": "x.swapaxes(1, 2)", "joined": "", "swapped": ""}.get(
        name, "x[:, None]"
    )
    assert re.findall(r"save (x.*)\.\n", said[1][0]) == [advised] * bool(advised)
