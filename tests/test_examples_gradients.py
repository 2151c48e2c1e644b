"""The examples of gradients that explode and vanish: what they show, and what they leave."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import bptt

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def exploding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.chdir(tmp_path)
    return example("exploding", monkeypatch)


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.chdir(tmp_path)
    return example("vanishing", monkeypatch)


def test_exploding_loss_and_its_remedies(exploding: ModuleType) -> None:
    flow = bptt.gradient_flow(exploding.build(2), exploding.echo(2, 1)[0][0])
    assert flow.verdict == ("exploding",)
    assert bptt.spectral_radius(exploding.build(2)[0])[0] == pytest.approx(exploding.RADIUS, rel=1e-4)
    plain, clipped, truncated = exploding.compared(2, 300)
    # How far the loss ever rose above what had been reached: with this seed past all bounds, however the sums
    # are rounded; with others rounding decides.
    rises = [(run.loss / np.minimum.accumulate(run.loss)).max() for run in (plain, clipped, truncated)]
    assert rises[0] > 1e6
    assert max(rises[1:]) < 2.5
    assert len(plain.loss) < len(clipped.loss) == len(truncated.loss) == 300
    assert "is not finite" in plain.ended
    assert truncated.loss[-20:].mean() < clipped.loss[-20:].mean() < clipped.loss[0]


def test_exploding_leaves_picture_and_figures(
    exploding: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    exploding.main(["--batches", "20"])
    assert "exploding" in capsys.readouterr().out
    assert Path("exploding.png").is_file()
    figures = json.loads(Path("exploding.json").read_text(encoding="utf-8"))
    assert [len(run["loss"]) for run in figures["runs"].values()] == [20, 20, 20]
    monkeypatch.setattr("bptt.diagnose.canvas.available", lambda: False)
    Path("exploding.png").unlink()
    exploding.main(["--batches", "2"])
    assert "pip install 'bptt[plot]'" in capsys.readouterr().out
    assert not Path("exploding.png").exists()


def test_temporal_order_is_what_it_says(exploding: ModuleType) -> None:
    x, target = exploding.temporal_order(np.random.default_rng(0), 60, 200)
    assert x.shape == (60, 200, 6)
    assert (x.sum(-1) == 1).all()
    symbols = x.argmax(-1)
    for row in range(200):
        at = np.flatnonzero(symbols[:, row] < 2)
        assert len(at) == 2
        assert 6 <= at[0] < 12
        assert 30 <= at[1] < 36
        assert target[row] == 2 * symbols[at[0], row] + symbols[at[1], row]
    assert len(set(target.tolist())) == 4


def test_ten_wrong_of_a_thousand_are_not_fewer_than_one_percent(exploding: ModuleType) -> None:
    success = exploding.Success()

    class Model:
        """Answers rightly, but for ten, spread unevenly over the lengths."""

        def __init__(self) -> None:
            self.wrong = iter([3, 3, 0, 1, 1, 1, 1, 0, 0, 0])
            self.targets = iter([target for _, target in success.unseen])

        def __call__(self, x: Any) -> tuple[Any, None]:
            target = next(self.targets).copy()
            wrong = next(self.wrong)
            target[:wrong] = (target[:wrong] + 1) % 4
            return np.eye(4)[target], None

    class Run:
        model = Model()

        def stop(self) -> None:
            raise AssertionError("ten wrong of a thousand counted as fewer than 1 %")

    success.epoch_end(Run(), 0)
    assert success.error == 0.01


def test_table(
    exploding: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def threads(**_: Any) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1)  # a module loaded from a path is no other process's to import

    monkeypatch.setattr(exploding, "ProcessPoolExecutor", threads)
    monkeypatch.setattr(exploding, "HARD_CHECK", 5)
    exploding.main(["--table", "--seeds", "2", "--updates", "10"])
    out = capsys.readouterr().out
    assert "clipping norm 1: 0 of 2 seeds solved" in out
    assert "clipping none: 0 of 2 seeds solved" in out
    rows = json.loads(Path("exploding.json").read_text(encoding="utf-8"))
    assert [(row["seed"], row["clipping"], row["updates"]) for row in rows] == [
        (seed, clipping, 10) for seed in (0, 1) for clipping in ("norm 1", "none")
    ]


def test_vanishing_and_what_helps(vanishing: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    vanishing.main(["--updates", "300", "--seed", "1"])
    figures = json.loads(Path("vanishing.json").read_text(encoding="utf-8"))
    assert Path("vanishing.png").is_file()
    rnn, lstm, remembering = figures.values()
    assert rnn["flow"]["verdict"] == lstm["flow"]["verdict"] == ["vanishing"]
    assert remembering["flow"]["verdict"] == ["healthy"]
    assert remembering["right"] > 0.95
    assert max(rnn["right"], lstm["right"]) < 0.6
    assert "after 300 updates" in capsys.readouterr().out
    vanishing.main(["--table", "--seeds", "2", "--updates", "3"])
    rows = json.loads(Path("vanishing.json").read_text(encoding="utf-8"))
    assert [row["seed"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert {row["network"] for row in rows} == set(figures)
