"""`bptt completion`: what the shells offer for a line that is not complete."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.commandline import CommandLine

from bptt.cli import completion, parser
from bptt.cli.options import CELLS

LINES: dict[str, list[str]] = {
    "bptt tr": ["train"],
    "bptt train ": ["csv", "npz", "text"],
    "bptt train csv --delim": ["--delimiter"],
    "bptt train csv a.csv --cell ": sorted(CELLS),
    "bptt train csv a.csv --cell lstm-p": ["lstm-peephole"],
    "bptt forecast m a.csv --thousands ": sorted([",", ".", "'", "_", "space", "none"]),
    "bptt completion ": ["bash", "fish", "zsh"],
    "bptt predict m --ou": ["--out"],
    "bptt train text --schedule cosine --opti": ["--optimizer"],
}
BASH = """
source "$1"
while IFS= read -r line; do
  read -ra COMP_WORDS <<< "$line"
  [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _bptt
  echo "${COMPREPLY[*]}"
done
"""
FISH = 'source $argv[1]; while read -l line; echo (complete -C "$line" | string split -f1 \\t); end'


def script(bptt_command: CommandLine, shell: str) -> Path:
    result = bptt_command("completion", shell)
    assert (result.code, result.err) == (0, "")
    path = Path(f"script.{shell}")
    path.write_text(result.out)
    return path


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes(
    bptt_command: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    Path("bptt").write_text("#!/bin/sh\n")  # fish completes only commands that it finds
    Path("bptt").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    path = script(bptt_command, shell)
    arguments = ["-c", BASH, "bash", path] if shell == "bash" else ["-c", FISH, path]
    done = subprocess.run(
        [program, *arguments], input="".join(f"{line}\n" for line in LINES), capture_output=True, text=True
    )
    assert done.stderr == ""
    offered = dict(zip(LINES, map(str.split, done.stdout.splitlines()), strict=True))
    hidden = {"."} if shell == "fish" else set()  # fish takes it for the start of a hidden file
    for line, words in LINES.items():
        assert sorted(offered[line]) == sorted({*words} - hidden), line


def test_every_option_is_in_the_scripts(bptt_command: CommandLine, folder: Path) -> None:
    commands = {command.words: command for command in completion.walk(parser())}
    assert {"", "train", "train csv", "gradflow", "completion"} <= set(commands)
    assert commands["train csv"].valued["--target"].startswith("columns to forecast")
    assert "--json" in commands["train csv"].flags
    for shell in completion.SHELLS:
        text = script(bptt_command, shell).read_text()
        for command in commands.values():
            for option in (*command.flags, *command.valued):
                name = f"-l {option[2:]} " if option.startswith("--") else f"-s {option[1:]} "
                assert (name if shell == "fish" else option) in text
    assert (
        script(bptt_command, "zsh").read_text().splitlines()[1:]
        == Path("script.bash").read_text().splitlines()
    )
    bash, zsh = (Path(f"script.{shell}").read_text().splitlines() for shell in ("bash", "zsh"))
    assert zsh[1:] == bash
