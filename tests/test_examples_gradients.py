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
    """With any seed and any rounding, as the page says."""
    assert bptt.spectral_radius(exploding.build(1)[0])[0] == pytest.approx(exploding.RADIUS, rel=1e-4)
    flow = bptt.gradient_flow(exploding.build(1), exploding.echo(1, 1)[0][0])
    assert flow.verdict == ("exploding",)
    plain, clipped, truncated = exploding.compared(1, exploding.BATCHES)
    exploding.check(1, flow, [plain, clipped, truncated])
    assert len(plain.loss) < len(clipped.loss) == len(truncated.loss) == exploding.BATCHES
    assert "is not finite" in plain.ended
    clipped.loss[-1] = 1e3
    with pytest.raises(
        SystemExit, match=r"clipped at norm 1, seed 1: last loss is 67.*the page says 0 to 3$"
    ):
        exploding.check(1, flow, [plain, clipped, truncated])
    with pytest.raises(SystemExit, match="plain, seed 1: end at a gradient that is not finite is 0"):
        exploding.check(1, flow, [exploding.Run("plain", plain.loss, plain.grad_norm)])


def test_exploding_leaves_picture_and_figures(
    exploding: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    exploding.main(["--batches", "20"])
    assert "exploding" in capsys.readouterr().out
    assert Path("exploding.png").is_file()
    figures = json.loads(Path("exploding.json").read_text(encoding="utf-8"))
    assert [len(run["loss"]) for run in figures["runs"].values()] == [20, 20, 20]
    monkeypatch.setattr("bptt.diagnose.pictures.canvas.available", lambda: False)
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


def test_the_table_of_temporal_order_is_checked(exploding: ModuleType) -> None:
    rows = [
        {"seed": 0, "clipping": "norm 1", "solved": True, "error": 0.005},
        {"seed": 0, "clipping": "none", "solved": False, "error": 0.73},
    ]
    exploding.check_table(rows)
    for k, change in ((0, {"solved": False}), (1, {"solved": True}), (1, {"error": 0.5})):
        with pytest.raises(SystemExit, match="but the page says"):
            exploding.check_table([row | (change if k == at else {}) for at, row in enumerate(rows)])


def test_vanishing_and_what_helps(vanishing: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    vanishing.main(["--seed", "1"])  # exits if a figure is not as the page says
    figures = json.loads(Path("vanishing.json").read_text(encoding="utf-8"))
    assert Path("vanishing.png").is_file()
    rnn, lstm, remembering = figures.values()
    assert rnn["flow"]["verdict"] == lstm["flow"]["verdict"] == ["vanishing"]
    assert remembering["flow"]["verdict"] == ["healthy"]
    assert f"after {vanishing.UPDATES} updates" in capsys.readouterr().out
    vanishing.main(["--table", "--seeds", "2", "--updates", "3"])
    rows = json.loads(Path("vanishing.json").read_text(encoding="utf-8"))
    assert [row["seed"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert {row["network"] for row in rows} == set(figures)


def test_what_vanishing_prints_is_checked(vanishing: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, claim in vanishing.CLAIMS.items():
        vanishing.check(name, 0, claim.horizon[0], claim.right[1])
        for horizon, right in ((claim.horizon[0], claim.right[0] - 0.01), (claim.horizon[1] + 1, 0.6)):
            with pytest.raises(SystemExit, match=f"{name}, seed 0: .* but the page says"):
                vanishing.check(name, 0, horizon, right)
    monkeypatch.setattr(vanishing, "trained", lambda net, data: (np.ones(len(data)), 0.7))
    monkeypatch.setattr(
        vanishing, "recall", lambda seed, batches, rows=2: [(np.ones((120, 2, 1)), None)] * batches
    )
    for arguments in ([], ["--table", "--seeds", "1"]):
        with pytest.raises(SystemExit, match=r"right is 0\.7, but the page says 0\.4 to 0\.6"):
            vanishing.main(arguments)


def test_the_page_says_what_the_scripts_check(vanishing: ModuleType, exploding: ModuleType) -> None:
    page = (EXAMPLES.parent / "docs" / "guide" / "gradient-flow.md").read_text(encoding="utf-8")

    def share(low: float, high: float) -> str:
        return f"{100 * low:.0f} to {100 * high:.0f} %"

    for name, claim in vanishing.CLAIMS.items():
        low, high = claim.horizon
        steps = f"{low}" if low == high else f"{low} to {high}"
        assert f"| {name} | {steps} | {share(*claim.right)} |" in page

    def bounds(low: float, high: float) -> str:
        large = f"{low:.0e}".replace("e+0", "e")
        return f"above {large}" if np.isinf(high) else f"below {high:g}"

    for name, claim in exploding.CLAIMS.items():
        ends = ", then a gradient that is not finite" if claim.ends else ""
        others = " | ".join(bounds(*each) for each in (claim.largest_loss, claim.largest_norm))
        assert f"| {name} | {bounds(*claim.last_loss)}{ends} | {others} |" in page
    assert "between {} and {} per step".format(*exploding.GROWTH) in page
    assert f"more than {exploding.HARD_GUESSING:.0%} are wrong without".replace("%", " %") in page
    for sentence in (
        f"network gets {vanishing.UPDATES} updates by Adam",
        f"a sign and {vanishing.STEPS - 1} steps of noise",
        f"| {exploding.BATCHES} batches |",
        f"recurrent weights of spectral radius {exploding.RADIUS:g} to repeat noise of three steps ago",
        f"{exploding.STEPS}\nsteps at a time",
    ):
        assert sentence in page
