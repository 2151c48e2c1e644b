"""Imports go one way: no circle of files, and no package imports one that comes after it in ORDER.

Imports inside functions and under TYPE_CHECKING count, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import bptt

ORDER = (
    "_core",
    "_version",
    "arguments",
    "arrays",
    "runtime",
    "leaving",
    "layers",
    "init",
    "reference",
    "checks",
    "testing",
    "losses",
    "metrics",
    "optim",
    "files",
    "c_export",
    "ranks",
    "data",
    "diagnose",
    "callbacks",
    "schedules",
    "train",
    "estimators",
    "interop",
    "bptt",
    "bench",
    "cli",
    "__main__",
)
"""The packages and modules of `bptt`; "bptt" is the package's own `__init__`, which names what users see."""

Imports = Mapping[str, set[str]]
"""The modules that each module imports."""


def read_imports(sources: Mapping[str, str]) -> Imports:
    """The imports of each module among these modules, given their source text by name."""
    return {name: set(_imported(name, text, sources)) - {name} for name, text in sources.items()}


def _imported(name: str, text: str, sources: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import, which this test does not follow"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in names:
            yield from {full, full.rpartition(".")[0]} & set(sources) if full not in sources else {full}


def circles(imports: Imports) -> list[list[str]]:
    """Modules that import each other, directly or through others."""
    reached = {name: _reach(name, imports) for name in imports}
    rings = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in imports
        if name in reached[name]
    }
    return sorted(map(list, rings))


def _reach(name: str, imports: Imports) -> set[str]:
    found: set[str] = set()
    waiting = [*imports[name]]
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += imports[other]
    return found


def package(module: str) -> str:
    """The part of ORDER that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def against_order(imports: Imports) -> list[str]:
    """Imports of a package that comes later in ORDER."""
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(
        f"{name} imports {other}"
        for name, others in imports.items()
        for other in others
        if places[package(name)] < places[package(other)]
    )


def of_bptt() -> Imports:
    root = Path(bptt.__file__).parent
    sources = {"bptt._core": ""}
    for path in root.rglob("*.py"):
        parts = ("bptt", *path.relative_to(root).with_suffix("").parts)
        sources[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return read_imports(sources)


def test_no_circle_of_files() -> None:
    assert circles(of_bptt()) == []


def test_no_import_against_the_order() -> None:
    found = of_bptt()
    assert {package(name) for name in found} == set(ORDER)
    assert against_order(found) == []


PLANTED = {
    "in a function": ("def f():\n    import bptt.layers.b", "import bptt.layers.a"),
    "for types": ("if TYPE_CHECKING:\n    from bptt.layers.b import B", "from bptt.layers import a"),
    "from the package": ("from bptt.layers import b", "from bptt.layers.a import A"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_circle_is_found(name: str) -> None:
    first, second = PLANTED[name]
    found = read_imports({"bptt.layers": "", "bptt.layers.a": first, "bptt.layers.b": second})
    assert circles(found) == [["bptt.layers.a", "bptt.layers.b"]]


def test_a_planted_import_against_the_order_is_found() -> None:
    found = read_imports({"bptt.losses.a": "", "bptt.layers.b": "def f():\n    from bptt.losses.a import g"})
    assert against_order(found) == ["bptt.layers.b imports bptt.losses.a"]
