"""Runs a recipe, or its PyTorch version, with other constants: another seed, or fewer epochs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PYTORCH = FOLDER / "pytorch"
LINES = 25
"""Most lines that a recipe may have."""


def run(name: str, folder: Path = FOLDER, **constants: int) -> dict[str, Any]:
    """
    Run a script, and return its variables.

    Parameters
    ----------
    name
        Name of the script, without `.py`.
    folder
        The folder of the script. The script may import modules from this folder.
    constants
        Values for constants of the script, for example `SEED=3`.

    Raises
    ------
    ValueError
        The script does not assign one of the constants.
    """
    path = folder / f"{name}.py"
    tree = ast.parse(path.read_text("utf-8"), str(path))
    missing: set[str] = set(constants)
    body: list[ast.stmt] = []
    for statement in tree.body:
        assigned = _assigned(statement) & missing
        missing -= assigned
        body.append(statement)
        for constant in assigned:
            body += ast.parse(f"{constant} = {constants[constant]!r}").body
    if missing:
        raise ValueError(f"constants must be among those that {path.name} assigns; got {sorted(missing)}.")
    tree.body = body
    variables = {"__name__": "__main__", "__file__": str(path)}
    with _importing_from(folder):
        exec(compile(tree, str(path), "exec"), variables)
    return variables


def count_lines(path: Path) -> int:
    """Return the number of lines of a script that are neither blank nor in its docstring."""
    text = path.read_text("utf-8")
    first, *_ = ast.parse(text).body
    lines = text.splitlines()
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines = lines[first.end_lineno :]
    return sum(bool(line.strip()) for line in lines)


def _assigned(statement: ast.stmt) -> set[str]:
    """Return the names that an assignment at the top of a script defines."""
    if not isinstance(statement, ast.Assign):
        return set()
    names = (node for target in statement.targets for node in ast.walk(target))
    return {node.id for node in names if isinstance(node, ast.Name)}


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a script import modules from its folder."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
