"""Names that are valid in C and in C++."""

from __future__ import annotations

import re
from pathlib import Path

from bptt.arguments import short

LONGEST = 40
"""C99 promises that compilers compare the first 63 characters of a name. A suffix needs some of them."""

KEYWORDS = (
    " alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const "
    "constexpr continue decltype default delete do double else enum explicit export extern false float "
    "for friend goto if inline int long mutable namespace new noexcept not nullptr operator or private "
    "protected public register requires restrict return short signed sizeof static struct switch template "
    "this throw true try typedef typeid typename typeof union unsigned using virtual void volatile while "
    "xor "
)
"""Keywords of C and C++, each between two spaces."""


def parse_name(name: object, path: Path) -> str:
    """Check the prefix of all names in the header. None: use the name of the file.

    Raises
    ------
    TypeError
        If `name` is not a str.
    ValueError
        If `name` cannot begin the names of a C and C++ program.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(
            f'name must be a str; got {short(name)} of type {type(name).__name__}. Fix: pass name="amp".'
        )
    prefix = path.stem if name is None else name
    problem = _problem(prefix)
    if problem:
        subject = "name" if name is not None else "path must end with the name of the model, which"
        fix = 'pass name="model"' if name is None else 'pass a name such as "amp" or "wind_speed"'
        raise ValueError(f"{subject} must be a C identifier; got {prefix!r:.80}, {problem}. Fix: {fix}.")
    return prefix


def _problem(prefix: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix, re.ASCII):
        return "which has other characters than letters, digits and _, or does not begin with a letter"
    if "__" in prefix or prefix.endswith("_"):
        return "and C++ reserves names with two underscores in a row"
    if f" {prefix} " in KEYWORDS:
        return "a keyword of C or C++"
    if len(prefix) > LONGEST:
        return f"which has more than {LONGEST} characters"
    return ""
