"""The benchmark of a training iteration runs, checks itself and prints what it says it prints."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "iteration.py"
SMALL = ["--hidden", "8", "--batch", "3", "--steps", "4", "--symbols", "5", "--rounds", "3"]


def test_benchmark_of_an_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="PyTorch is the peer of this benchmark")
    main = runpy.run_path(str(SCRIPT))["main"]
    main([*SMALL, "--json"])
    figures = json.loads(capsys.readouterr().out)
    medians = {name: row["median"] for name, row in figures["milliseconds"].items()}
    assert figures["speedup"] == pytest.approx(medians["torch"] / medians["bptt"])
    assert figures["loss_difference"] >= 0
    main(SMALL)
    assert "times as fast as torch" in capsys.readouterr().out
