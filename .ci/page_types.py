"""Check the types of the Python blocks of README and docs with `mypy --strict` and, if it starts, pyright."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = str(ROOT / "src")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

MYPY = [
    *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports"),
    *("--config-file=", f"--cache-dir={ROOT / '.mypy_cache' / 'pages'}"),
]
PYRIGHT = ["pyright", "--pythonpath", sys.executable]


def scripts_of(page: str) -> list[str]:
    """Return the Python blocks of a page as scripts, each line at its place in the page.

    A block that continues the block before belongs to the same script.
    """
    lines = page.splitlines()
    scripts: list[list[str]] = []
    inside, indent = False, 0
    for number, line in enumerate(lines):
        text = line.lstrip()
        if text.startswith("```"):
            inside = text in ("```python", "```python continued")
            indent = len(line) - len(text)
            if text == "```python":
                scripts.append([""] * len(lines))
        elif inside:
            scripts[-1][number] = line[indent:]
    return ["\n".join(script) + "\n" for script in scripts]


def works(command: str) -> bool:
    """Return whether a command is installed and starts. pyright downloads itself when it first starts."""
    if not shutil.which(command):
        return False
    return subprocess.run([command, "--version"], capture_output=True, check=False).returncode == 0


def main() -> int:
    tools = [MYPY]
    if works("pyright"):
        tools.append(PYRIGHT)
    else:
        print("pyright cannot be started: only mypy checks the pages")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        scripts = []
        for page in PAGES:
            for number, text in enumerate(scripts_of(page.read_text(encoding="utf-8"))):
                place = f"{page.parent.name}_{page.stem}".lower()
                scripts.append(f"{re.sub('[^a-z]', '_', place)}_page_{number}.py")
                Path(folder, scripts[-1]).write_text(text, encoding="utf-8")
        # Both tools read the package of this tree, whether or not a package is installed.
        settings = {"extraPaths": [SOURCE], "reportMissingImports": "none"}
        Path(folder, "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
        environment = os.environ | {"MYPYPATH": SOURCE}
        for tool in tools:
            done = subprocess.run([*tool, *scripts], cwd=folder, env=environment, check=False)
            failed |= done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
