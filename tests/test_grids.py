"""The tests' own grids: which combinations of values the suite runs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests import (
    test_clip_state,
    test_kind_checker_false_alarm,
    test_lyapunov,
    test_options,
    test_recompute,
)
from tests.cells import CASES, COMBINED, ISAS, PAIRS, SINGLE
from tests.grids import cover_pairs, in_turn, pairwise, together


def in_the_suite(mark: pytest.MarkDecorator | pytest.Mark) -> list[tuple[Any, ...]]:
    """Return the values of the cases without the marker "grid"."""
    return [
        getattr(case, "values", case)
        for case in mark.args[1]
        if not any(each.name == "grid" for each in getattr(case, "marks", ()))
    ]


def pairs_of(combinations: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """Return each pair of values that a combination holds, with the places of the two."""
    return {pair for each in combinations for pair in itertools.combinations(enumerate(each), 2)}


@pytest.mark.parametrize("sizes", [(2, 3), (8, 3, 2, 3, 3), (40, 2, 3), (1, 1, 1)], ids=str)
def test_every_pair_of_values_is_covered(sizes: tuple[int, ...]) -> None:
    combinations = list(itertools.product(*map(range, sizes)))
    chosen = cover_pairs(combinations)
    assert pairs_of(list(chosen)) == pairs_of(combinations)
    most = max(a * b for a, b in itertools.combinations(sizes, 2))
    assert most <= len(chosen) <= 2 * most


def test_arguments_ids_and_marks() -> None:
    mark = pairwise(("a, b", {"first": (1, 2), "second": (3, 4)}), ("c", [5, 6]), ("d", [7, 8])).mark
    names, cases = mark.args
    assert names == "a, b, c, d"
    assert len(cases) == 8
    assert cases[0].values == (1, 2, 5, 7)
    assert cases[0].id == "first-5-7"
    assert len(in_the_suite(mark)) == 4


def test_combinations_that_are_left_out_take_no_pair_with_them() -> None:
    def allowed(a: int, b: int, c: int) -> bool:
        return (a, b) != (0, 0) and (b, c) != (1, 1)

    mark = pairwise(("a", range(3)), ("b", range(3)), ("c", range(2)), where=allowed).mark
    every = [values for values in itertools.product(range(3), range(3), range(2)) if allowed(*values)]
    assert [case.values for case in mark.args[1]] == every
    assert pairs_of(in_the_suite(mark)) == pairs_of(every)


def test_the_fields_of_a_case_are_axes_of_their_own() -> None:
    run = in_the_suite(pairwise(("case", CASES), ("isa", ISAS)).mark)
    assert len(run) < len(CASES)
    assert pairs_of([(*case.axes, isa) for case, isa in run]) == pairs_of(
        [(*case.axes, isa) for case in CASES for isa in ISAS]
    )


def test_the_first_axis_once_and_the_others_in_turn() -> None:
    run = in_the_suite(in_turn(("a", range(7)), ("b", [1, 2]), ("c", [3, 4, 5])).mark)
    assert [a for a, _, _ in run] == list(range(7))
    assert {(b, c) for _, b, c in run} == set(itertools.product([1, 2], [3, 4, 5]))


def test_extra_values_are_not_in_the_suite() -> None:
    mark = in_turn(("a", [1, 2]), ("b", [3, 4]), extra={"more": 9}).mark
    assert [case.values for case in mark.args[1]] == [(a, b) for a in (1, 2, 9) for b in (3, 4)]
    assert in_the_suite(mark) == [(1, 3), (2, 4)]


class NamesOfSubtests(list[str]):
    """Stands in for the fixture `subtests`."""

    def test(self, name: str) -> contextlib.AbstractContextManager[None]:
        self.append(name)
        return contextlib.nullcontext()


def test_cases_together_are_those_of_the_mark() -> None:
    calls: list[tuple[int, int]] = []

    def record(a: int, b: int) -> None:
        calls.append((a, b))

    mark = in_turn(("a", range(5)), ("b", [1, 2]), extra={"more": 9})
    test: Any = together(mark, size=2)(record)
    (parametrized,) = test.pytestmark
    groups = [case.values[0] for case in parametrized.args[1]]
    assert [len(group) for (group,) in in_the_suite(parametrized)] == [2, 2, 1]
    subtests = NamesOfSubtests()
    for group in groups:
        test(subtests, group)
    assert sorted(calls) == sorted(case.values for case in mark.args[1])
    assert sorted(subtests) == sorted(case.id for case in mark.args[1])
    in_suite = [case.values for (group,) in in_the_suite(parametrized) for case in group]
    assert in_suite == in_the_suite(mark.mark)


# Options of layers


def options_in_the_suite(test: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield class and options of each case of a test."""
    for mark in [*getattr(test, "pytestmark", ()), *([test.cases.mark] if hasattr(test, "cases") else ())]:
        if "options" in mark.args[0]:
            yield from ((kind, options) for kind, options, *_ in in_the_suite(mark))


def missing(wanted: dict[str, tuple[str, dict[str, Any]]], *tests: Callable[..., Any]) -> list[str]:
    """Return the ids of the options that no case has, alone or with others."""
    found = [each for test in tests for each in options_in_the_suite(test)]
    return [
        name
        for name, (kind, options) in wanted.items()
        if not any(other == kind and options.items() <= more.items() for other, more in found)
    ]


CALLS: dict[str, Callable[..., Any]] = {
    "gradcheck": test_options.test_gradients,
    "crosscheck": test_options.test_agreement_with_the_reference,
    "gradcheck of the reference": test_options.test_gradients_of_the_reference,
    "forward and backward, ragged": test_options.test_a_row_has_the_bits_that_it_has_alone,
    "forward and backward, on threads": test_options.test_threads_change_no_bit,
    "call, freeze and stream": test_options.test_inference_frozen_streamed_and_in_pieces,
    "reset": test_options.test_a_reset_parts_a_row_into_sequences_of_their_own,
    "clip_state": test_clip_state.test_agreement_with_the_reference,
    "checkpoint": test_recompute.test_every_option,
    "lyapunov_spectrum": test_lyapunov.test_every_option_agrees_with_differences,
    "a check that must find an error": test_kind_checker_false_alarm.test_a_planted_error_is_found,
}
PAIRS_TOO: dict[str, tuple[Callable[..., Any], ...]] = {
    "gradcheck": (test_options.test_gradients_of_options_together,),
    "crosscheck": (test_options.test_agreement_with_the_reference,),
    "clip_state": (test_clip_state.test_agreement_of_pairs_of_options,),
    "lyapunov_spectrum": (test_lyapunov.test_every_option_agrees_with_differences,),
    "a check that must pass": (test_kind_checker_false_alarm.test_correct_layers_pass,),
    "a check that must find an error": (test_kind_checker_false_alarm.test_a_planted_error_is_found,),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_option_meets_every_call(call: str) -> None:
    assert missing(SINGLE, CALLS[call]) == []


@pytest.mark.parametrize("call", PAIRS_TOO)
def test_every_pair_of_options_meets(call: str) -> None:
    assert missing(PAIRS, *PAIRS_TOO[call]) == []


def test_few_layers_hold_every_pair_of_options() -> None:
    assert 4 * len(COMBINED) < len(PAIRS)
    assert missing(PAIRS, test_options.test_threads_change_no_bit) != []  # a test that has single options
