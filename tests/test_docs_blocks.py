"""Every Python block of README and docs runs as printed, page by page from top to bottom."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = "torch|keras|jax|flax|equinox|onnx|onnxruntime|mpi4py|matplotlib|sklearn|pandas|polars"
OPTIONAL = re.compile(
    rf"^\s*(?:import |from |import bptt\.interop\.|from bptt\.interop import )({PACKAGES})\b", re.MULTILINE
)


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def run(page: str, name: str) -> None:
    """Run the blocks of a page in one namespace."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in python_blocks(page):
        exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if python_blocks(page.read_text("utf-8"))], ids=lambda page: page.name
)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    for package in OPTIONAL.findall("\n".join(python_blocks(text))):
        if find_spec(package) is None:
            pytest.skip(f"{page.name} needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    run(text, page.name)


def test_a_block_that_fails_is_found() -> None:
    with pytest.raises(NameError, match="layer"):
        run("Text.\n```python\nx = 1\n```\nMore.\n```python\nlayer(x)\n```\n", "page.md")
