"""`bptt info`: print the build, and its instruction set and number of threads on this machine."""

from __future__ import annotations

import argparse
import platform
from typing import Any

import numpy as np

import bptt
from bptt.cli.options import add_common, print_json


def add(commands: Any) -> None:
    """Register the command."""
    text = "print the version, the compiler, the instruction sets and the number of threads"
    command = commands.add_parser("info", help=text, description=text[0].upper() + text[1:] + ".")
    add_common(command, run)


def figures() -> dict[str, Any]:
    """Return all values that the command prints, as JSON values."""
    return {
        "version": bptt.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "build": bptt.build_config(),
        "available_isas": bptt.available_isas(),
        "isa": bptt.isa(),
        "isa_rule": bptt.runtime.isa_rule(),
        "instructions": bptt.runtime.instructions(),
        "threads": bptt.get_num_threads(),
        "thread_rule": bptt.runtime.thread_rule(),
    }


def _gain(instruction: str) -> str:
    return "emulated: no gain in speed" if instruction == "emulated" else f"by {instruction}"


def run(options: argparse.Namespace) -> None:
    """Print the values as a table or as JSON."""
    about = figures()
    if options.json:
        print_json(about)
        return
    build = about.pop("build")
    rows = {
        "bptt": about["version"],
        "Python, NumPy": f"{about['python']}, {about['numpy']}",
        "platform": about["platform"],
        **{f"build: {name}": value for name, value in build.items()},
        "instruction sets": ", ".join(about["available_isas"]) + " can run here",
        "in use": f"{about['isa']}: {about['isa_rule']}",
        **{precision: _gain(name) for precision, name in about["instructions"].items()},
        "threads": f"{about['threads']}: {about['thread_rule']}",
    }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        print(f"{name:<{width}}  {shown}")
