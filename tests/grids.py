"""Large grids of options: the suite runs a part of each, `nox -s full` every combination."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import pytest

Combination: TypeAlias = tuple[int, ...]
"""The place of the chosen value on each axis."""


def pairwise(*axes: tuple[str, Iterable[Any]]) -> pytest.MarkDecorator:
    """
    Parametrize a test over all combinations of the axes' values.

    An axis has the names of its arguments and its values. Values may be a mapping from ids. If an axis has
    several names, each value is a tuple. Combinations that add no pair of values are marked "grid".
    """
    return _parametrize(axes, cover_pairs)


def in_turn(*axes: tuple[str, Iterable[Any]]) -> pytest.MarkDecorator:
    """
    As `pairwise`, but the suite runs each value of the first axis once. The other axes' values take turns.

    For a first axis that is a list of pairs itself.
    """
    return _parametrize(axes, _take_turns)


def _parametrize(
    axes: tuple[tuple[str, Iterable[Any]], ...], choose: Callable[[list[Combination]], set[Combination]]
) -> pytest.MarkDecorator:
    choices = [
        list(values.items()) if isinstance(values, Mapping) else [(str(value), value) for value in values]
        for _, values in axes
    ]
    combinations = list(itertools.product(*(range(len(values)) for values in choices)))
    chosen = choose(combinations)
    cases = []
    for combination in combinations:
        picked = [values[place] for values, place in zip(choices, combination, strict=True)]
        parts = [
            value if "," in name else (value,) for (name, _), (_, value) in zip(axes, picked, strict=True)
        ]
        marks = () if combination in chosen else pytest.mark.grid
        cases.append(pytest.param(*itertools.chain(*parts), id="-".join(id for id, _ in picked), marks=marks))
    return pytest.mark.parametrize(", ".join(name for name, _ in axes), cases)


def _take_turns(combinations: list[Combination]) -> set[Combination]:
    others = list(dict.fromkeys(each[1:] for each in combinations))
    return {each for each in combinations if each[1:] == others[each[0] % len(others)]}


def cover_pairs(combinations: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """Few of the combinations, which hold every pair of values that all of them hold."""
    pairs = {each: set(itertools.combinations(enumerate(each), 2)) for each in combinations}
    missing = set().union(*pairs.values())
    chosen = set()
    for least in range(max(map(len, pairs.values()), default=0), 0, -1):  # the most useful combinations first
        for each, own in pairs.items():
            if len(own & missing) >= least:
                chosen.add(each)
                missing -= own
    return chosen
