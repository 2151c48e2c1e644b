"""`bptt gradflow`: verdicts, pictures and reports of saved models, and one line for whatever is wrong."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.commandline import CommandLine, Result

import bptt
from bptt.diagnose.pictures import canvas

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model of numbers, one of text, and files for them."""
    monkeypatch.chdir(tmp_path)
    numbers = bptt.Sequential(bptt.LSTM(3, 8, 2, batch_first=True, seed=0), bptt.Linear(8, 1, seed=1))
    bptt.save("numbers.safetensors", numbers)
    text = bptt.Sequential(bptt.Embedding(3, 4, seed=0), bptt.GRU(4, 6, seed=1), bptt.Linear(6, 3, seed=2))
    bptt.save("text.safetensors", text, extra={"vocabulary": "abc"})
    Path("abc.txt").write_text("abcacb" * 100, encoding="utf-8")
    np.save("series.npy", RNG.standard_normal((300, 3)))
    np.savez("rows.npz", x=RNG.standard_normal((50, 4, 3)), other=1)
    np.savetxt("table.csv", RNG.random((40, 3)), delimiter=",", header="a,b,c", comments="")
    return tmp_path


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, as if matplotlib were missing: drawing takes most of the time of a command."""
    monkeypatch.setattr(canvas, "available", lambda: False)


without_pictures = pytest.mark.usefixtures("no_pictures")


def test_words_and_picture(bptt_command: CommandLine, folder: Path) -> None:
    result = bptt_command("gradflow", "numbers.safetensors")
    assert result.code == 0, result.err
    for word in ("layer 0 of model[0]", "layer 1 of model[0]", "LSTM", "vanishing", "Remedy: forget_bias=1"):
        assert word in " ".join(result.out.split())
    assert "picture  numbers-gradflow.png" in result.out
    assert Path("numbers-gradflow.png").read_bytes().startswith(PNG)


def test_figures_are_those_of_gradient_flow(bptt_command: CommandLine, folder: Path) -> None:
    figures = bptt_command("gradflow", "numbers.safetensors", "--data", "rows.npz", "--json").figures
    x = np.load("rows.npz")["x"]
    flow = bptt.gradient_flow(bptt.load("numbers.safetensors"), x.swapaxes(0, 1))
    np.testing.assert_allclose(figures["dh_norm"], flow.dh_norm)
    assert figures["verdict"] == list(flow.verdict)
    assert figures["horizon"] == flow.horizon.tolist()
    assert figures["picture"] == "numbers-gradflow.png"


DATA = {
    "series.npy": ("numbers", "16 x 200"),
    "rows.npz": ("numbers", "4 x 50"),
    "table.csv": ("numbers", "1 x 40"),
    "abc.txt": ("text", "16 x 200"),
}


@without_pictures
@pytest.mark.parametrize("name", DATA)
def test_data(bptt_command: CommandLine, folder: Path, name: str) -> None:
    model, size = DATA[name]
    result = bptt_command("gradflow", f"{model}.safetensors", "--data", name)
    assert result.code == 0, result.err
    assert f"{name}, rows x steps: {size}" in result.out
    fewer = bptt_command("gradflow", f"{model}.safetensors", "--data", name, "--steps", 7, "--rows", 2)
    assert "rows x steps: 2 x 7" in fewer.out


FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "semicolons": ("a;b;c\n" + "1,5;2;3\n4;5,5;6\n" * 30, ("--delimiter", ";", "--decimal", ",")),
    "an empty cell": ("a,b,c\n1,2,3\n4,,6\n" + "7,8,9.5\n1,0,5\n" * 30, ("--fill", "linear")),
    "comments": ("# x\n" + "1,2,3\n4,8,6\n" * 30, ("--comment", "#")),
    "thousands": ('a,b,c\n"1,000",2,3\n' + '"4,000",5,7\n5,1,1\n' * 30, ("--thousands", ",")),
    "bytes": ("größe,b,c\n1,2,3\n" + "4,8,6\n9,1,7\n" * 30, ("--encoding", "latin-1")),
}


@without_pictures
def test_formats_of_csv_files(bptt_command: CommandLine, folder: Path, subtests: pytest.Subtests) -> None:
    for name, (text, options) in FORMATS.items():
        Path("a.csv").write_bytes(text.encode("latin-1"))
        for forecasting in [False, True]:
            with subtests.test(name, forecasting=forecasting):
                model = "numbers.safetensors"
                if forecasting:
                    command = ("train", "csv", "a.csv", *options, "--window", 4, "--epochs", 1)
                    assert bptt_command(*command).code == 0
                    model = "a.safetensors"
                found = bptt_command("gradflow", model, "--data", "a.csv")
                assert found.code == int(name == "an empty cell")
                assert options[0] in found.err
                result = bptt_command("gradflow", model, "--data", "a.csv", *options)
                assert result.code == 0, result.err
                assert found.out in ("", result.out)


@without_pictures
def test_dates_order_the_rows_of_a_csv_file(bptt_command: CommandLine, folder: Path) -> None:
    lines = [f"2021-01-{1 + i:02},{a},{b},{c}\n" for i, (a, b, c) in enumerate(RNG.random((28, 3)).tolist())]
    figures = []
    for rows in (lines, lines[::-1]):
        Path("a.csv").write_text("date,a,b,c\n" + "".join(rows))
        figures.append(bptt_command("gradflow", "numbers.safetensors", "--data", "a.csv", "--json").figures)
    assert figures[0] == figures[1]


@without_pictures
@pytest.mark.parametrize("model", ["numbers", "text"])
def test_random_input_comes_from_the_seed(bptt_command: CommandLine, folder: Path, model: str) -> None:
    def norms(seed: int) -> Any:
        options = ("--json", "--seed", seed, "--steps", 12)
        return bptt_command("gradflow", f"{model}.safetensors", *options).figures["dh_norm"]

    first = norms(1)
    assert first == norms(1) != norms(2)
    assert np.shape(first)[1] == 12


def test_svg_and_report(bptt_command: CommandLine, folder: Path) -> None:
    result = bptt_command("gradflow", "numbers.safetensors", "--out", "flow.svg", "--html", "report.html")
    assert result.code == 0, result.err
    assert Path("flow.svg").read_bytes().startswith(b"<?xml")
    page = Path("report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") == 4  # flow, weights, gates of two layers
    assert "://" not in page  # no base64 has these three characters
    assert "forget_bias=1 or more" in page
    assert not Path("numbers-gradflow.png").exists()


@without_pictures
def test_nan_is_traced(bptt_command: CommandLine, folder: Path) -> None:
    x = RNG.standard_normal((60, 3))
    x[33, 1] = np.nan
    np.save("nan.npy", x)
    result = bptt_command("gradflow", "numbers.safetensors", "--data", "nan.npy")
    assert result.code == 0, result.err
    assert "x is not finite at step 33" in result.out
    figures = bptt_command("gradflow", "numbers.safetensors", "--data", "nan.npy", "--json").figures
    assert figures["first_nonfinite"].startswith("x is not finite at step 33")
    assert figures["rate"] == [None, None]


def test_a_report_of_a_model_that_is_not_finite(bptt_command: CommandLine, folder: Path) -> None:
    model = bptt.load("numbers.safetensors")
    model.parameters["0.weight_hh_l0"][1, 1] = np.nan
    bptt.save("nan.safetensors", model)
    result = bptt_command("gradflow", "nan.safetensors", "--html", "report.html")
    assert result.code == 0, result.err
    said = "weight_hh_l0 of layer 0 of model[0] is not finite (nan at (1, 1))"
    assert said in result.out
    assert said in Path("report.html").read_text(encoding="utf-8")


@without_pictures
def test_dropout_comes_from_the_seed(bptt_command: CommandLine, folder: Path) -> None:
    model = bptt.Sequential(bptt.LSTM(3, 8, 2, dropout=0.5), bptt.Dropout(0.5), bptt.Linear(8, 1))
    bptt.save("dropout.safetensors", model)

    def norms(seed: int) -> Any:
        options = ("--data", "rows.npz", "--json", "--seed", seed)
        return bptt_command("gradflow", "dropout.safetensors", *options).figures["dh_norm"]

    assert norms(1) == norms(1) != norms(2)


@without_pictures
def test_characters_the_model_has_not_seen_are_left_out(bptt_command: CommandLine, folder: Path) -> None:
    Path("more.txt").write_text("a-b!c" * 20, encoding="utf-8")
    result = bptt_command("gradflow", "text.safetensors", "--data", "more.txt", "--rows", 1)
    assert "rows x steps: 1 x 60" in result.out


def _bad_files() -> None:
    files = {
        "bytes.npy": b"hello",
        "bytes.npz": b"PK\x03\x04 and no more",
        "binary.csv": b"\xff\x00\xfe",
        "ragged.csv": b"1,2,3\n1,2\n",
        "words.csv": b"a,b,c\n1,x,3\n",
        "empty.csv": b"a,b,c\n",
        "binary.txt": b"\xff\xfe\xfd",
        "other.txt": b"xyz",
        "broken.safetensors": b"\x08\x00\x00\x00\x00\x00\x00\x00{}",
    }
    for name, content in files.items():
        Path(name).write_bytes(content)
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("none.npy", np.zeros((0, 3)))
    np.save("complex.npy", np.zeros((4, 3), complex))
    np.save("deep.npy", np.zeros((4, 3, 2, 3)))
    np.save("wide.npy", np.zeros((40, 5)))
    np.savez("two.npz", a=1, b=2)
    bptt.save("linear.safetensors", bptt.Linear(3, 2))
    bptt.save("symbols.safetensors", bptt.Sequential(bptt.Embedding(3, 4), bptt.GRU(4, 6)))
    Path("folder.npy").mkdir()


N, S = "numbers.safetensors", "text.safetensors"
BAD: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no model": (("none.safetensors",), ("none.safetensors", "No such file")),
    "a text as model": (("abc.txt",), ("abc.txt", "safetensors")),
    "a folder as model": (("folder.npy",), ("folder.npy", "directory", "bptt.save")),
    "text without a vocabulary": (
        ("symbols.safetensors", "--data", "abc.txt"),
        ("abc.txt", "without a vocabulary", "leave --data out"),
    ),
    "a broken model": (("broken.safetensors",), ("broken.safetensors",)),
    "no recurrent layer": (("linear.safetensors",), ("linear.safetensors", "no recurrent layer")),
    "no text": ((S, "--data", "none.txt"), ("none.txt", "No such file")),
    "no array": ((N, "--data", "none2.npy"), ("none2.npy", "No such file")),
    "a folder": ((N, "--data", "folder.npy"), ("folder.npy", "directory")),
    "no .npy": ((N, "--data", "bytes.npy"), ("bytes.npy", "not a complete .npy")),
    "no .npz": ((N, "--data", "bytes.npz"), ("bytes.npz", "not a complete .npz")),
    "pickled objects": ((N, "--data", "objects.npy"), ("objects.npy", "plain numbers")),
    "no steps": ((N, "--data", "none.npy"), ("none.npy", "at least one step")),
    "complex": ((N, "--data", "complex.npy"), ("complex.npy", "complex128")),
    "four axes": ((N, "--data", "deep.npy"), ("deep.npy", "4 axes")),
    "too wide": ((N, "--data", "wide.npy"), ("wide.npy", "3 numbers per step", "got 5")),
    "two arrays": ((N, "--data", "two.npz"), ("two.npz", "a, b", "named x")),
    "binary CSV": ((N, "--data", "binary.csv"), ("binary.csv", "a binary file")),
    "ragged CSV": ((N, "--data", "ragged.csv"), ("ragged.csv", "line 2 has 2")),
    "words in a CSV": ((N, "--data", "words.csv"), ("words.csv", "'x'")),
    "a CSV of names": ((N, "--data", "empty.csv"), ("empty.csv", "no rows")),
    "text for numbers": ((N, "--data", "abc.txt"), ("abc.txt", "pass a file of numbers")),
    "numbers for text": ((S, "--data", "series.npy"), ("series.npy", "pass a text file")),
    "binary text": ((S, "--data", "binary.txt"), ("binary.txt", "UTF-8")),
    "another alphabet": ((S, "--data", "other.txt"), ("other.txt", "no character that the model knows")),
    "a picture of no format": ((N, "--out", "x.pdf"), (".png or .svg", "x.pdf")),
    "a picture nowhere": ((N, "--out", "none/x.png"), ("none",)),
    "a report nowhere": ((N, "--html", "none/x.html"), ("none",)),
    "a report over the model": ((N, "--html", N), (N, "cannot be overwritten")),
    "a report over the data": (
        (N, "--data", "series.npy", "--html", "series.npy"),
        ("series.npy", "is an input"),
    ),
    "two in one": ((N, "--out", "a.png", "--html", "a.png"), ("a.png", "must differ")),
}


def test_bad_file_is_one_line(bptt_command: CommandLine, folder: Path, subtests: pytest.Subtests) -> None:
    _bad_files()
    for name in BAD:
        with subtests.test(name):
            before = _contents(folder)
            arguments, words = BAD[name]
            _fails(bptt_command("gradflow", *arguments), *words)
            assert _contents(folder) == before


def _contents(folder: Path) -> dict[str, int]:
    return {path.name: zlib.crc32(path.read_bytes()) for path in folder.iterdir() if path.is_file()}


def _fails(result: Result, *words: str) -> None:
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert line.startswith("bptt: ")
    for word in words:
        assert word in line


def test_without_matplotlib(bptt_command: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "available", lambda: False)
    result = bptt_command("gradflow", N)
    assert result.code == 0
    assert "vanishing" in result.out
    assert "pip install 'bptt[plot]'" in result.err
    assert not Path("numbers-gradflow.png").exists()
    _fails(bptt_command("gradflow", N, "--html", "x.html"), "pip install 'bptt[plot]'")
    assert "picture" not in json.loads(bptt_command("gradflow", N, "--json").out)
