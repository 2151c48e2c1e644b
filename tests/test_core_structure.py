"""The C++ code stays in small pieces: lines and parameters of functions, lines of files, files of folders.

The functions are read from the text, which clang-format lays out: a body begins with a line that ends in an
opening brace, and ends with the first closing brace at the indentation of its signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CPP = Path(__file__).parents[1] / "cpp"
FOLDERS = sorted({path.parent for path in CPP.rglob("*.?pp")})
MOST_LINES, MOST_PARAMETERS, MOST_FILE_LINES, MOST_FILES = 60, 6, 400, 22

NO_FUNCTION = re.compile(
    r"(if|for|while|switch|else|do|case|return|namespace|struct|class|enum|union|extern|using)\b"
)
SIGNATURE = re.compile(r"^[^=(]*?(operator\(\)|operator==|~?\w+)\((.*)$")


class Function(NamedTuple):
    name: str
    lines: int
    parameters: int


def functions(text: str) -> Iterator[Function]:
    """Every function that has a body."""
    lines = [re.sub(r"//.*", "", line).rstrip() for line in text.splitlines()]
    for end, line in enumerate(lines):
        one_line = re.search(r"\) (const )?(override )?\{ .*\}$", line)
        if not line.endswith(" {") and not one_line:
            continue
        start = end
        while start > 0 and lines[start - 1] and not re.search(r"([;{}>]|\w:|^#.*|\\)$", lines[start - 1]):
            start -= 1
        head = " ".join(part.strip() for part in lines[start : end + 1])
        found = SIGNATURE.match(head)
        parameters = count_parameters(found.group(2)) if found else None
        if found is None or parameters is None or NO_FUNCTION.match(head):
            continue
        indentation = re.match(" *", lines[start]).group()  # type: ignore[union-attr]
        close = end if one_line else lines.index(f"{indentation}}}", end)
        yield Function(found.group(1), close - start + 1, parameters)


def count_parameters(text: str) -> int | None:
    """Parameters in the text after the opening bracket."""
    depth = count = 0
    for place, character in enumerate(text):
        if character in "(<{[":
            depth += 1
        elif character in ")>}]":
            if depth == 0:
                return count + 1 if text[:place].strip() else 0
            depth -= 1
        elif character == "," and depth == 0:
            count += 1
    return None  # a call that a lambda is passed to


def violations(text: str) -> list[str]:
    """What is too large. A function that Python calls has the parameters of the Python function."""
    bound = set(re.findall(r"def\w*\(\s*\"\w+\",\s*&(?:\w+::)?(\w+)", text))
    return [
        f"{name}: {lines} lines, {parameters} parameters"
        for name, lines, parameters in functions(text)
        if lines > MOST_LINES or (parameters > MOST_PARAMETERS and name not in bound)
    ]


def test_functions_are_short_and_take_few_parameters() -> None:
    texts = {path: path.read_text() for path in CPP.rglob("*.?pp")}
    found = {path: violations(text) for path, text in texts.items()}
    assert sum(len(list(functions(text))) for text in texts.values()) > 500
    assert {str(path.relative_to(CPP)): names for path, names in found.items() if names} == {}


def test_files_and_folders_are_small() -> None:
    long = [str(path) for path in CPP.rglob("*.?pp") if len(path.read_text().splitlines()) > MOST_FILE_LINES]
    assert not long
    assert all(len(list(folder.glob("*.*"))) <= MOST_FILES for folder in FOLDERS)


def test_the_reader_finds_what_is_too_large() -> None:
    body = "  int b = 0;\n" * MOST_LINES
    arguments = ", ".join(f"std::map<int, int> a{i}" for i in range(MOST_PARAMETERS + 1))
    assert violations(f"int f(int a) {{\n{body}}}\n") == [f"f: {MOST_LINES + 2} lines, 1 parameters"]
    assert violations(f"struct S {{\n  int g({arguments}) const {{ return 0; }}\n}};\n") == [
        f"g: 1 lines, {MOST_PARAMETERS + 1} parameters"
    ]
    assert violations("Pass::Pass(int a,\n           int b)\n    : a_(a) {\n" + body + "}\n")
    assert not violations(f'void g({arguments}) {{\n}}\nvoid bind() {{\n  m.def("g", &g);\n}}\n')
