"""Kind of fault: degenerate columns and cells.

Constant columns, one row, one column, gaps, lists of equal and of unequal lengths, and objects used twice:
the right result, or one clear error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bptt.data import Arrays, Horizons, Ragged, Standardize, Stream, Windows, pad, split, unpad

RNG = np.random.default_rng(0)

# Constant columns


@pytest.mark.parametrize("value", [0.1, -1 / 3, 1e-300, 1e150, 0.0, 5e-324])
def test_a_constant_column_has_scale_1(value: float) -> None:
    for neighbour in [False, True]:
        for rows in [1, 2, 1000, 100_000]:
            columns = [np.full(rows, value)] + [np.sin(np.arange(rows) / 9)] * neighbour
            scaling = Standardize.fit(np.stack(columns, axis=1))
            assert scaling.scale[0] == 1
            assert scaling.mean[0] == value
            nudged = scaling.apply(np.stack([columns[0] + 1e-4, *columns[1:]], axis=1), "float64")
            np.testing.assert_allclose(nudged[:, 0], 1e-4 if abs(value) < 1 else 0, rtol=1e-10)


@pytest.mark.parametrize("constant", [0.1, 1e6, -1.7e9])
@pytest.mark.parametrize("spread", [1e-4, 1e-200])
def test_a_column_that_varies_a_little_keeps_its_scale(constant: float, spread: float) -> None:
    """The deviation is far below what the rounding of a sum of as many values may be."""
    offset = 0.0 if spread < 1e-100 else constant
    values = np.full((200_000, 2), offset)
    values[::2, 0] += spread
    values[:, 1] = np.arange(len(values))
    step = values[0, 0] - values[1, 0]  # as float64 holds it
    scaling = Standardize.fit(values)
    np.testing.assert_allclose(scaling.scale[0], step / 2, rtol=1e-6)
    half_a_unit = abs(np.spacing(offset)) / step  # of the mean, in deviations
    np.testing.assert_allclose(scaling.apply(values[:2])[:, 0], [1, -1], rtol=1e-6 + half_a_unit)


def test_noise_of_rounding_is_no_deviation() -> None:
    values = np.full((50_000, 2), 0.3)
    values[::3] = 0.1 + 0.2
    assert Standardize.fit(values).scale.tolist() == [1, 1]


def test_ordinary_columns_have_numpys_mean_and_deviation() -> None:
    values = RNG.normal((5.0, -200.0, 1e5), (0.1, 30.0, 1e-3), (5000, 3))
    scaling = Standardize.fit(values)
    np.testing.assert_array_equal(scaling.mean, values.mean(axis=0))
    np.testing.assert_array_equal(scaling.scale, values.std(axis=0))


# Lists


EQUAL = [RNG.random(12).tolist() for _ in range(5)]
UNEQUAL = [row[: 12 - i] for i, row in enumerate(EQUAL)]


@pytest.mark.parametrize("rows", [EQUAL, UNEQUAL], ids=["equal", "unequal"])
@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda row: np.array(row)[:, None]])
def test_a_list_of_sequences_is_a_list_of_series(kind: Callable[[Any], Any], rows: list[list[float]]) -> None:
    series = [kind(row) for row in rows]
    windows = Horizons(series, window=4, horizon=2, batch_size=8)
    assert windows.count == sum(len(row) - 5 for row in rows)
    np.testing.assert_array_equal(windows.inputs()[0, :, 0], rows[0][:4])
    assert windows.targets().shape == (windows.count, 2, 1)
    scaling, joined = Standardize.fit(series), np.concatenate(rows)
    np.testing.assert_allclose(scaling.mean, [joined.mean()], rtol=1e-15)
    np.testing.assert_allclose(scaling.scale, [joined.std()], rtol=1e-15)


def test_lists_of_tables_and_nested_lists() -> None:
    parts = [RNG.random((9, 2)), RNG.random((12, 2))]
    for series in (parts, tuple(parts), [part.tolist() for part in parts]):
        assert Horizons(series, window=4, horizon=2, batch_size=8).inputs().shape == (4 + 7, 4, 2)
        np.testing.assert_array_equal(Standardize.fit(series).mean, np.concatenate(parts).mean(axis=0))


# Nothing, one row, one column: a result, or one error in the library's words


def uses(data: Any) -> list[Any]:
    """Two passes."""
    return [[np.array(batch[0]) for batch in data] for _ in range(2)]


MAKERS: dict[str, Callable[[Any], Any]] = {
    "Windows": lambda series: uses(Windows(series, steps=2, batch_size=3)),
    "Horizons": lambda series: uses(Horizons(series, window=2, horizon=1, batch_size=3)),
    "Stream": lambda series: uses(Stream(series, steps=2)),
    "Arrays": lambda series: uses(Arrays(np.asarray(series)[None], [0], batch_size=2)),
    "pad": lambda series: unpad(*pad([series, series])),
    "Ragged": lambda series: uses(Ragged([series, series], [0, 1], batch_size=2)),
    "Standardize": lambda series: [Standardize.fit(series).apply(series) for _ in range(2)],
    "split": lambda series: split(series, 0.1, 0.1, context=2),
}
DEGENERATE: dict[str, Any] = {
    "an empty list": [],
    "no steps": np.zeros(0),
    "no rows": np.zeros((0, 2)),
    "one step": np.ones(1),
    "one row": np.ones((1, 2)),
    "one column": np.ones((9, 1)),
    "constant": np.full((30, 2), 0.1),
    "constant integers": np.full(30, 7),
    "booleans": np.ones((30, 2), bool),
    "a gap": np.where(np.arange(30) == 4, np.nan, 1.0),
}


def test_a_result_or_one_clear_error(subtests: pytest.Subtests) -> None:
    for case in DEGENERATE:
        with subtests.test(case):
            for maker in MAKERS:
                refused = ""
                try:
                    result = MAKERS[maker](DEGENERATE[case])
                except ValueError as error:
                    refused = str(error)
                if refused:
                    assert re.search("must .*Fix: ", refused)
                elif maker != "split":
                    first, second = result
                    for one, two in zip(first, second, strict=True):
                        np.testing.assert_array_equal(one, two)
                        assert case == "a gap" or np.isfinite(one).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Horizons([], window=4, horizon=2, batch_size=8),
            r"series must hold at least one step .*; got shape \(0,\)",
        ),
        (
            lambda: Horizons(np.zeros((0, 2)), window=4, horizon=2, batch_size=8),
            "series must hold at least one step",
        ),
        (
            lambda: Horizons(np.zeros((9, 0)), window=4, horizon=2, batch_size=8),
            r"one value per step; got shape \(9, 0\)",
        ),
        (
            lambda: Horizons([[1.0] * 9, []], window=4, horizon=2, batch_size=8),
            r"series\[1\] must hold at least one step",
        ),
        (
            lambda: Horizons([1.0, [2.0]], window=4, horizon=2, batch_size=8),
            r"series\[0\] must have shape \(N,\) or \(N, F\); got \(\)",
        ),
        (lambda: Standardize.fit([]), "values must hold at least one step"),
        (lambda: Standardize.fit(np.zeros((5, 0))), r"values must have shape .*; got \(5, 0\)"),
        (lambda: Standardize.fit(3.0), r"values must have shape .*; got \(\)"),
        (lambda: Standardize.fit([[1.0], 2.0]), r"values\[1\] must have shape"),
    ],
)
def test_nothing_is_refused_in_plain_words(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# A part of a series that is shorter than the context of the part after it


@pytest.mark.parametrize("context", range(6))
def test_a_part_begins_with_its_whole_context(context: int) -> None:
    """The first window of each part is followed by the first step of the part."""
    series = np.arange(10)
    for validation, test in ((0.3, 0.2), (0.0, 0.5), (0.5, 0.0), (0.3, 0.4)):
        starts = (10 - round(10 * validation) - round(10 * test), 10 - round(10 * test))
        shortest = min(start for start, share in zip(starts, (validation, test), strict=True) if share)
        if context > shortest:
            with pytest.raises(ValueError, match=f"context must be at most {shortest}, .* got {context}"):
                split(series, validation, test, context=context)
            continue
        parts = split(series, validation, test, context=context)
        for start, part in zip(starts, parts[1:], strict=True):
            assert len(part) == 0 or part[context] == start
