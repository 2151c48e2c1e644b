"""Groups of parameters, selected by patterns of their names."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache


@lru_cache
def members(argument: str, patterns: tuple[str, ...], names: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the names of each pattern's group: each name belongs to the first pattern that it matches.

    Patterns match as shells match file names. `argument` is the argument that error messages name.

    Raises
    ------
    ValueError
        No pattern matches a name, or a pattern other than "*" has no name.
    """
    matches: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    for name in names:
        matching = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(
                f"{argument} must have a pattern for every parameter; got none that matches {name!r}. "
                'Fix: add a pattern, or add "*": None to leave all other parameters unclipped.'
            )
        matches[matching[0]].append(name)
    for pattern, group in matches.items():
        if not group and pattern != "*":
            if any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"{argument}[{pattern!r}] must match a parameter that no earlier pattern matches; got "
                    "none. Fix: move this pattern to the front, or leave it out."
                )
            raise ValueError(
                f"{argument}[{pattern!r}] must match a parameter; got none among {', '.join(names)}. "
                "Fix: correct the pattern, or leave it out."
            )
    return matches
