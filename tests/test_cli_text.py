"""`bptt train text`, `bptt generate` and `bptt demo`, on small texts and small models."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine, fails

import bptt
from bptt.cli.models import ngram
from bptt.cli.options import CELLS
from bptt.cli.text import corpus
from bptt.diagnose.pictures import plots

SMALL = ("--hidden", 8, "--embedding", 4, "--truncate", 8, "--batch", 4)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("cell", CELLS)
def test_train_and_generate(bptt_command: CommandLine, folder: Path, text_file: Path, cell: str) -> None:
    options = ("--cell", cell, "--layers", 2, "--dropout", 0.2, "--steps", 12, *SMALL)
    figures = bptt_command("train", "text", text_file, "--json", *options).figures
    assert [path.name for path in folder.iterdir()] == ["text.safetensors"]
    assert figures["model_file"] == "text.safetensors"
    assert figures["steps"] == 12
    for name, nats in figures["validation_nats"].items():
        assert figures["validation_bits"][name] == pytest.approx(nats / np.log(2))
    made = bptt_command("generate", "text.safetensors", "--length", 30, "--prompt", "the ")
    assert made.code == 0
    assert made.out.startswith("the ")
    assert len(made.out) == len("the ") + 30 + len("\n")


def test_seed_decides(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    def losses(seed: int) -> object:
        options = ("--json", "--steps", 5, "--sample", 20, "--dropout", 0.5, "--seed", seed, *SMALL)
        figures = bptt_command("train", "text", text_file, *options).figures
        return figures["validation_nats"]["model"], figures["sample"]

    assert losses(1) == losses(1) != losses(2)


def test_generate_seed_and_temperature(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    assert bptt_command("train", "text", text_file, "--steps", 2, *SMALL).code == 0

    def text(*options: object) -> object:
        return bptt_command("generate", "text.safetensors", "--json", "--length", 40, *options).figures[
            "text"
        ]

    assert text("--seed", 3) == text("--seed", 3) != text("--seed", 4)
    assert text("--temperature", 1e-9, "--seed", 3) == text("--temperature", 1e-9, "--seed", 4)


def test_learns_more_than_pairs(bptt_command: CommandLine, folder: Path) -> None:
    Path("pattern.txt").write_text(
        "abac" * 500, encoding="utf-8"
    )  # what follows an a depends on what came before
    options = ("--steps", 150, "--learning-rate", 0.03, *SMALL)
    figures = bptt_command("train", "text", "pattern.txt", "--json", *options).figures
    nats = figures["validation_nats"]
    assert nats["bigram"] == pytest.approx(np.log(2) / 2, rel=0.02)
    assert nats["model"] < 0.1
    assert figures["beats_bigram"]


def test_says_when_it_has_not_learned(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    result = bptt_command("train", "text", text_file, "--steps", 1, *SMALL)
    assert result.code == 0
    assert "not better than the bigram model" in result.out


def test_epochs_are_passes(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    one, two = (
        bptt_command("train", "text", text_file, "--json", "--epochs", n, *SMALL).figures["steps"]
        for n in (1, 2)
    )
    symbols = len(text_file.read_text(encoding="utf-8"))
    assert one == -(-((symbols - round(symbols / 10) - 1) // 4) // 8)
    assert two == 2 * one


def test_steps_are_updates_of_several_batches(
    bptt_command: CommandLine, folder: Path, text_file: Path
) -> None:
    options = ("--steps", 13, "--accumulate", 4, "--log", "log.csv", *SMALL)
    assert bptt_command("train", "text", text_file, "--json", *options).figures["steps"] == 13
    rates = [line.split(",")[4] for line in Path("log.csv").read_text().splitlines()[1:]]
    assert float(rates[0]) == 8e-3
    assert float([rate for rate in rates if rate][-1]) < 1e-3


def _bad_texts(folder: Path) -> dict[str, tuple[str, str]]:
    """Name of a bad text -> its path and a word of the message."""
    contents = {"empty": b"", "one": b"aaaa" * 100, "short": b"abc", "binary": b"\xff\xfe\x00" * 100}
    for name, content in contents.items():
        (folder / f"{name}.txt").write_bytes(content)
    words = {"empty": "empty text", "one": "only 'a'", "short": "at least 33 symbols", "binary": "utf-8"}
    return {name: (f"{name}.txt", words[name]) for name in contents} | {
        "missing": ("missing.txt", "No such file"),
        "folder": (".", "directory"),
    }


@pytest.mark.parametrize("name", ["empty", "one", "short", "binary", "missing", "folder"])
def test_bad_text(bptt_command: CommandLine, folder: Path, name: str) -> None:
    path, word = _bad_texts(folder)[name]
    fails(bptt_command("train", "text", path, "--steps", 1, *SMALL), path, word)
    assert not list(folder.glob("*.safetensors"))


def test_encoding(bptt_command: CommandLine, folder: Path) -> None:
    Path("latin.txt").write_bytes("Übung macht den Meister. ".encode("latin-1") * 40)
    options = ("--steps", 1, *SMALL)
    fails(bptt_command("train", "text", "latin.txt", *options), "latin.txt", "utf-8")
    fails(
        bptt_command("train", "text", "latin.txt", "--encoding", "klingon", *options), "latin.txt", "klingon"
    )
    assert bptt_command("train", "text", "latin.txt", "--encoding", "latin-1", *options).code == 0


@pytest.mark.parametrize("option", ["--model", "--plot"])
@pytest.mark.parametrize("kind", ["no folder", "folder", "below a file", "the text"])
def test_bad_output_is_found_before_training(
    bptt_command: CommandLine,
    folder: Path,
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    kind: str,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr("bptt.cli.text.training.train", never)
    before = text_file.read_bytes()
    path = {
        "no folder": "none/out",
        "folder": ".",
        "below a file": f"{text_file}/out",
        "the text": text_file,
    }[kind]
    fails(bptt_command("train", "text", text_file, option, path, *SMALL), str(path).split("/")[0])
    assert list(folder.iterdir()) == []
    assert text_file.read_bytes() == before


def test_one_file_for_two_outputs(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    fails(bptt_command("train", "text", text_file, "--model", "x", "--plot", "x", *SMALL), "two names")


def test_model_too_large(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    fails(bptt_command("train", "text", text_file, "--hidden", 2**30, "--batch", 4, "--truncate", 8))
    assert list(folder.iterdir()) == []


def test_bad_models(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    fails(bptt_command("generate", "missing.safetensors"), "missing.safetensors", "No such file")
    fails(bptt_command("generate", text_file), "text.txt")
    bptt.save("other.safetensors", bptt.Linear(2, 3))
    fails(bptt_command("generate", "other.safetensors"), "no text model")
    other = bptt.Sequential(bptt.Embedding(3, 2), bptt.LSTM(2, 2), bptt.Linear(2, 3))
    bptt.save("other.safetensors", other, extra={"vocabulary": "ab"})
    fails(bptt_command("generate", "other.safetensors"), "no text model")


def test_unknown_character_in_prompt(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    assert bptt_command("train", "text", text_file, "--steps", 1, *SMALL).code == 0
    fails(bptt_command("generate", "text.safetensors", "--prompt", "the é"), "é")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the standard library: forty short modules, one of them not ASCII."""
    place = tmp_path / "library"
    place.mkdir()
    for number in range(40):
        body = "".join(f"def function_{k}(argument):\n    return argument * {k}\n\n" for k in range(220))
        (place / f"module_{number:02}.py").write_text(body, encoding="utf-8")
    (place / "alpha.py").write_text("# \u03b1\n" * 100, encoding="utf-8")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(place))
    return place


def test_demo(bptt_command: CommandLine, folder: Path, library: Path) -> None:
    options = ("--steps", 20, "--hidden", 8, "--embedding", 4, "--sample", 30)
    result = bptt_command("demo", *options)
    assert result.code == 0, result.err
    for word in ("unigram model", "bigram model", "LSTM, 2 layers of 8", "nats/char", "bits/char"):
        assert word in result.out
    assert {path.name for path in folder.iterdir()} == {"bptt-demo.safetensors", "bptt-demo.png"}
    assert (folder / "bptt-demo.png").read_bytes().startswith(PNG)
    figures = bptt_command("demo", "--json", *options).figures
    assert figures["sample"].startswith("def ")
    assert len(figures["sample"]) == len("def ") + 30
    assert bptt_command("generate", "bptt-demo.safetensors", "--length", 5).code == 0


def test_demo_learns_real_text(bptt_command: CommandLine, folder: Path) -> None:
    """A tenth of the demo's updates, of a smaller model, already beat the bigram model."""
    options = ("--steps", 100, "--layers", 1, "--hidden", 64, "--learning-rate", 0.01)
    figures = bptt_command("demo", "--json", *options).figures
    nats = figures["validation_nats"]
    assert nats["model"] < nats["bigram"] - 0.1
    assert nats["bigram"] < nats["unigram"]
    assert figures["beats_bigram"]


def test_demo_without_matplotlib(
    bptt_command: CommandLine, folder: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    result = bptt_command("demo", "--steps", 2, "--hidden", 4)
    assert result.code == 0
    assert "pip install 'bptt[plot]'" in result.err
    assert [path.name for path in folder.iterdir()] == ["bptt-demo.safetensors"]


def test_demo_without_source(
    bptt_command: CommandLine, folder: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(folder))
    fails(bptt_command("demo"), str(folder), "bptt train text FILE")


def test_corpus(library: Path) -> None:
    training, validation = corpus.standard_library(library)
    modules = [path.read_text(encoding="utf-8") for path in sorted(library.glob("module_*.py"))]
    assert training == "".join(modules[:19] + modules[20:39])
    assert validation == modules[19] + modules[39]
    short, _ = corpus.standard_library(library, limit=30 * len(modules[0]))
    assert len(short) == 29 * len(modules[0])


def test_corpus_of_this_machine() -> None:
    training, validation = corpus.standard_library()
    assert training.isascii()
    assert 1_000_000 < len(training) < corpus.LIMIT
    assert 100_000 < len(validation) < len(training) / 5


def test_ngrams_by_hand() -> None:
    train = np.array([0, 1, 0, 1, 0, 2])
    previous, target = np.array([0, 0, 1]), np.array([1, 2, 0])

    def add_k(k: float) -> tuple[float, float]:
        one = np.array([3 + k, 2 + k, 1 + k]) / (6 + 3 * k)
        after_0 = np.array([k, 2 + k, 1 + k]) / (3 + 3 * k)
        after_1 = np.array([2 + k, k, k]) / (2 + 3 * k)
        return -np.log(one[target]).mean(), -np.log([after_0[1], after_0[2], after_1[0]]).mean()

    unigram, bigram = (min(losses) for losses in zip(*map(add_k, ngram.SMOOTHING), strict=True))
    assert ngram.unigram_loss(train, target, 3) == pytest.approx(unigram)
    assert ngram.bigram_loss(train, previous, target, 3) == pytest.approx(bigram)
