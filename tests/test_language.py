"""The pages and docstrings are plain English: no archaic words, and no sentences that are too long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bptt

ROOT = Path(__file__).parent.parent
PACKAGE = Path(bptt.__file__).parent

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MODULES = sorted(PACKAGE.rglob("*.py"))

ARCHAIC = re.compile(
    r"\b(anew|thereof|beside|behind|so-manieth|told|tells of|at its best|of its own|apart|asks of|"
    r"hands? back|for itself)\b",
    re.IGNORECASE,
)
MOST_WORDS = 30
LIST_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+", re.MULTILINE)


def page_paragraphs(page: str) -> Iterator[str]:
    """Yield paragraphs, list items and headings of a page, without code, tables and generated parts."""
    page = re.sub(r"<!-- (\w+) -->.*?<!-- end of \1 -->", "", page, flags=re.DOTALL)
    page = re.sub(r"<!-- claims\n.*?-->", "", page, flags=re.DOTALL)
    page = re.sub(r"^ *```.*?^ *```$", "", page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"^\|.*$", "", page, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n", page):
        if block.strip("\n").startswith("    "):
            continue
        for part in re.split(rf"{LIST_ITEM.pattern}|^#+ ", block, flags=re.MULTILINE):
            if part:
                yield " ".join(part.split())


def docstring_paragraphs(docstring: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring, without doctests and literal blocks.

    A line with another indentation begins a new paragraph. A paragraph that follows an empty line, with more
    indentation than the line before, is a literal block.
    """
    paragraph: list[str] = []
    indentation, literal, after_empty = 0, False, False
    for line in [*docstring.splitlines(), ""]:
        depth = len(line) - len(line.lstrip())
        ends = not line.strip() or depth != indentation or LIST_ITEM.match(line) or set(line.strip()) == {"-"}
        if ends and paragraph:
            if not (literal or paragraph[0].startswith(">>>")):
                yield " ".join(paragraph)
            paragraph = []
        if line.strip():
            if depth > indentation:
                literal = literal or after_empty
            elif depth < indentation:
                literal = False
            indentation = depth
            if set(line.strip()) != {"-"}:
                paragraph.append(LIST_ITEM.sub("", line).strip())
        after_empty = not line.strip()


def docstrings(source: str) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of the module and of all its classes and functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield getattr(node, "name", "module"), docstring


def problems(paragraphs: Iterator[str]) -> Iterator[str]:
    """Yield a message for each archaic word and each sentence that is too long."""
    for paragraph in paragraphs:
        for word in ARCHAIC.finditer(paragraph):
            around = paragraph[max(0, word.start() - 40) : word.end() + 40]
            yield f"{word.group()!r} in '{around}': use a plain word"
        for sentence in re.split(r"(?<=[.!?:])\s+", paragraph):
            if len(sentence.split()) > MOST_WORDS:
                yield f"{len(sentence.split())} words in '{sentence}': split the sentence"


def test_pages_are_plain_english() -> None:
    found = [
        f"{page.name}: {problem}"
        for page in PAGES
        for problem in problems(page_paragraphs(page.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_docstrings_are_plain_english() -> None:
    found = [
        f"{module.relative_to(PACKAGE)}, {name}: {problem}"
        for module in MODULES
        for name, docstring in docstrings(module.read_text(encoding="utf-8"))
        for problem in problems(docstring_paragraphs(docstring))
    ]
    assert found == []


LONG = "word " * MOST_WORDS + "end."
SHORT = "word " * (MOST_WORDS - 1) + "end."


@pytest.mark.parametrize("text", ["The layer hands back a state.", "# Anew\n\nText.", "- a\n- told\n  apart"])
def test_a_planted_word_is_found(text: str) -> None:
    assert any("use a plain word" in problem for problem in problems(page_paragraphs(text)))
    assert any("use a plain word" in problem for problem in problems(docstring_paragraphs(text)))


@pytest.mark.parametrize("text", [LONG, f"Short. {LONG}", f"Text.\n\n- {LONG}", LONG.replace(" ", "\n")])
def test_a_planted_long_sentence_is_found(text: str) -> None:
    assert any("split the sentence" in problem for problem in problems(page_paragraphs(text)))
    assert any("split the sentence" in problem for problem in problems(docstring_paragraphs(text)))


def test_a_long_description_of_a_parameter_is_found() -> None:
    docstring = f"Summary.\n\nParameters\n----------\nx : array\n    {LONG}\ny : array\n    Text."
    assert len(list(problems(docstring_paragraphs(docstring)))) == 1


@pytest.mark.parametrize(
    "page",
    [
        f"```python\n{LONG}\n```",
        f"| told | {LONG} |",
        f"Text:\n\n    {LONG} apart",
        f"<!-- table -->\n\nbeside {LONG}\n<!-- end of table -->",
        f"{SHORT} {SHORT}",
        f"- {SHORT}\n- {SHORT}",
    ],
)
def test_code_tables_and_short_sentences_are_allowed_in_pages(page: str) -> None:
    assert list(problems(page_paragraphs(page))) == []


@pytest.mark.parametrize(
    "docstring",
    [
        f"An equation::\n\n    {LONG} told\n\nText.",
        f"Examples\n--------\n>>> told = apart\n{LONG}",
        f"Parameters\n----------\nx : array\n    {SHORT}\n{SHORT}",
    ],
)
def test_literal_blocks_and_doctests_are_allowed_in_docstrings(docstring: str) -> None:
    assert list(problems(docstring_paragraphs(docstring))) == []
