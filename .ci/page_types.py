"""Check the types of the Python blocks of README and docs, page by page: `mypy --strict`, and pyright where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def script(page: str) -> str:
    """Return the Python blocks of a page as one script, each line at its place in the page."""
    kept, inside = [], False
    for line in page.splitlines():
        fence = line.startswith("```")
        if fence:
            inside = line == "```python"
        kept.append(line if inside and not fence else "")
    return "\n".join(kept) + "\n"


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scripts = []
        for page in PAGES:
            text = script(page.read_text(encoding="utf-8"))
            if text.strip():
                scripts.append(Path(folder, f"{re.sub('[^a-z]', '_', page.stem.lower())}_page.py"))
                scripts[-1].write_text(text, encoding="utf-8")
        strict = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", "--cache-dir", f"{folder}/cache"]
        tools = [[sys.executable, "-m", "mypy", *strict, "--config-file", ""]]
        if shutil.which("pyright"):
            tools.append(["pyright", "--pythonpath", sys.executable])
        for tool in tools:
            failed |= subprocess.run([*tool, *map(str, scripts)], cwd=folder, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
