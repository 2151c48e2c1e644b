"""README keeps its promises: its example runs as printed, its commands are the two that others rely on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,), (output,) = _blocks("python"), _blocks("text")
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert [path.name for path in tmp_path.iterdir()] == ["waves.safetensors"]
    # Only the digits of the printed output depend on the processor.
    printed, shown = (re.sub(r"\d[\d.e-]*", "0", text).split() for text in (capsys.readouterr().out, output))
    assert printed == shown


def test_two_commands() -> None:
    commands = "".join(_blocks("sh")).splitlines()
    assert commands == ["pip install '.[plot]' && bptt demo", "pip install '.[test]' && pytest"]


def test_files_that_it_names_are_there() -> None:
    for name in re.findall(r"\]\(([^)]+)\)|\b(\w+\.md)\b", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
