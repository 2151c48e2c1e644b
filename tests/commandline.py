"""Runs the command `bptt` inside the test process, and makes data for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bptt.cli import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def figures(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


class CommandLine:
    """Call it with arguments; progress bars stay out of the tests' output."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Result:
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *self._capture.readouterr())


def fails(result: Result, *words: str, code: int = 1) -> None:
    """It ended with one sentence on standard error, which has these words, and printed nothing else."""
    assert (result.code, result.out) == (code, "")
    last = result.err.splitlines()[-1]
    assert last.startswith("bptt")
    assert "Traceback" not in result.err
    for word in words:
        assert word in last, f"{word!r} is not in {last!r}"


def weather(rows: int = 160, seed: int = 0) -> npt.NDArray[np.float64]:
    """Temperature and wind (rows, 2), with a season of 24 rows."""
    t, noise = np.arange(rows), np.random.default_rng(seed).normal(0, 0.1, (rows, 2))
    return np.stack((20 + 5 * np.sin(t * np.pi / 12), 3 * np.cos(t * np.pi / 12)), axis=1) + noise


def write_csv(path: Path, values: npt.NDArray[np.float64]) -> Path:
    """A table of days, which are no numbers, temperature and wind."""
    lines = [f"day {i},{row[0]!r},{row[1]!r}\n" for i, row in enumerate(values.tolist())]
    path.write_text("day,temperature,wind\n" + "".join(lines), encoding="utf-8")
    return path
