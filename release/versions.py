"""Check that all files name one version: `python -m release.versions`."""

from __future__ import annotations

import re
import sys

from release.build_wheel import ROOT

PLACES = {
    "src/bptt/_version.py": r'^__version__ = "(.+)"',
    "CHANGELOG.md": r"^## \[?v?(\d+\.\d+\.\d+[^\]\s]*)",
    "CITATION.cff": r'^version: "?([^"\s]+)',
}
"""Where the version is written. In the changelog, the first section with a number counts."""


def check_versions(texts: dict[str, str]) -> list[str]:
    """Return what is wrong with the versions in these files."""
    found = {}
    for name, text in texts.items():
        match = re.search(PLACES[name], text, re.MULTILINE)
        found[name] = match[1] if match else "none"
    version = found["src/bptt/_version.py"]
    return [
        f"{name} must name version {version}, as _version.py does, got {other}"
        for name, other in found.items()
        if other != version
    ]


def read_places() -> dict[str, str]:
    """Return the texts of the files that exist."""
    paths = {name: ROOT / name for name in PLACES}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}


if __name__ == "__main__":
    sys.exit("\n".join(check_versions(read_places())) or 0)
