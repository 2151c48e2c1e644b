"""README keeps its promises: its example runs as printed, its commands are the two that others rely on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = _blocks("python")
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    losses = names["history"]["loss"]  # type: ignore[index]
    assert np.mean(losses[-10:]) < 0.1 * losses[0]
    assert [path.name for path in tmp_path.iterdir()] == ["sines.safetensors"]
    assert "(128, 32) (1, 50)" in capsys.readouterr().out


def test_two_commands() -> None:
    commands = "".join(_blocks("sh")).splitlines()
    assert commands == ["pip install '.[plot]' && bptt demo", "pip install '.[test]' && pytest"]


def test_files_that_it_names_are_there() -> None:
    for name in re.findall(r"\]\(([^)]+)\)|\b(\w+\.md)\b", README):
        assert (ROOT / (name[0] or name[1])).is_file(), name
