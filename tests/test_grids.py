"""The tests' own grids: which combinations of values the suite runs."""

from __future__ import annotations

import itertools

import pytest
from tests.grids import cover_pairs, in_turn, pairwise


@pytest.mark.parametrize("sizes", [(2, 3), (8, 3, 2, 3, 3), (40, 2, 3), (1, 1, 1)], ids=str)
def test_every_pair_of_values_is_covered(sizes: tuple[int, ...]) -> None:
    combinations = list(itertools.product(*map(range, sizes)))
    chosen = cover_pairs(combinations)
    for one, other in itertools.combinations(range(len(sizes)), 2):
        pairs = {(each[one], each[other]) for each in chosen}
        assert pairs == set(itertools.product(range(sizes[one]), range(sizes[other])))
    most = max(a * b for a, b in itertools.combinations(sizes, 2))
    assert most <= len(chosen) <= 2 * most


def test_arguments_ids_and_marks() -> None:
    mark = pairwise(("a, b", {"first": (1, 2), "second": (3, 4)}), ("c", [5, 6]), ("d", [7, 8])).mark
    names, cases = mark.args
    assert names == "a, b, c, d"
    assert len(cases) == 8
    assert cases[0].values == (1, 2, 5, 7)
    assert cases[0].id == "first-5-7"
    assert sum(not case.marks for case in cases) == 4


def test_the_first_axis_once_and_the_others_in_turn() -> None:
    mark = in_turn(("a", range(7)), ("b", [1, 2]), ("c", [3, 4, 5])).mark
    run = [case.values for case in mark.args[1] if not case.marks]
    assert [a for a, _, _ in run] == list(range(7))
    assert {(b, c) for _, b, c in run} == set(itertools.product([1, 2], [3, 4, 5]))
