"""The recipes are short, they run, and they beat their baselines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bptt

FOLDER = Path(__file__).parent.parent / "examples" / "recipes"
PAGE = FOLDER.parent.parent / "docs" / "guide" / "recipes.md"
NEEDS = {
    "anomalies": ("sklearn", "pandas", "aeon"),
    "dates": (),
    "forecast_frame": ("sklearn", "pandas", "statsmodels"),
    "from_pytorch": ("sklearn", "torch"),
    "imbalanced": ("sklearn",),
    "labelling": (),
    "static_inputs": ("statsmodels",),
    "streaming": (),
    "tied_words": (),
}
"""The recipes, and the packages that they need."""
SECONDS = {"dates": 15, "from_pytorch": 6, "labelling": 7, "tied_words": 30}
"""Recipes that take more than a few seconds: they are run with one epoch."""


@pytest.fixture
def recipes() -> Iterator[SimpleNamespace]:
    """The shared modules of the recipes, imported as the scripts import them."""
    names = ("scripts", "baselines", "compare", "jobs", "training", "results", "ngrams")
    before = list(sys.path)
    threads = bptt.get_num_threads()
    sys.path[:0] = [str(FOLDER), str(FOLDER / "pytorch"), str(FOLDER.parent)]
    try:
        yield SimpleNamespace(module=import_module)
    finally:
        sys.path[:] = before
        bptt.set_num_threads(threads)
        for name in names:
            sys.modules.pop(name, None)


def run(recipes: SimpleNamespace, name: str, **constants: int) -> dict[str, Any]:
    for package in NEEDS[name]:
        pytest.importorskip(package, reason="needs the extra 'examples' or 'peers'", exc_type=ImportError)
    variables: dict[str, Any] = recipes.module("scripts").run(name, **constants)
    return variables


def test_a_recipe_has_at_most_25_lines(recipes: SimpleNamespace, subtests: pytest.Subtests) -> None:
    scripts = recipes.module("scripts")
    page = PAGE.read_text("utf-8")
    shared = {"baselines", "compare", "jobs", "scripts"}
    assert {path.stem for path in FOLDER.glob("*.py")} - shared == set(NEEDS)
    assert {job.name for job in recipes.module("jobs").JOBS} == set(NEEDS)
    for name in NEEDS:
        with subtests.test(name):
            assert scripts.count_lines(FOLDER / f"{name}.py") <= scripts.LINES == 25
            assert (FOLDER / "pytorch" / f"{name}.py").is_file()
            assert f"(../../examples/recipes/{name}.py)" in page


def test_lines_are_counted_without_blank_lines_and_docstring(
    recipes: SimpleNamespace, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text('"""\nWhat it does.\n"""\n\nimport sys\n\n# a comment counts\nprint(sys.path)\n')
    assert recipes.module("scripts").count_lines(script) == 3


def test_constants_of_a_script_can_be_replaced(recipes: SimpleNamespace, tmp_path: Path) -> None:
    run = recipes.module("scripts").run
    (tmp_path / "script.py").write_text("SEED, EPOCHS = 0, 5\nboth = [SEED, EPOCHS]\n")
    assert run("script", tmp_path)["both"] == [0, 5]
    assert run("script", tmp_path, EPOCHS=1)["both"] == [0, 1]
    with pytest.raises(ValueError, match=r"constants must be among .*\['SEEDS'\]"):
        run("script", tmp_path, SEEDS=1)


@pytest.mark.parametrize("name", NEEDS)
def test_a_recipe_runs_and_prints_one_line(
    recipes: SimpleNamespace, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = run(recipes, name, **({"EPOCHS": 1} if name in SECONDS else {}))
    assert len(capsys.readouterr().out.splitlines()) == 1
    if name == "streaming":
        assert recipe["same"]
    elif name not in SECONDS:
        check_baselines(recipes, name, recipe)


@pytest.mark.grid
@pytest.mark.parametrize("name", SECONDS)
def test_a_slow_recipe_beats_its_baselines(recipes: SimpleNamespace, name: str) -> None:
    check_baselines(recipes, name, run(recipes, name))


@pytest.mark.grid
@pytest.mark.parametrize("name", NEEDS)
def test_the_pytorch_version_reaches_a_similar_result(recipes: SimpleNamespace, name: str) -> None:
    pytest.importorskip("torch", reason="needs the extra 'peers'")
    scripts = recipes.module("scripts")
    recipe, module = run(recipes, name), scripts.run(name, scripts.PYTORCH)
    if name != "streaming":
        figure = job(recipes, name).figure
        assert 0.7 < module[figure] / recipe[figure] < 1.4


def test_a_row_of_the_table_has_means_and_relative_times(recipes: SimpleNamespace) -> None:
    pytest.importorskip("torch", reason="needs the extra 'peers'")
    compare = recipes.module("compare")
    runs = compare.Runs(
        [4.0, 6.0], [50.0, 50.0], [{"calls": 10.0}, {"calls": 20.0}], [(4.0, 50.0), (6.0, 50.0)]
    )
    streaming = job(recipes, "streaming")
    assert compare.row_of(streaming, runs)[2:] == ["1.00", "10.00", "calls 3.00", "10.4"]
    assert list(compare.failures_of(streaming, runs)) == []
    runs.ours[:] = [20.0, 20.0]
    assert list(compare.failures_of(streaming, runs)) == ["calls by streaming (15, ours 20)"]


def job(recipes: SimpleNamespace, name: str) -> Any:
    return next(job for job in recipes.module("jobs").JOBS if job.name == name)


def check_baselines(recipes: SimpleNamespace, name: str, recipe: dict[str, Any]) -> None:
    pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    this = job(recipes, name)
    scores = getattr(recipes.module("baselines"), name)(recipe)
    assert np.isfinite(list(scores.values())).all()
    for baseline in set(scores) - set(this.not_beaten):
        assert this.beats(recipe[this.figure], scores[baseline]), (baseline, scores)
    assert set(this.not_beaten) <= set(scores)
