"""CITATION.cff and CHANGELOG.md name the version of the package, and one date."""

from __future__ import annotations

import re
from pathlib import Path

import bptt

ROOT = Path(__file__).parent.parent
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_version_and_date_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unreleased, *releases = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert unreleased == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", release) for release in releases]
    assert all(dated), releases
    assert set(re.findall(r"^### (.+)$", changelog, re.MULTILINE)) <= KINDS
    citation = dict(
        re.findall(r"^([\w-]+): (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    )
    latest = dated[0].groups() if dated[0] else ()
    assert (citation["version"], citation["date-released"]) == latest
    assert bptt.__version__ == citation["version"]
