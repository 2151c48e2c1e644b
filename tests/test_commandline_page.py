"""docs/guide/commandline.md names commands and options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.commandline import CommandLine, weather, write_csv

from bptt.cli import parser

PAGE = (Path(__file__).parent.parent / "docs" / "guide" / "commandline.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_options_are_there(bptt_command: CommandLine) -> None:
    kinds = (["train", "text"], ["train", "csv"], ["train", "npz"])
    commands = (*kinds, ["evaluate"], ["forecast"], ["gradflow"], ["import"], ["export"])
    helps = "".join(bptt_command(*command, "--help").out for command in commands)
    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert re.search(rf"{option}\b", helps), option


def test_commands_parse() -> None:
    for line in "".join(_blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "bptt"
        parser().parse_args(arguments)


def test_the_page_works_as_written(bptt_command: CommandLine, folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'bptt[plot]'")
    write_csv(folder / "weather.csv", weather(700))
    (config,) = _blocks("toml")
    (folder / "weather.toml").write_text(config + "epochs = 2\nhidden = 4\n")
    series, sequences, runs, others = _blocks("sh")
    del sequences, others  # of data that are not here
    for block in (series.replace("--season", "--epochs 2 --hidden 4 --season"), runs):
        for line in block.splitlines():
            result = bptt_command(*shlex.split(line)[1:])
            assert result.code == 0, result.err
    assert len(Path("next.csv").read_text().splitlines()) == 1 + 12
