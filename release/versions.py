"""Check that all files name one version, and that of a tag: `python -m release.versions [TAG]`."""

from __future__ import annotations

import re
import sys

from release.build_wheel import ROOT

SOURCE = "src/bptt/_version.py"
PLACES = {
    SOURCE: r'^__version__ = "(.+)"',
    "CHANGELOG.md": r"^## \[?v?(\d+\.\d+\.\d+[^\]\s]*)",
    "CITATION.cff": r'^version: "?([^"\s]+)',
    "SECURITY.md": r"^\| latest minor release \((.+)\)",
    "docs/contribute/versions.md": r"^\| \| (\S+) supports",
}
"""Where the version is written. In the changelog, the first section with a number counts."""
MINOR = ("SECURITY.md", "docs/contribute/versions.md")
"""These files have the first two numbers of the version."""
UNRELEASED = r"^## \[?Unreleased\]?(.*?)(?=^## |\Z)"
PLACEHOLDER = "SITE/OWNER/NAME"


def check_versions(texts: dict[str, str], tag: str = "") -> list[str]:
    """Return what is wrong with the versions in these files. A tag must name the version, too."""
    found = {}
    for name, pattern in PLACES.items():
        match = re.search(pattern, texts.get(name, ""), re.MULTILINE)
        found[name] = match[1] if match else "none"
    version = found[SOURCE]
    minor = ".".join(version.split(".")[:2])
    expected = {name: minor if name in MINOR else version for name in found}
    if tag:
        found["the tag"], expected["the tag"] = tag, f"v{version}"
    return [
        f"{name} must name version {expected[name]}, as _version.py does, got {other}"
        for name, other in found.items()
        if other != expected[name]
    ]


def check_ready(texts: dict[str, str]) -> list[str]:
    """Return what the texts of these files still lack for a release."""
    wrong = []
    unreleased = re.search(UNRELEASED, texts.get("CHANGELOG.md", ""), re.MULTILINE | re.DOTALL)
    if unreleased and unreleased[1].strip():
        wrong.append(
            'CHANGELOG.md must have nothing under "Unreleased". Move it to the section of the version.'
        )
    wrong += [
        f"{name} must name the repository in place of {PLACEHOLDER}"
        for name, text in texts.items()
        if PLACEHOLDER in text
    ]
    return wrong


def read_places() -> dict[str, str]:
    """Return the texts of the files that exist."""
    paths = {name: ROOT / name for name in PLACES}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}


def main(tags: list[str]) -> int:
    """Print what is wrong. 1 if anything is. With a tag, all must be ready for a release."""
    texts = read_places()
    wrong = check_versions(texts, tags[0]) + check_ready(texts) if tags else check_versions(texts)
    for message in wrong:
        print(message, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
