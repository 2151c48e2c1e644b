"""Files and folders of the Python package stay small, so that a reader knows where a thing is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bptt

PACKAGE = Path(bptt.__file__).parent
MOST_LINES, MOST_FILES = 400, 22


def too_large(files: Iterable[Path]) -> list[str]:
    """Return files with too many lines, and folders with too many files."""
    files = list(files)
    folders = [path.parent for path in files]
    return [
        str(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    ] + [str(folder) for folder in sorted(set(folders)) if folders.count(folder) > MOST_FILES]


def test_files_and_folders_are_small() -> None:
    assert not too_large(PACKAGE.rglob("*.py"))


def test_large_ones_are_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * (MOST_LINES + 1))
    (tmp_path / "many").mkdir()
    for number in range(MOST_FILES + 1):
        (tmp_path / "many" / f"{number}.py").touch()
    assert too_large(tmp_path.rglob("*.py")) == [str(tmp_path / "long.py"), str(tmp_path / "many")]
