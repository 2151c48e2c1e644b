"""The pages of the tutorial run, the numbers in their text hold, and the pages stay short and plain."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_language import problems
from tests.tutorial_claims import CLAIMS, EXERCISES

import bptt

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
import matplotlib.pyplot as plt

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial"
PAGES = {int(path.name.split("_")[1]): path for path in sorted(TUTORIAL.glob("plot_*.py"))}
FEWEST, MOST = 400, 920
"""Words of a page, with exercises and answers. docs/tutorial/GALLERY_HEADER.rst promises ten minutes."""
MODULES = {"bptt", "matplotlib.pyplot", "numpy"}
"""What `pip install 'bptt[plot]'` installs."""
TEXT_BLOCK = re.compile(r"^# %%\n((?:#.*\n)+)", re.MULTILINE)


def text(script: str) -> str:
    """Return the reStructuredText of a page: its docstring and its text blocks."""
    blocks = [re.sub(r"^# ?", "", block, flags=re.MULTILINE) for block in TEXT_BLOCK.findall(script)]
    return "\n\n".join([ast.get_docstring(ast.parse(script)) or "", *blocks])


def paragraphs(page: str) -> Iterator[str]:
    """Yield paragraphs and list items, without headings, formulas and tables."""
    page = re.sub(r"^.+\n[-=]{4,}$", "", page, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n", page):
        if not block.lstrip().startswith((".. ", "==")):
            for item in re.split(r"^(?:\* |\d+\. )", block, flags=re.MULTILINE):
                yield " ".join(item.split())


def run(page: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a page as a script, and return its names."""
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")  # figures of other tests in this process
    with plt.rc_context():
        return runpy.run_path(str(PAGES[page]))


def figures() -> list[Any]:
    """Return the figures that a page drew, and close them."""
    drawn = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    return drawn


def check(page: int, names: dict[str, Any], claims: list[tuple[str, str]], subtests: pytest.Subtests) -> None:
    words = " ".join(text(PAGES[page].read_text("utf-8")).split())
    for said, condition in claims:
        with subtests.test(said):
            assert said in words
            assert eval(condition, dict(names)), condition


@pytest.mark.parametrize(
    "isa", [None, *(pytest.param(isa, marks=pytest.mark.grid) for isa in bptt.available_isas())]
)
@pytest.mark.parametrize("page", PAGES)
def test_page_runs_and_its_numbers_hold(
    page: int, isa: str | None, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    before = bptt.isa()
    try:
        if isa is not None:
            bptt.use_isa(isa)
        names = run(page, monkeypatch)
        drawn = figures()
        check(page, names, CLAIMS[page], subtests)
    finally:
        bptt.use_isa(before)
    assert 1 <= len(drawn) <= 2
    for figure in drawn:
        assert figure.get_size_inches().tolist() == [6, 3.6]
        assert figure.axes[0].get_title()  # also the text for those who do not see the picture


@pytest.mark.grid
@pytest.mark.parametrize("page", EXERCISES)
def test_answers_to_exercises_hold(
    page: int, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    names = run(page, monkeypatch)
    figures()

    def losses_of(layer: Any, seed: int = 0) -> Any:
        """Train a layer as page 7 does."""
        model = bptt.Sequential(layer, bptt.Last(), bptt.Linear(16, 1, seed=seed))
        clip = bptt.ClipNorm(1.0)
        trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.Adam(0.01), clip=clip, progress=False)
        return trainer.fit(names["data"])["loss"]

    def memory_losses(units: int) -> list[float]:
        """Train page 8's network with seeds 0 to 4, and return the last losses."""
        data = [names["memory"](seed) for seed in range(500)]
        losses = []
        for seed in range(5):
            layer = bptt.LSTM(3, units, dtype="float64", forget_bias=2.0, seed=seed)
            model = bptt.Sequential(layer, bptt.Linear(units, 1, dtype="float64", seed=seed))
            clip = bptt.ClipNorm(1.0)
            trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.Adam(0.03), clip=clip, progress=False)
            losses.append(float(trainer.fit(data)["loss"][-20:].mean()))
        return losses

    names |= {"losses_of": losses_of, "memory_losses": memory_losses}
    check(page, names, EXERCISES[page], subtests)


def test_pages_are_short_and_plain_english_and_run_alone(subtests: pytest.Subtests) -> None:
    assert list(PAGES) == list(range(1, 10)) == list(CLAIMS)
    for path in PAGES.values():
        with subtests.test(path.stem):
            script = path.read_text("utf-8")
            page = text(script)
            assert FEWEST <= len(page.split()) <= MOST
            assert list(problems(paragraphs(page))) == []
            imports = [
                node for node in ast.walk(ast.parse(script)) if isinstance(node, (ast.Import, ast.ImportFrom))
            ]
            assert {name.name for node in imports for name in node.names} == MODULES


def test_problems_of_a_page_are_found() -> None:
    long = "word " * 31
    script = (
        f'"""\nTitle\n=====\n\nText that is told.\n"""\n\n# %%\n# Part\n# ----\n# {long}end.\n#\n# 1. a\n'
    )
    archaic, too_long = problems(paragraphs(text(script)))
    assert "told" in archaic
    assert "split the sentence" in too_long


def test_picture_of_readme_is_small_and_its_letters_are_large(tmp_path: Path) -> None:
    script = runpy.run_path(str(TUTORIAL.parent / "gradient_through_time.py"))
    x = np.random.default_rng(0).normal(size=(50, 2, 1))
    flows = {cell: [bptt.gradient_flow(getattr(bptt, cell)(1, 4, seed=0), x)] for cell in ("RNN", "LSTM")}
    script["draw"](flows, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size < 50_000
    phone = 360  # pixels
    assert script["POINTS"] / 72 / script["INCHES"] * phone >= 11
