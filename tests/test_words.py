"""The table "Words" of CONTRIBUTING.md: its files exist, use the word, and no word is listed twice."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## Words\n")[1].split("\n## ")[0]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("| ")][1:]


def names(cell: str) -> list[str]:
    """The words of a row: `check_x` stands for every name that begins with check_."""
    return [word.strip("`").removesuffix("_x").split(".")[-1] for word in cell.split(", ")]


def test_no_word_is_listed_twice() -> None:
    words = [cell for cell, *_ in ROWS]
    assert len(words) > 20
    assert sorted(words) == sorted(set(words))


def test_the_file_uses_the_word(subtests: pytest.Subtests) -> None:
    for row in ROWS:
        with subtests.test(row[0]):
            cell, _, place = row
            text = (ROOT / place.strip("`")).read_text("utf-8")
            for name in names(cell):
                assert re.search(rf"\b{re.escape(name)}", text, re.IGNORECASE), (name, place)
