"""Build a wheel in two folders and compare: `python -m release.reproduce SDIST FOLDER [PYTHON]`."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from release.build_wheel import build_wheel, environment


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_twice(sdist: Path, out: Path, python: Path) -> Path:
    """Build the wheel into the folder, and again elsewhere. SystemExit if the two differ."""
    first = build_wheel(sdist, out, python)
    with tempfile.TemporaryDirectory(prefix="a-folder-with-another-name-") as folder:
        second = build_wheel(sdist, Path(folder), python)
        if sha256(first) != sha256(second):
            kept = out / f"second-{second.name}"
            kept.write_bytes(second.read_bytes())
            raise SystemExit(f"release: {first} must have the same bytes as a second build, {kept}")
    print(f"release: a second build in another folder has the same bytes: {sha256(first)}", flush=True)
    return first


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tools:
        interpreter = environment(sys.argv[3] if len(sys.argv) > 3 else sys.executable, Path(tools))
        wheel = build_twice(Path(sys.argv[1]), Path(sys.argv[2]), interpreter)
        print(f"{sha256(wheel)}  {wheel.name}")
