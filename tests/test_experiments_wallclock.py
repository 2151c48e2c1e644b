"""The comparison of training times: both networks start equal, and the times reach a page."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from experiments.wallclock import __main__ as command
from experiments.wallclock.recipes import RECIPES


def test_batches_fit_the_networks() -> None:
    for recipe in RECIPES:
        outputs = recipe.model(0)
        batches = list(islice(recipe.batches(np.random.default_rng(0)), 3))
        for batch in batches:
            y, _ = outputs(batch.x)
            rows = y.shape[:-1]
            assert batch.target.shape == (y.shape if recipe.loss == "squared" else rows)
            assert batch.weight is None or batch.weight.shape == rows
        assert recipe.judge(lambda x, outputs=outputs: outputs(x)[0])


@pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch")
@pytest.mark.usefixtures("one_torch_thread")
def test_the_table_reaches_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- wallclock -->\nold\n<!-- end of wallclock -->\nafter\n", encoding="utf-8")
    assert command.main(["--updates", "12", "--markdown", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- wallclock -->\n\n| task |")
    assert text.endswith("\n\n<!-- end of wallclock -->\nafter\n")
    assert "old" not in text
    assert "on another machine" in text
    assert all(f"| {recipe.name} | 12 | {recipe.seconds:g} |" in text for recipe in RECIPES)
    with pytest.raises(SystemExit):
        command.main(["--markdown", str(tmp_path / "none.md")])
    assert "must be a page with the lines" in capsys.readouterr().err
