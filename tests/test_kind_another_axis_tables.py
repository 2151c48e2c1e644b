"""Kind of fault: silently another axis or column, in tables and in the scaling of outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.data import Horizons, Standardize, split

pandas = pytest.importorskip("pandas", reason="pandas makes the tables")

RNG = np.random.default_rng(0)
TABLE = pandas.DataFrame({"a": RNG.normal(100, 5, 50), "b": RNG.normal(0, 0.1, 50)})


def scaling() -> Standardize:
    return Standardize.fit(TABLE)


@pytest.mark.parametrize("way", ["apply", "undo"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            TABLE[["b", "a"]],
            r"must have the columns \['a', 'b'\] in this order.* got \['b', 'a'\]. Fix: pass [xy]\[",
        ),
        (TABLE.rename(columns={"b": "c"}), r"got \['a', 'c'\]. Fix: pass the same columns"),
        (TABLE[["a"]], r"got \['a'\]. Fix: pass the same columns"),
    ],
    ids=["order", "name", "missing"],
)
def test_other_columns_are_refused(way: str, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(scaling(), way)(given)


def test_the_order_that_was_learned_is_accepted() -> None:
    learned = scaling()
    expected = learned.apply(TABLE.to_numpy())
    swapped = TABLE[["b", "a"]]
    for given in (TABLE, swapped[["a", "b"]], pandas.DataFrame(TABLE.to_numpy()), TABLE.to_numpy().tolist()):
        np.testing.assert_array_equal(learned.apply(given), expected)
    np.testing.assert_array_equal(Standardize.fit(TABLE.to_numpy()).apply(TABLE), expected)
    numbered = Standardize.fit(pandas.DataFrame(TABLE.to_numpy()))
    with pytest.raises(ValueError, match=r"columns \[0, 1\] in this order"):
        numbered.apply(pandas.DataFrame(TABLE.to_numpy())[[1, 0]])


def test_columns_survive_a_file(tmp_path: Path) -> None:
    bptt.save(tmp_path / "m", bptt.Linear(2, 1), extra={"scaling": scaling().to_dict()})
    again = Standardize.from_dict(bptt.files.read_checkpoint(tmp_path / "m").extra["scaling"])
    assert again.columns == ("a", "b")
    with pytest.raises(ValueError, match="in this order"):
        again.apply(TABLE[["b", "a"]])
    assert json.dumps(Standardize.fit(TABLE.to_numpy()).to_dict()).count("columns") == 0


@pytest.mark.parametrize(
    "make", [Standardize.fit, lambda parts: Horizons(parts, window=4, horizon=2, batch_size=8)]
)
def test_tables_of_a_list_must_agree(make: Callable[[Any], object]) -> None:
    make([TABLE, TABLE[:20]])
    with pytest.raises(ValueError, match=r"\[1\] must have the columns \['a', 'b'\] in this order"):
        make([TABLE, TABLE[["b", "a"]]])


# Forecasts


@pytest.mark.parametrize("columns", [["b"], [1], 1, "b", ["b", "a"], [2, 0, 1], range(3)], ids=str)
def test_undo_of_forecasts(columns: Any) -> None:
    """(B, horizon * K), as Horizons orders targets; K * horizon equals F in some of the cases."""
    for horizon in [1, 2, 3]:
        table = pandas.DataFrame(RNG.normal((100, 0, -7), (5, 0.1, 2), (50, 3)), columns=["a", "b", "c"])
        learned = Standardize.fit(table)
        names = [columns] if isinstance(columns, (int, str)) else list(columns)
        at = [list("abc").index(name) if isinstance(name, str) else name for name in names]
        truth = Horizons(table, window=4, horizon=horizon, batch_size=64, target=table.to_numpy()[:, at])
        values = learned.apply(table, "float64")
        scaled = Horizons(values, window=4, horizon=horizon, batch_size=64, target=values[:, at])
        (_, expected), (_, y) = next(iter(truth)), next(iter(scaled))
        np.testing.assert_allclose(learned.undo(y, columns), expected, rtol=1e-12)
        steps = y.reshape(len(y), horizon, len(at))
        np.testing.assert_allclose(learned.undo(steps, columns).reshape(expected.shape), expected, rtol=1e-12)


def test_undo_of_one_column_has_any_shape() -> None:
    learned = Standardize([5.0], [2.0])
    for shape in ((), (3,), (4, 3), (2, 3, 5)):
        np.testing.assert_array_equal(learned.undo(np.ones(shape)), np.full(shape, 7.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda s: s.undo(np.zeros((4, 6))),
            ValueError,
            r"name the columns that y holds.* columns=range\(2\)",
        ),
        (lambda s: s.undo(np.zeros((4, 3)), [0, 1]), ValueError, r"horizon x 2; got shape \(4, 3\)"),
        (lambda s: s.undo(np.zeros(()), [0, 1]), ValueError, r"horizon x 2; got shape \(\)"),
        (lambda s: s.undo(np.zeros((4, 2)), [0, 2]), ValueError, "columns must be an int"),
        (lambda s: s.undo(np.zeros((4, 2)), [0.5]), TypeError, "columns must be an int"),
        (
            lambda s: s.undo(np.zeros((4, 2)), ["z"]),
            ValueError,
            r"columns must be among \['a', 'b'\]; got 'z'",
        ),
        (lambda s: s.undo(np.zeros((4, 2)), []), ValueError, "at least one column"),
        (lambda s: Standardize([0, 0], [1, 1]).take(["a"]), ValueError, "no column labels"),
        (lambda s: Standardize([0, 0], [1, 1], ["a"]), ValueError, "columns must hold 2 labels"),
        (lambda s: Standardize([0, 0], [1, 1], "ab"), TypeError, "columns must be a list"),
    ],
)
def test_bad_columns(call: Callable[[Standardize], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(scaling())


# Rows


def panel(levels: int = 2) -> Any:
    index = pandas.MultiIndex.from_product([["x", "y"], range(25)], names=["store", "day"])
    return TABLE.set_index(index)


@pytest.mark.parametrize(
    "read",
    [
        lambda x: Horizons(x, window=4, horizon=2, batch_size=8),
        lambda x: Horizons([x], window=4, horizon=2, batch_size=8),
        lambda x: Horizons(x["a"], window=4, horizon=2, batch_size=8),
        split,
    ],
)
def test_a_panel_is_not_one_series(read: Callable[[Any], object]) -> None:
    with pytest.raises(
        ValueError, match=r"must be one series, .*\['store', 'day'\].*groupby\(level='store'\)"
    ):
        read(panel())
    read(panel().loc[["x"]])


@pytest.mark.parametrize(
    "read",
    [
        lambda x: Horizons(x, window=4, horizon=2, batch_size=8),
        lambda x: Horizons([x["a"]], window=4, horizon=2, batch_size=8),
        split,
    ],
)
def test_rows_must_be_in_order_of_time(read: Callable[[Any], object]) -> None:
    dated = TABLE.set_index(pandas.date_range("2020", periods=50))
    read(dated)
    read(dated.set_index(dated.index.repeat(2)[:50]))
    for other in (dated[::-1], dated.sample(frac=1, random_state=0)):
        with pytest.raises(ValueError, match=r"rows in order of time.*Fix: .*sort_index\(\)"):
            read(other)
        read(other.reset_index(drop=True))


DAYS = [date(2020, 1, 1) + timedelta(i) for i in range(50)]
INDICES: dict[str, Any] = {
    "datetimes": pandas.date_range("2020", periods=50),
    "datetimes with a zone": pandas.date_range("2020", periods=50, tz="UTC"),
    "periods": pandas.period_range("2020", periods=50, freq="D"),
    "durations": pandas.timedelta_range(0, periods=50, freq="h"),
    "dates": pandas.Index(DAYS),
    "dates as objects": pandas.Index(DAYS, dtype=object),
    "datetimes as objects": pandas.Index(pandas.date_range("2020", periods=50), dtype=object),
    "periods as objects": pandas.Index(pandas.period_range("2020", periods=50, freq="D"), dtype=object),
    "dates as text": pandas.Index([day.isoformat() for day in DAYS]),
}


@pytest.mark.parametrize("kind", INDICES)
def test_every_index_of_times_must_be_in_order(kind: str) -> None:
    dated = TABLE.set_index(INDICES[kind])
    for read in (split, lambda x: Horizons(x["a"], window=4, horizon=2, batch_size=8)):
        read(dated)
        for other in (dated[::-1], dated.sample(frac=1, random_state=0)):
            with pytest.raises(ValueError, match=r"rows in order of time.*Fix: .*sort_index\(\)"):
                read(other)
            read(other.sort_index())
        with pytest.raises(ValueError, match="Fix: pass a list of series"):
            read(pandas.concat([dated, dated]))


@pytest.mark.parametrize(
    "labels", [range(50, 0, -1), [f"row {i}" for i in range(50)], ["2020"] * 25 + ["x"] * 25]
)
def test_other_labels_need_no_order(labels: Any) -> None:
    split(TABLE.set_index(pandas.Index(labels)))


def test_the_parts_of_a_panel_are_series() -> None:
    parts = [part for _, part in panel().groupby(level="store")]
    assert Horizons(parts, window=4, horizon=2, batch_size=8).count == 2 * 20


@pytest.mark.parametrize("read", [Standardize.fit, lambda x: Horizons(x, window=4, horizon=2, batch_size=8)])
def test_channels_before_time(read: Callable[[Any], object]) -> None:
    series = [RNG.random((3, length)) for length in (20, 15, 30)]
    with pytest.raises(
        ValueError, match=r"\[1\] must have as many .*the first axes agree: pass \[x.T for x in"
    ):
        read(series)
    read([x.T for x in series])


# Columns that do not hold numbers


COLUMNS: dict[str, tuple[Any, str]] = {
    "dates": (
        pandas.date_range("2020", periods=50),
        r"column 't' holds dates or .*Fix: pass \w+.set_index\('t'\)",
    ),
    "dates with a zone": (pandas.date_range("2020", periods=50, tz="UTC"), "column 't' holds dates"),
    "durations": (pandas.to_timedelta(np.arange(50), unit="s"), "column 't' holds dates"),
    "text": (["x"] * 50, "column 't' holds values that are not numbers"),
    "categories": (pandas.Categorical(["x", "y"] * 25), "column 't' holds values that are not numbers"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_without_numbers(case: str) -> None:
    for read in [Standardize.fit, lambda x: Horizons(x, window=4, horizon=2, batch_size=8), split]:
        values, message = COLUMNS[case]
        with pytest.raises(TypeError, match=message):
            read(TABLE.assign(t=values))


def test_nullable_columns_are_read() -> None:
    table = pandas.DataFrame(
        {"a": pandas.array(range(50), dtype="Int64"), "b": pandas.array([0.5] * 50, "Float64")}
    )
    assert Standardize.fit(table).mean.tolist() == [24.5, 0.5]
    assert Horizons(table, window=4, horizon=2, batch_size=8).inputs().dtype == np.float64
    table.loc[3, "a"] = pandas.NA
    with pytest.raises((TypeError, ValueError), match=r"holds missing values|finite variance"):
        Standardize.fit(table)
