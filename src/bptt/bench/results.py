"""The results of a benchmark as a JSON file with one line per row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bptt.bench.measure import Row
from bptt.bench.memory import Memory
from bptt.bench.session import Findings
from bptt.files import atomic


def text(values: dict[str, Any]) -> str:
    """Return JSON text in which each row and each memory figure has a line."""
    parts = []
    for name, value in values.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in value)
            parts.append(f'"{name}": [\n{lines}\n]' if value else f'"{name}": []')
        else:
            parts.append(f'"{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def save(path: Path, findings: Findings, command: str) -> None:
    """Write the results, and the command that measured them. If that fails, the old file stays."""
    content = text({"command": command, **findings.plain()}).encode("utf-8")
    atomic.replace(path, content, lambda _: None)


def load(path: Path) -> Findings:
    """Read the results that `save` wrote.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row.of(row) for row in values["rows"]]
        return Findings(values["machine"], rows, [Memory.of(row) for row in values["memory"]])
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must hold results of benchmarks/compare.py --json; got {type(error).__name__}: {error}"
        ) from None
