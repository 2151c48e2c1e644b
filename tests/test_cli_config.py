"""`--config`: options from a TOML file, and the command line, which wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commandline import CommandLine, fails, weather, write_csv

import bptt
from bptt.cli import config, parser


@pytest.fixture
def table(folder: Path) -> Path:
    """160 rows of temperature and wind."""
    return write_csv(folder / "weather.csv", weather())


CONFIG = """
# dashes or underscores
hidden = 4
window = 6
epochs = 1
learning-rate = 1e-2
clip_state = 0.5
clip = "auto"
columns = ["wind", "temperature"]
target = "wind"
no-standardize = true
json = false
"""


def test_file_is_as_the_command_line(bptt_command: CommandLine, table: Path) -> None:
    Path("c.toml").write_text(CONFIG)
    by_file = bptt_command("train", "csv", table, "--config", "c.toml", "--json").figures
    options = ("--hidden", 4, "--window", 6, "--epochs", 1, "--learning-rate", 0.01, "--clip-state", 0.5)
    more = ("--clip", "auto", "--columns", "wind,temperature", "--target", "wind", "--no-standardize")
    by_hand = bptt_command("train", "csv", table, "--json", *options, *more).figures
    for figures in (by_file, by_hand):
        del figures["seconds"]
    assert by_file == by_hand
    assert by_file["target"] == ["wind"]


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("header = false", "--no-header"),
        ("header = true", "--header"),
        ("no-header = true", "--no-header"),
        ("no_header = false", "--header"),
        ("json = false", None),
        ("no-standardize = false", None),
        ("no-standardize = true", "--no-standardize"),
    ],
)
def test_switches(folder: Path, line: str, option: str | None) -> None:
    """A switch that is false is the opposite switch, or the default."""
    Path("c.toml").write_text(line)
    command = parser().parse_args(["train", "csv", "a.csv", "--config", "c.toml"]).command
    by_hand = ["train", "csv", "a.csv"] + [option] * (option is not None)
    merged = config.merged(["train", "csv", "a.csv"], command, Path("c.toml"))
    assert merged == [*by_hand[:2], *by_hand[3:], "a.csv"]


@pytest.mark.parametrize("kind", ["text", "csv", "npz"])
def test_no_switch_is_ignored(folder: Path, kind: str) -> None:
    """Of every switch, true and false mean what the command line can say."""
    arguments = ["train", kind, "a", "--config", "c.toml"]
    command = parser().parse_args(arguments).command
    switches = [one for one in command._actions if one.nargs == 0 and one.dest != "help"]
    assert switches
    for switch in switches:
        for value in (True, False):
            Path("c.toml").write_text(f"{switch.option_strings[-1][2:]} = {str(value).lower()}\n")
            options = parser().parse_args(config.merged(arguments, command, Path("c.toml")))
            assert getattr(options, switch.dest) == (switch.const if value else not switch.const)


@pytest.mark.parametrize("first", ["a,b", "1,2"])
def test_a_file_without_a_header(bptt_command: CommandLine, folder: Path, first: str) -> None:
    Path("a.csv").write_text(f"{first}\n" + "".join(f"{a},{b}\n" for a, b in weather().tolist()))
    Path("c.toml").write_text("header = false\n")
    result = bptt_command("train", "csv", "a.csv", "--config", "c.toml", "--epochs", 1, "--hidden", 2)
    if first == "1,2":
        assert "161 rows" in result.err
    else:
        fails(result, "line 1, column column1, has 'a'")


def test_command_line_wins(bptt_command: CommandLine, table: Path) -> None:
    Path("c.toml").write_text(CONFIG)
    command = ("train", "csv", table, "--json", "--config=c.toml", "--target=temperature", "--epochs", 2)
    figures = bptt_command(*command).figures
    assert figures["target"] == ["temperature"]
    assert figures["epochs"] == 2


def test_rivals_of_the_command_line_are_left_out(
    bptt_command: CommandLine, folder: Path, text_file: Path
) -> None:
    Path("c.toml").write_text("hidden = 8\nembedding = 4\ntruncate = 8\nbatch = 4\nsteps = 3\n")
    command = ("train", "text", text_file, "--json", "--config", "c.toml")
    assert bptt_command(*command).figures["steps"] == 3
    assert bptt_command(*command, "--epochs", 1).figures["steps"] > 3


def test_names_with_commas(bptt_command: CommandLine, folder: Path) -> None:
    rows = "".join(f"{a!r},{b!r}\n" for a, b in weather().tolist())
    Path("t.csv").write_text('"speed, m/s",b\n' + rows)
    Path("c.toml").write_text('columns = ["speed, m/s", "b"]\nhidden = 4\nwindow = 6\nepochs = 1\n')
    figures = bptt_command("train", "csv", "t.csv", "--json", "--config", "c.toml").figures
    assert figures["columns"] == ["speed, m/s", "b"]


BAD = {
    "unknown key": ("hiden = 8", ("unknown key 'hiden'", "'hidden'")),
    "far from any": ("zzz = 8", ("unknown key 'zzz'", "did you mean")),
    "itself": ("config = 'c.toml'", ("unknown key 'config'",)),
    "out of range": ("hidden = 0", ("hidden: expected", "at least 1", "'0'")),
    "of another kind": ("hidden = 'many'", ("hidden: expected", "a whole number", "'many'")),
    "no choice": ("schedule = 'linear'", ("schedule: expected", "'linear'", "cosine")),
    "a truth": ("hidden = true", ("hidden must be a number",)),
    "no truth": ("no-standardize = 1", ("no-standardize must be true or false", "1")),
    "a table": ("[hidden]\nsize = 3", ("hidden must be a number",)),
    "numbers for names": ("columns = [1, 2]", ("columns must be",)),
    "a date": ("hidden = 2020-01-01", ("hidden must be a number",)),
    "no TOML": ("hidden: 8", ("is not TOML", "line 1")),
    "twice": ("hidden = 8\nhidden = 9", ("is not TOML",)),
    "binary": ("\udcff", ("is not TOML",)),
}


def test_bad_files(bptt_command: CommandLine, table: Path, folder: Path, subtests: pytest.Subtests) -> None:
    for name in BAD:
        with subtests.test(name):
            text, words = BAD[name]
            Path("c.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
            result = bptt_command("train", "csv", table, "--config", "c.toml")
            fails(result, "c.toml", *words, code=2)
            assert result.err.count("\n") == 1
            assert {path.name for path in folder.iterdir()} == {"c.toml", "weather.csv"}


def test_no_file(bptt_command: CommandLine, table: Path) -> None:
    fails(bptt_command("train", "csv", table, "--config", "none.toml"), "none.toml", "No such file", code=2)


def test_every_train_command_takes_one(bptt_command: CommandLine, folder: Path) -> None:
    Path("c.toml").write_text("threads = 2\nseed = 0\n")
    for kind in ("text", "csv", "npz"):
        fails(bptt_command("train", kind, "missing", "--config", "c.toml"), "missing")
        assert bptt.get_num_threads() == 2
        bptt.set_num_threads(1)
