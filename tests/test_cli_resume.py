"""`--checkpoint` and `--resume`: a run that was stopped goes on to the bits of one that never was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.commandline import CommandLine, Result, fails, weather, write_csv

import bptt

RUN = ("--checkpoint", "run.safetensors")
Command = Callable[..., Result]


def _commands(folder: Path, text_file: Path) -> dict[str, tuple[object, ...]]:
    write_csv(folder / "weather.csv", weather())
    x = np.random.default_rng(0).standard_normal((60, 5, 2))
    np.savez("signs.npz", x=x, y=(x.sum(axis=(1, 2)) > 0).astype(int))
    drop = ("--dropout", 0.3, "--precision", "bfloat16", "--hidden", 4, "--model", "model")
    small = ("--embedding", 4, "--truncate", 8, "--batch", 4)
    return {
        "text, steps": ("text", text_file, "--steps", 40, "--accumulate", 3, *small, *drop),
        "text, epochs": ("text", text_file, "--epochs", 3, *small, *drop),
        "csv": ("csv", "weather.csv", "--window", 6, "--epochs", 5, "--patience", 2, "--batch", 16, *drop),
        "npz": (
            "npz",
            "signs.npz",
            "--epochs",
            6,
            "--clip",
            "auto",
            "--warm-up",
            3,
            "--batch",
            8,
            "--bidirectional",
            *drop,
        ),
    }


def _interrupted_at(monkeypatch: pytest.MonkeyPatch, update: int) -> None:
    """Ctrl-C at the begin of this update, once."""
    step, made = bptt.Adam.step, [0]

    def stopping(self: bptt.Adam, model: bptt.Module) -> None:
        made[0] += 1
        if made[0] == update:
            raise KeyboardInterrupt
        step(self, model)

    monkeypatch.setattr(bptt.Adam, "step", stopping)


def _parameters() -> npt.NDArray[np.float32]:
    return bptt.load("model").flat_parameters


@pytest.mark.parametrize("at", [1, 13, 17, 25])
@pytest.mark.parametrize("name", ["text, steps", "text, epochs", "csv", "npz"])
def test_same_bits(
    bptt_command: CommandLine,
    folder: Path,
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at: int,
) -> None:
    command = ("train", *_commands(folder, text_file)[name])
    whole = bptt_command(*command, "--json").figures
    parameters = _parameters()
    Path("model").unlink()
    with monkeypatch.context() as patch:
        _interrupted_at(patch, at)
        stopped = bptt_command(*command, *RUN)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1].startswith("bptt: interrupted; --resume continues from")
    assert not Path("model").exists()
    figures = bptt_command(*command, "--json", *RUN, "--resume").figures
    np.testing.assert_array_equal(_parameters(), parameters)
    for one in (whole, figures):
        del one["seconds"]
    assert figures == whole


def test_killed_between_updates(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    command = ("train", *_commands(folder, text_file)["csv"])
    assert bptt_command(*command).code == 0
    parameters = _parameters()
    files: list[bytes] = []
    write = bptt.files.atomic.replace

    def kept(path: Path, content: bytes, verify: Callable[[Path], object]) -> None:
        if path.name == "run.safetensors":
            files.append(content)
        write(path, content, verify)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bptt.files.atomic, "replace", kept)
        assert bptt_command(*command, *RUN, "--checkpoint-every-updates", 1).code == 0
    for content in files[1::5]:
        Path("run.safetensors").write_bytes(content)
        assert bptt_command(*command, *RUN, "--resume").code == 0
        np.testing.assert_array_equal(_parameters(), parameters)


def test_longer_where_the_rate_does_not_fall(
    bptt_command: CommandLine, folder: Path, text_file: Path
) -> None:
    base = _commands(folder, text_file)["csv"]
    command = ("train", *base, "--schedule", "constant", "--patience", 0)
    assert bptt_command(*command, "--epochs", 7).code == 0
    parameters = _parameters()
    assert bptt_command(*command, *RUN, "--epochs", 3).code == 0
    assert bptt_command(*command, *RUN, "--epochs", 7, "--resume").code == 0
    np.testing.assert_array_equal(_parameters(), parameters)
    fails(
        bptt_command("train", *base, *RUN, "--patience", 0, "--epochs", 9, "--resume"),
        "--schedule was constant, now cosine",
        "--epochs",
    )


def test_checkpoint_is_a_model(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    for name in ("text, epochs", "csv", "npz"):
        command = _commands(folder, text_file)[name]
        assert bptt_command("train", *command, *RUN).code == 0
        assert bptt_command("evaluate", "run.safetensors", command[1]).code == 0
        Path("run.safetensors").unlink()


CHANGES = {
    "--hidden": (("--hidden", 5), "--hidden was 4, now 5"),
    "--seed": (("--seed", 1), "--seed was 0, now 1"),
    "--window": (("--window", 7), "--window was 6, now 7"),
    "--epochs": (("--epochs", 9), "--epochs was 5, now 9"),
    "--optimizer": (("--optimizer", "sgd"), "--optimizer was adam, now sgd"),
    "--clip": (("--clip", "off"), "--clip was 1.0, now None"),
    "--target": (("--target", "wind"), "--target was None, now ['wind']"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_options_are_refused(
    bptt_command: CommandLine, folder: Path, text_file: Path, name: str
) -> None:
    command = ("train", *_commands(folder, text_file)["csv"], *RUN)
    assert bptt_command(*command).code == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    options, words = CHANGES[name]
    fails(bptt_command(*command, "--resume", *options), "run.safetensors", words)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_what_does_not_decide_the_bits_may_differ(
    bptt_command: CommandLine, folder: Path, text_file: Path
) -> None:
    command = ("train", *_commands(folder, text_file)["csv"], *RUN)
    assert bptt_command(*command).code == 0
    Path("weather.csv").rename("moved.csv")
    moved = ("train", "csv", "moved.csv", *command[3:])
    options = ("--threads", 2, "--model", "other", "--log", "log.csv", "--recompute", 3)
    assert bptt_command(*moved, "--resume", *options).code == 0


def test_other_data_are_refused(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    command = ("train", *_commands(folder, text_file)["csv"], *RUN)
    assert bptt_command(*command).code == 0
    values = weather()
    values[3, 0] += 1e-9
    write_csv(Path("weather.csv"), values)
    fails(bptt_command(*command, "--resume"), "run.safetensors", "the data's checksum")


def test_nothing_is_lost(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    base = ("train", *_commands(folder, text_file)["csv"])
    command = (*base, *RUN)
    fails(bptt_command(*command, "--resume"), "no run.safetensors", "leave --resume out")
    assert bptt_command(*command).code == 0
    whole = Path("run.safetensors").read_bytes()
    fails(bptt_command(*command), "run.safetensors already exists", "--resume")
    assert Path("run.safetensors").read_bytes() == whole
    fails(bptt_command(*base, "--resume"), "--resume needs --checkpoint")
    fails(
        bptt_command(*base, "--checkpoint-every-updates", 3), "--checkpoint-every-updates needs --checkpoint"
    )
    fails(bptt_command(*base, "--checkpoint", "model"), "model", "already exists")
    fails(bptt_command(*base, "--checkpoint", "model", "--resume"), "two names")
    fails(bptt_command(*base, "--checkpoint", "none/run"), "no folder none")


def test_bad_checkpoints(bptt_command: CommandLine, folder: Path, text_file: Path) -> None:
    command = ("train", *_commands(folder, text_file)["csv"], *RUN)
    assert bptt_command(*command).code == 0
    whole = Path("run.safetensors").read_bytes()
    half = whole[: len(whole) // 2]
    newer = whole.replace(rb"{\"format\": 1,", rb"{\"format\": 2,")
    for content, word in ((half, "cut short"), (newer, "upgrade bptt"), (b"", "not a safetensors file")):
        Path("run.safetensors").write_bytes(content)
        fails(bptt_command(*command, "--resume"), "run.safetensors", word)
        assert Path("run.safetensors").read_bytes() == content
    Path("model").replace("run.safetensors")
    fails(bptt_command(*command, "--resume"), "no run of 'bptt train'")
