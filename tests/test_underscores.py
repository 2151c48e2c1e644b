"""No file reads a name with a leading underscore that another file defines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bptt

ALLOWED = {
    "argparse._ArgumentGroup": "no public name for the type that add_argument_group returns",
    "group._group_actions": "argparse has no public list of them",
    "os._exit": "public, in spite of its name",
    "sys._getframe": "inspect.currentframe is slower and means the same",
    "torch._dynamo": "no public name for the counters",
}
NAMEDTUPLE = {"_replace", "_asdict"}
"""Public methods of every NamedTuple, in spite of their names."""


def foreign_names(source: str) -> Iterator[str]:
    """Attributes with a leading underscore that this source reads and does not define itself."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value)
    }
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in own | NAMEDTUPLE
            and not _is_self(node.value)
            and ast.unparse(node) not in ALLOWED
        ):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _is_self(node: ast.expr) -> bool:
    """Whether this is `self`, `cls` or `super()`, whose names a class shares with its base classes."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def test_underscores_stay_in_their_file() -> None:
    package = Path(bptt.__file__).parent
    found = [
        f"{path.relative_to(package)}, {read}"
        for path in sorted(package.rglob("*.py"))
        for read in foreign_names(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    ["trainer._run = 1", "def f(layer):\n    return layer._stack", "x = [part._shape for part in parts]"],
)
def test_a_planted_read_is_found(source: str) -> None:
    assert len(list(foreign_names(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def f(self, other):\n        self._x = other._x",
        "super()._draw()",
        "call._replace(x=1)",
    ],
)
def test_own_names_are_allowed(source: str) -> None:
    assert not list(foreign_names(source))
