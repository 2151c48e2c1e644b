"""Check the files of a source archive: `python -m release.check_sdist FILE.tar.gz`."""

from __future__ import annotations

import re
import sys
import tarfile
import zlib
from pathlib import Path

from release.build_wheel import ROOT, run

KEPT = (
    r"(pyproject\.toml|CMakeLists\.txt|README\.md|CHANGELOG\.md|SECURITY\.md|LICENSE|LICENSES/.*|cmake/.*"
    r"|cpp/(?!tests/).*|src/bptt/.*)"
)
"""What the build needs, and the papers. Tests also read docs and examples: they run in a checkout."""


def check_sdist(names: set[str], tracked: set[str]) -> list[str]:
    """Compare the names in an archive with those that Git tracks. Return what is wrong."""
    expected = {name for name in tracked if re.fullmatch(KEPT, name)} | {"PKG-INFO"}
    return [f"the sdist must hold {name}" for name in sorted(expected - names)] + [
        f"the sdist must not hold {name}" for name in sorted(names - expected)
    ]


def names_in(path: Path) -> set[str]:
    """Return the names of the files in an archive, without its first folder."""
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def tracked_files() -> set[str]:
    """Return the names of the files that Git tracks, or would track."""
    return set(run("git", "ls-files", "--cached", "--others", "--exclude-standard", folder=ROOT).splitlines())


def main(paths: list[str]) -> int:
    """Print what is wrong with an archive. 1 if anything is, 2 without an archive."""
    if len(paths) != 1:
        print("usage: python -m release.check_sdist FILE.tar.gz", file=sys.stderr)
        return 2
    try:
        wrong = check_sdist(names_in(Path(paths[0])), tracked_files())
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        wrong = [f"{paths[0]} must be a readable archive, got {type(error).__name__}: {error}"]
    for message in wrong:
        print(message, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
