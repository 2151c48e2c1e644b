"""Groups of parameters, by patterns of their names."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache


@lru_cache
def members(argument: str, patterns: tuple[str, ...], names: tuple[str, ...]) -> dict[str, list[str]]:
    """The names that each pattern takes: those that it fits, as shells match file names, and that none before
    it does.

    Raises
    ------
    ValueError
        A name that no pattern fits; a pattern that is left without a name, "*" excepted. `argument` is what
        messages call the mapping that has the patterns.
    """
    matches: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    for name in names:
        fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        if not fitting:
            raise ValueError(
                f"{argument} must have a pattern for every parameter; got none that fits {name!r}. "
                'Fix: add one, or "*": None to leave the rest unclipped.'
            )
        matches[fitting[0]].append(name)
    for pattern, taken in matches.items():
        if not taken and pattern != "*":
            fits = any(fnmatchcase(name, pattern) for name in names)
            came = "only some that patterns before it take" if fits else f"none among {', '.join(names)}"
            raise ValueError(
                f"{argument}[{pattern!r}] must fit a parameter; got {came}. "
                f"Fix: {'put it before them' if fits else 'correct it'}, or leave it out."
            )
    return matches
