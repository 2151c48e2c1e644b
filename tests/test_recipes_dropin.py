"""Models of other libraries train the same in bptt: the scripts that docs/howto/pytorch.md shows."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "recipes"
SCRIPTS = {"recurrent_ppo": "sb3_contrib", "forecast_passengers": "neuralforecast"}
"""The scripts, and the package that each needs."""
MOST_LINES = 25


def run(monkeypatch: pytest.MonkeyPatch, name: str, **constants: int) -> dict[str, object]:
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip(SCRIPTS[name], reason="the library of this script", exc_type=ImportError)
    monkeypatch.syspath_prepend(str(FOLDER))
    try:
        variables: dict[str, object] = import_module("scripts").run(name, FOLDER / "dropin", **constants)
    finally:
        sys.modules.pop("scripts", None)
    return variables


def test_the_page_links_short_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = (FOLDER.parent.parent / "docs" / "howto" / "pytorch.md").read_text("utf-8")
    try:
        scripts = import_module("scripts")
        assert {path.stem for path in (FOLDER / "dropin").glob("*.py")} == set(SCRIPTS)
        for name in SCRIPTS:
            assert scripts.count_lines(FOLDER / "dropin" / f"{name}.py") <= MOST_LINES
            assert f"(../../examples/recipes/dropin/{name}.py)" in page
    finally:
        sys.modules.pop("scripts", None)


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore")  # of the other libraries
@pytest.mark.usefixtures("one_torch_thread")
def test_recurrent_ppo_trains_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    difference = run(monkeypatch, "recurrent_ppo", STEPS=256)["difference"]
    assert isinstance(difference, float)
    assert difference < 1e-5
    assert "after 256 steps" in capsys.readouterr().out


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_torch_thread")
def test_a_forecaster_trains_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # the library writes logs
    difference = run(monkeypatch, "forecast_passengers", UPDATES=10)["difference"]
    assert difference < 1e-5
    assert "forecasts differ by at most" in capsys.readouterr().out
