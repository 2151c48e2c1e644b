"""Tables of pandas and polars: columns by name, times in order, gaps, panels; the same numbers as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from bptt.data import Horizons, Standardize, Stream, Windows, split
from bptt.data.times import as_times, next_times, warn_of_gaps

pd = pytest.importorskip("pandas", reason="pandas makes the tables")
RNG = np.random.default_rng(0)
N = 40
DATES = pd.date_range("2024-01-01", periods=N, freq="h")
A, B = RNG.normal(5, 2, N), RNG.normal(-3, 0.1, N)


def pandas_table(order: Any = slice(None)) -> Any:
    return pd.DataFrame({"date": DATES, "a": A, "b": B}).iloc[order]


def polars_table(order: Any = slice(None)) -> Any:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.DataFrame({"date": DATES.to_numpy(), "a": A, "b": B})[order]


KINDS: dict[str, Callable[..., Any]] = {"pandas": pandas_table, "polars": polars_table}


def batches(data: Any) -> list[np.ndarray]:
    return [
        np.concatenate(parts, axis=axis) for axis, parts in zip((1, 0), zip(*data, strict=True), strict=True)
    ]


def panel(kind: str) -> Any:
    """Three stores of 12, 20 and 8 hours, with rows in turn as long as they last."""
    table, rows = KINDS[kind](), [("x", range(12)), ("y", range(20)), ("z", range(8))]
    order = sorted((hour, store) for store, hours in rows for hour in hours)
    picked = table.iloc if kind == "pandas" else table
    result = picked[[hour for hour, _ in order]]
    stores = [store for _, store in order]
    if kind == "pandas":
        return result.assign(store=stores)
    import polars

    return result.with_columns(polars.Series("store", stores))


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_read_and_scaled_by_name(kind: str) -> None:
    table = KINDS[kind]()
    scaling = Standardize.fit(table, columns=["b", "a"])
    assert scaling.columns == ("b", "a")
    np.testing.assert_allclose(scaling.mean, [B.mean(), A.mean()], rtol=1e-14)
    sizes = {"window": 4, "horizon": 3, "batch_size": 8}
    x, y = batches(Horizons(table, target="b", time="date", scaling=scaling, **sizes))
    both = np.stack([A, B], axis=1)
    means, scales = [A.mean(), B.mean()], [A.std(), B.std()]
    expected = ((both - means) / scales).astype(np.float32)
    arrays = Horizons(expected, target=expected[:, 1], **sizes)
    np.testing.assert_array_equal(x, batches(arrays)[0])
    np.testing.assert_array_equal(y, batches(arrays)[1])
    plain = Horizons(table, columns=["b"], target=["a", "b"], **sizes)
    np.testing.assert_array_equal(
        batches(plain)[0][..., 0], np.lib.stride_tricks.sliding_window_view(B[:-3], 4).T
    )
    np.testing.assert_allclose(scaling.undo(y, columns="b")[:, 0], B[4 : 4 + len(y)], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_window_reaches_from_one_group_into_the_next(kind: str) -> None:
    table = panel(kind)
    sizes = {"window": 4, "horizon": 3, "batch_size": 9}
    data = Horizons(table, target="a", time="date", group="store", **sizes)
    assert data.groups == ["x", "y", "z"]
    both = np.stack([A, B], axis=1)
    parts = [both[:12], both[:20], both[:8]]
    expected = Horizons(parts, target=[part[:, 0] for part in parts], **sizes)
    for one, other in zip(batches(data), batches(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    training, validation, test = split(table, 0.25, 0.25, context=2, time="date", group="store")
    assert [len(part) for part in (training, validation, test)] == [20, 10 + 6, 10 + 6]
    assert np.asarray(validation["a"]).tolist() == [*A[4:9], *A[8:15], *A[2:6]]
    assert type(training) is type(table)


@pytest.mark.parametrize("kind", KINDS)
def test_order_and_gaps_of_times(kind: str) -> None:
    sizes = {"window": 4, "horizon": 3, "batch_size": 8, "time": "date"}
    sort = "sort_values" if kind == "pandas" else "sort"
    with pytest.raises(
        ValueError, match=rf"row 1 has 2024-01-02 14:00:00, after .* series\.{sort}\('date'\)"
    ):
        Horizons(KINDS[kind](slice(None, None, -1)), **sizes)
    with pytest.raises(ValueError, match=r"rows 3 and 4 both have 2024-01-01 03:00:00. Fix: pass group="):
        Horizons(KINDS[kind]([0, 1, 2, 3, 3, *range(4, N)]), **sizes)
    with pytest.warns(
        UserWarning, match=r"series has 2 gaps: 2024-01-01 06:00:00 follows 2024-01-01 04:00:00, 2 us"
    ):
        Horizons(KINDS[kind]([*range(5), *range(6, 20), *range(30, N)]), **sizes)


def test_gaps_in_an_index_of_dates_warn_and_weekends_do_not() -> None:
    series = pd.Series(A, index=DATES)
    readers: list[Callable[[Any], Any]] = [
        lambda part: Windows(part, steps=3, batch_size=4),
        lambda part: Stream(part.to_frame(), steps=3),
        lambda part: Horizons(part, window=2, horizon=1, batch_size=4),
        split,
    ]
    for read in readers:
        read(series)
        with pytest.warns(UserWarning, match="has 1 gap"):
            read(series.drop(DATES[7]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frequency in ("B", "MS", "ME", "QE", "YE", "W", "D", "15min"):
            warn_of_gaps(as_times(pd.date_range("2023-03-01", periods=30, freq=frequency), "x"), "x")
            warn_of_gaps(as_times(pd.period_range("2023-03", periods=9, freq="M"), "x"), "x")
    with pytest.warns(UserWarning, match="has 1 gap: 2023-03-08 follows 2023-03-06, 2 usual"):
        warn_of_gaps(as_times(pd.bdate_range("2023-03-01", periods=9).delete(4), "x"), "x")


def test_the_next_times_are_those_of_pandas() -> None:
    frequencies = ("h", "15min", "D", "B", "W-TUE", "MS", "ME", "2MS", "QS", "QE", "YE", "YS")
    for start, frequency in product(("2023-01-02", "2024-02-26 00:00"), frequencies):
        dates = pd.date_range(start, periods=45, freq=frequency).to_numpy().astype("datetime64[ns]")
        np.testing.assert_array_equal(next_times(dates[:30], 15), dates[30:])
        if frequency in ("h", "15min", "D", "W-TUE", "MS"):  # also with gaps
            np.testing.assert_array_equal(next_times(np.delete(dates[:30], [5, 17]), 15), dates[30:])
    assert next_times(np.array([3, 5, 7]), 2).tolist() == [9, 11]
    assert next_times(np.array([0.0, 0.25]), 2).tolist() == [0.5, 0.75]
    assert next_times(np.array([4]), 2).tolist() == [5, 6]


def test_days_that_a_month_lacks() -> None:
    dates = np.array(["2023-10-30", "2023-11-30", "2023-12-30"], "datetime64[ns]")
    assert next_times(dates, 3).astype("datetime64[D]").astype(str).tolist() == [
        "2024-01-30",
        "2024-02-29",
        "2024-03-30",
    ]


def test_times_of_every_kind_are_read() -> None:
    expected = DATES.to_numpy().astype("datetime64[ns]")
    zoned = DATES.tz_localize("Europe/Berlin")
    for values in (
        DATES,
        pd.Series(DATES),
        DATES.astype(str),
        list(DATES.to_pydatetime()),
        DATES.to_period("h"),
    ):
        np.testing.assert_array_equal(as_times(values, "x"), expected)
    np.testing.assert_array_equal(as_times(pd.Series(zoned), "x"), expected - np.timedelta64(1, "h"))
    assert as_times([1, 2, 3], "x").tolist() == [1, 2, 3]
    for wrong, message in (
        (["now", "then"], "parse the text first"),
        ([True, False], "must hold dates, or numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            as_times(wrong, "x")
    with pytest.raises(ValueError, match="x must have a time in every row; row 1 has none"):
        as_times(pd.Series([DATES[0], pd.NaT]), "x")


SIZES: dict[str, Any] = {"window": 4, "horizon": 3, "batch_size": 8}
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an array": (lambda table: Horizons(A, target="a", **SIZES), "series must be a table"),
    "no such target": (
        lambda table: Horizons(table, target="c", **SIZES),
        "target must name a column of series",
    ),
    "no such time": (lambda table: Horizons(table, time="t", **SIZES), "time and group must name a column"),
    "no such group": (lambda table: split(table, group="store"), "time and group must name a column"),
    "an array for a name": (lambda table: split(table, time=np.ones(3)), "must name a column of series"),
    "groups without rows": (lambda table: split(table[:0], group="b"), "series must have at least one row"),
    "dates as numbers": (
        lambda table: Horizons(table, target="a", **SIZES),
        "column 'date' holds .* as time= or",
    ),
    "no scaling": (lambda table: Horizons(table, scaling=3, **SIZES), "scaling must be a Standardize"),
    "a scaling without names": (
        lambda table: Horizons(table, time="date", scaling=Standardize([0, 0], [1, 1]), **SIZES),
        "scaling must know the names",
    ),
    "a scaling of other columns": (
        lambda table: Horizons(table, time="date", scaling=Standardize([0], [1], ["a"]), **SIZES),
        r"scaling must have the columns \['a', 'b'\]; it has \['a'\]",
    ),
    "columns that are a number": (
        lambda table: Standardize.fit(table, columns=0.5),  # type: ignore[arg-type]
        "columns must be a name or a list of names; got 0.5",
    ),
    "columns of an array": (lambda table: Standardize.fit(A, columns=["a"]), "values must be a table"),
    "groups of an array": (lambda table: split(A, group="a"), "series must be a table"),
    "a short group": (
        lambda table: Horizons(table[:5], columns=["a"], target="a", group="b", **SIZES),
        r"series\[b == .*\] must have at least 7 steps",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_other_types(kind: str) -> None:
    """Dates are refused with a fix that the library has; whole numbers, truth values and gaps are numbers."""
    table = KINDS[kind]()
    fix = r"series\.set_index\('date'\)" if kind == "pandas" else r"series\.drop\('date'\)"
    for read in (lambda x: Windows(x, steps=2, batch_size=4), lambda x: Stream(x, steps=2)):
        with pytest.raises(TypeError, match=r"column 'date' holds dates"):
            read(table)
    with pytest.raises(TypeError, match=fix):
        Windows(table, steps=2, batch_size=4)
    values = {"n": np.arange(N), "yes": np.arange(N) % 3 == 0, "a": A}
    if kind == "pandas":
        mixed = pd.DataFrame(values).astype({"n": "Int64", "yes": "boolean"})
        gap = mixed.assign(n=mixed["n"].where(mixed["n"] != 5))
    else:
        import polars

        mixed = polars.DataFrame(values)
        gap = mixed.with_columns(n=polars.when(polars.col("n") != 5).then(polars.col("n")))
    expected = np.stack([np.arange(N), np.arange(N) % 3 == 0, A], axis=1)
    np.testing.assert_array_equal(next(iter(Windows(mixed, steps=2, batch_size=N)))[0][0], expected[:-2])
    np.testing.assert_array_equal(Standardize.fit(mixed).mean, expected.mean(axis=0))
    options = {"columns": ["yes", "n"], "target": "n", "window": 2, "horizon": 1, "batch_size": N}
    np.testing.assert_array_equal(batches(Horizons(mixed, **options))[0][0], expected[:-2, [1, 0]])
    with pytest.raises(ValueError, match="column 'n' has no number in 1 of 40 rows, first in row 5"):
        Horizons(gap, **options)


def test_labels_that_are_numbers() -> None:
    table = pd.DataFrame({10: A, 7: B})
    scaling = Standardize.fit(table)
    data = Horizons(table, columns=[7], target=[10], scaling=scaling, window=2, horizon=1, batch_size=N)
    x, y = batches(data)
    np.testing.assert_array_equal(x[0, :, 0], scaling.apply(table)[:-2, 1])
    np.testing.assert_array_equal(y[:, 0], scaling.apply(table)[2:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_names(kind: str, subtests: pytest.Subtests) -> None:
    for name, (call, message) in WRONG.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=message):
            call(KINDS[kind]())


def test_names_beside_a_column_with_a_name_of_two_levels() -> None:
    """NumPy compares an array, and its own numbers, with each entry of such a name."""
    table = panel("pandas").rename(columns={"a": ("x", "y")})
    for wrong in (np.float32(2), np.empty(0), np.ones(2)):
        with pytest.raises(ValueError, match="time and group must name a column of series"):
            split(table, time=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_missing_numbers_and_groups(kind: str) -> None:
    table = panel(kind)
    gap = np.where(np.arange(len(table)) == 5, np.nan, 1.0)
    store = [None, *["x"] * (len(table) - 1)]
    if kind == "pandas":
        without, nameless = table.assign(a=gap), table.assign(store=store)
    else:
        import polars

        without = table.with_columns(polars.Series("a", [None if np.isnan(v) else v for v in gap]))
        nameless = table.with_columns(polars.Series("store", store))
    with pytest.raises(ValueError, match=r"column 'a' has no number in 1 of .* Fix: fill the gaps"):
        Horizons(without, target="a", time="date", group="store", window=2, horizon=1, batch_size=4)
    with pytest.raises(ValueError, match="column 'store' has empty cells"):
        Horizons(nameless, target="a", time="date", group="store", window=2, horizon=1, batch_size=4)
