"""`_core.pyi` and the compiled module hold the same names and arguments: type checkers see what runs."""

from __future__ import annotations

import ast
from pathlib import Path

import bptt
import bptt._core

STUB = Path(bptt.__file__).with_name("_core.pyi")
Arguments = tuple[str, ...] | None
"""Names of a function's arguments, a default's value after '='; None for a property."""


def _arguments(function: ast.FunctionDef) -> Arguments:
    if any(isinstance(mark, ast.Name) and mark.id == "property" for mark in function.decorator_list):
        return None
    given = function.args
    plain = [""] * (len(given.args) - len(given.defaults))
    defaults = plain + [f"={ast.unparse(default)}" for default in given.defaults]
    return tuple(argument.arg + default for argument, default in zip(given.args, defaults, strict=True))


def _stub() -> dict[str, Arguments]:
    found: dict[str, Arguments] = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _arguments(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    found[f"{node.name}.{member.name}"] = _arguments(member)
    return found


def _running(holder: object, prefix: str = "") -> dict[str, Arguments]:
    """pybind11 gives a function's signature, in Python's own syntax, as the first line of its docstring."""
    found: dict[str, Arguments] = {}
    for name, value in vars(holder).items():
        own_init = name == "__init__" and value.__doc__ != object.__init__.__doc__
        if name.startswith("_") and not own_init:
            continue
        found[prefix + name] = None
        if isinstance(value, type):
            found |= _running(value, f"{name}.")
        elif not isinstance(value, property):
            (function,) = ast.parse(f"def {value.__doc__.splitlines()[0]}: ...").body
            assert isinstance(function, ast.FunctionDef)
            found[prefix + name] = _arguments(function)
    return found


def test_stub_and_module_agree() -> None:
    assert _stub() == _running(bptt._core)
