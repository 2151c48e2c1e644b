"""Every Python block of README and docs runs as printed: alone, or after the blocks that it continues."""

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


def python_blocks(page: str) -> list[tuple[bool, str]]:
    """Return the Python blocks of a page, each with whether it continues the block before."""
    found = re.findall(r"^```python( continued)?\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [(bool(continued), block) for continued, block in found]


def run(page: str, name: str) -> None:
    """Run the blocks of a page. Only a block that continues the block before has its names."""
    names: dict[str, object] = {}
    for continued, block in python_blocks(page):
        names = names if continued else {"__name__": "__main__"}
        exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if python_blocks(page.read_text("utf-8"))], ids=lambda page: page.name
)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    for package in OPTIONAL.findall("\n".join(block for _, block in python_blocks(text))):
        if find_spec(package) is None:
            pytest.skip(f"{page.name} needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    run(text, page.name)


@pytest.mark.parametrize("second", ["```python\nlayer(x)\n```\n", "```python\nprint(x)\n```\n"])
def test_a_block_that_fails_is_found(second: str) -> None:
    with pytest.raises(NameError, match=r"layer|x"):
        run(f"Text.\n```python\nx = 1\n```\nMore.\n{second}", "page.md")


def test_a_continued_block_has_the_names_of_the_block_before() -> None:
    run("```python\nx = 1\n```\nMore.\n```python continued\nassert x == 1\n```\n", "page.md")
