"""Large grids of options: the suite runs a part of each, `nox -s full` every combination."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest

import bptt

Combination: TypeAlias = tuple[Any, ...]
"""One value, or the place of one value, for each axis."""
Axis: TypeAlias = tuple[str, Iterable[Any]]
"""The names of its arguments, and its values: a mapping from ids, or anything else that can be iterated."""


def pairwise(*axes: Axis, where: Callable[..., bool] = lambda *_: True) -> pytest.MarkDecorator:
    """
    Parametrize a test over all combinations of the axes' values for which `where` is true.

    Combinations that add no pair of values are marked "grid". `where` takes one value of each axis. If an
    axis has several names, each value is a tuple. A value with an attribute `axes`, a tuple, counts as one
    value of each of these axes.
    """
    return _parametrize(axes, where, cover_pairs, _own_axes)


def in_turn(
    *axes: Axis, extra: Mapping[str, Any] = MappingProxyType({}), where: Callable[..., bool] = lambda *_: True
) -> pytest.MarkDecorator:
    """
    As `pairwise`, but the suite runs each value of the first axis once. The other axes' values take turns.

    Use it for a first axis that is a list of pairs itself, or if the other axes are not the subject. `extra`
    has further values of the first axis, by id. All combinations of these values are marked "grid".
    """
    names, values = axes[0]
    first = dict(_with_ids(values))
    return _parametrize(
        ((names, first | extra), *axes[1:]),
        where,
        lambda combinations: _take_turns([each for each in combinations if each[0] < len(first)]),
        lambda place, _: (place,),
    )


def together(
    mark: pytest.MarkDecorator, size: int = 8
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    Run the cases of a `pairwise` or `in_turn`, each as a subtest, with up to `size` cases in one test.

    Use it for lists of options, which grow: the number of tests is part of the suite's budget. Cases with
    the marker "grid" have tests of their own. The attribute `cases` of the test is `mark`.
    """
    names = [name.strip() for name in mark.args[0].split(",")]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(subtests: pytest.Subtests, cases: list[Any]) -> None:
            isa, threads = bptt.isa(), bptt.get_num_threads()
            for case in cases:
                bptt.use_isa(isa)
                bptt.set_num_threads(threads)
                with subtests.test(case.id):
                    function(**dict(zip(names, case.values, strict=True)))

        groups = []
        for marks, cases in itertools.groupby(sorted(mark.args[1], key=_in_grid), _in_grid):
            parts = list(cases)
            groups += [(parts[at : at + size], marks) for at in range(0, len(parts), size)]
        run.__name__, run.__qualname__, run.__module__ = (
            function.__name__,
            function.__qualname__,
            function.__module__,
        )
        run.__doc__ = function.__doc__
        parametrized = pytest.mark.parametrize(
            "cases",
            [
                pytest.param(group, id=f"{group[0].id}..", marks=pytest.mark.grid if grid else ())
                for group, grid in groups
            ],
        )(run)
        parametrized.cases = mark  # type: ignore[attr-defined]
        return parametrized

    return decorate


def _in_grid(case: Any) -> bool:
    return any(each.name == "grid" for each in case.marks)


def _parametrize(
    axes: tuple[Axis, ...],
    where: Callable[..., bool],
    choose: Callable[[list[Combination]], set[Combination]],
    parts_of: Callable[[int, Any], Sequence[Any]],
) -> pytest.MarkDecorator:
    choices = [_with_ids(values) for _, values in axes]
    parts = [[parts_of(place, value) for place, (_, value) in enumerate(values)] for values in choices]
    combinations = {}
    for places in itertools.product(*(range(len(values)) for values in choices)):
        picked = [values[place] for values, place in zip(choices, places, strict=True)]
        if where(*(value for _, value in picked)):
            combination = [values[place] for values, place in zip(parts, places, strict=True)]
            combinations[tuple(itertools.chain(*combination))] = picked
    chosen = choose(list(combinations))
    cases = []
    for combination, picked in combinations.items():
        arguments = [
            value if "," in name else (value,) for (name, _), (_, value) in zip(axes, picked, strict=True)
        ]
        marks = () if combination in chosen else pytest.mark.grid
        id = "-".join(name for name, _ in picked)
        cases.append(pytest.param(*itertools.chain(*arguments), id=id, marks=marks))
    return pytest.mark.parametrize(", ".join(name for name, _ in axes), cases)


def _with_ids(values: Iterable[Any]) -> list[tuple[str, Any]]:
    if isinstance(values, Mapping):
        return list(values.items())
    return [(getattr(value, "__name__", None) or str(value), value) for value in values]


def _own_axes(place: int, value: Any) -> Sequence[Any]:
    """Return the parts that a value has on axes of its own, or else its place."""
    return getattr(value, "axes", (place,))


def _take_turns(combinations: list[Combination]) -> set[Combination]:
    groups: dict[Any, list[Combination]] = {}
    for each in combinations:
        groups.setdefault(each[0], []).append(each)
    return {group[turn % len(group)] for turn, group in enumerate(groups.values())}


def cover_pairs(combinations: list[Combination]) -> set[Combination]:
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
