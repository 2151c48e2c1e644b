"""Every Python block of README and docs runs as printed: alone, or after the blocks that it continues."""

from __future__ import annotations

import re
import runpy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = "torch|keras|statsmodels|jax|flax|equinox|onnx|onnxruntime|mpi4py|matplotlib|sklearn|pandas|polars"
OPTIONAL = re.compile(
    rf"^\s*(?:import |from |import bptt\.interop\.|from bptt\.interop import )({PACKAGES})\b", re.MULTILINE
)
pages = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "pages.py")))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if pages.blocks(page.read_text("utf-8"))], ids=lambda page: page.name
)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    for package in OPTIONAL.findall("\n".join(block for _, block in pages.blocks(text))):
        if find_spec(package) is None:
            pytest.skip(f"{page.name} needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    pages.run(text, page.name)


@pytest.mark.parametrize("second", ["```python\nlayer(x)\n```\n", "```python\nprint(x)\n```\n"])
def test_a_block_that_fails_is_found(second: str) -> None:
    with pytest.raises(NameError, match=r"layer|x"):
        pages.run(f"Text.\n```python\nx = 1\n```\nMore.\n{second}", "page.md")


def test_a_continued_block_has_the_names_of_the_block_before() -> None:
    pages.run("```python\nx = 1\n```\nMore.\n```python continued\nassert x == 1\n```\n", "page.md")


def test_a_wrong_claim_is_found() -> None:
    page = "```python\nx = 1\n```\n<!-- claims\nx == 1\n{}\n-->\n"
    pages.run(page.format("x < 2"), "page.md")
    with pytest.raises(AssertionError, match="x > 1"):
        pages.run(page.format("x > 1"), "page.md")
