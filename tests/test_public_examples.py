"""Every public class and function has an example. The sections of its docstring have numpydoc's order."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec

import bptt

BEFORE = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns", "Notes", "References")


def public_names() -> Iterator[tuple[str, object]]:
    """Yield every class and function that an `__all__` of the package lists, under its first name."""
    inner = [f"bptt.{name}" for name in bptt.__all__ if find_spec(f"bptt.{name}")]
    seen: set[int] = set()
    for module_name in ("bptt", *inner, "bptt.interop.onnx", "bptt.interop.torch"):
        try:
            module = importlib.import_module(module_name)
            members = {name: getattr(module, name) for name in module.__all__ if name != "estimators"}
        except ImportError:
            continue  # an optional package is missing
        for name, member in members.items():
            if (inspect.isclass(member) or inspect.isroutine(member)) and id(member) not in seen:
                seen.add(id(member))
                yield f"{module_name}.{name}", member


def problem(docstring: str | None) -> str | None:
    """Return what is wrong with the sections of a docstring, or None."""
    found = re.findall(r"^ *(\w+)\n *-+$", docstring or "", re.MULTILINE)
    order = [section for section in (*BEFORE, "Examples") if section in found]
    if found != order:
        return f"sections {found}, not {order}"
    example = (docstring or "").rpartition("Examples\n")[2]
    if "Examples" not in found or not re.match(r"[^>]*>>> (import|from) ", example):
        return "no section Examples that begins with an import"
    if not re.search(r"^ *[^\s>.]", example.partition(">>>")[2].partition("\n")[2], re.MULTILINE):
        return "an example that prints nothing"
    return None


def test_every_public_name_has_an_example() -> None:
    names = dict(public_names())
    assert len(names) > 150
    problems = {name: problem(member.__doc__) for name, member in names.items()}
    assert {name: text for name, text in problems.items() if text} == {}

    example = "Examples\n--------\n>>> import bptt\n>>> bptt.isa()\n"
    planted = [None, "Text.", "Examples\n--------\nText.", example, f"{example}'avx2'\n\nNotes\n-----\nText."]
    assert None not in map(problem, planted)
    assert problem(f"Text.\n\n{example}'avx2'") is None
