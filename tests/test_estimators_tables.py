"""Forecaster on tables of pandas and polars: targets and exogenous columns, panels, and the next times."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")
pytest.importorskip("pandas", reason="pandas makes the tables")

import pandas as pd
from sklearn.base import clone

from bptt.estimators import Forecaster

N = 60
SMALL: dict[str, Any] = {"horizon": 3, "window": 8, "epochs": 2, "hidden_size": 4, "random_state": 0}
DATES = pd.date_range("2024-01-31", periods=N + 3, freq=pd.offsets.MonthEnd())
VALUES = np.stack([np.sin(np.arange(N) / 5) + 3, np.cos(np.arange(N) / 5), np.arange(N) / 9.0], axis=1)
NAMES = ["load", "wind", "hour"]


def pandas_table() -> Any:
    return pd.DataFrame(VALUES, columns=NAMES).assign(day=DATES[:N])


def polars_table() -> Any:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.DataFrame(
        {name: VALUES[:, k] for k, name in enumerate(NAMES)} | {"day": DATES[:N].to_numpy()}
    )


KINDS: dict[str, Callable[[], Any]] = {"pandas": pandas_table, "polars": polars_table}


def times(column: Any) -> np.ndarray:
    return np.asarray(column).astype("datetime64[ns]")


NEXT = times(DATES[N:])


@pytest.mark.parametrize("kind", KINDS)
def test_targets_and_exogenous_columns(kind: str) -> None:
    """The network reads all columns, the targets first, and forecasts the targets."""
    table = KINDS[kind]()
    model = Forecaster(target="load", time="day", **SMALL).fit(table)
    assert model.feature_names_in_.tolist() == NAMES
    assert (model.n_channels_, model.n_targets_) == (3, 1)
    found, (lower, upper) = model.predict(), model.predict_interval()
    for part in (found, lower, upper):
        assert type(part) is type(table)
        assert list(part.columns) == ["day", "load"]
        np.testing.assert_array_equal(times(part["day"]), NEXT)
    assert (np.asarray(lower["load"]) <= np.asarray(found["load"])).all()
    few = Forecaster(target=["wind", "load"], exogenous="hour", time="day", **SMALL).fit(table)
    assert list(few.predict().columns) == ["day", "wind", "load"]
    assert few.mean_.tolist() == pytest.approx(VALUES[:, [1, 0, 2]].mean(axis=0))
    alone = Forecaster(target="load", exogenous=[], time="day", **SMALL).fit(table)
    series = Forecaster(**SMALL).fit(VALUES[:, 0])
    np.testing.assert_array_equal(np.asarray(alone.predict()["load"]), series.predict())
    assert alone.score(table) == series.score(VALUES[:, 0])
    columns = table[["day", "hour", "wind", "load"]]  # another order
    np.testing.assert_array_equal(np.asarray(model.predict(columns)["load"]), np.asarray(found["load"]))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(np.asarray(again.predict()["load"]), np.asarray(found["load"]))
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("kind", KINDS)
def test_a_panel_is_forecast_series_by_series(kind: str) -> None:
    table = KINDS[kind]()
    if kind == "pandas":
        panel = pd.concat([table.assign(plant="b"), table[:40].assign(plant="a", load=-VALUES[:40, 0])])
    else:
        import polars

        short = table[:40].with_columns(polars.Series("load", -VALUES[:40, 0]))
        parts = ((table, "b"), (short, "a"))
        panel = polars.concat([part.with_columns(polars.lit(name).alias("plant")) for part, name in parts])
    model = Forecaster(target="load", time="day", group="plant", **SMALL).fit(panel)
    found = model.predict()
    assert list(found.columns) == ["plant", "day", "load"]
    assert np.asarray(found["plant"]).tolist() == ["b"] * 3 + ["a"] * 3
    np.testing.assert_array_equal(times(found["day"]), [*NEXT, *times(DATES[40:43])])
    series = [VALUES, np.c_[-VALUES[:40, 0], VALUES[:40, 1:]]]
    whole = Forecaster(**SMALL).fit(series)
    np.testing.assert_allclose(model.mean_, whole.mean_, rtol=1e-14)
    one = model.predict(panel[:N])
    np.testing.assert_array_equal(np.asarray(one["load"]), np.asarray(found["load"])[:3])


def test_an_index_goes_on() -> None:
    table = pd.DataFrame(VALUES, columns=NAMES)
    berlin = pd.date_range("2024-10-20", periods=N + 3, freq="D", tz="Europe/Berlin", name="day")
    indices = {
        "dates": (DATES[:N], DATES[N:]),
        "days of a zone": (berlin[:N], berlin[N:]),
        "hours of a zone": (
            pd.date_range("2024-10-25", periods=N, freq="h", tz="Europe/Berlin"),
            pd.date_range("2024-10-27 11:00", periods=3, freq="h", tz="Europe/Berlin"),
        ),
        "periods": (
            pd.period_range("2024-01", periods=N, freq="M"),
            pd.period_range("2029-01", periods=3, freq="M"),
        ),
        "rows": (pd.RangeIndex(10, 10 + 2 * N, 2), pd.Index([130, 132, 134])),
        "numbers": (pd.Index(np.arange(N) / 4), pd.Index([15.0, 15.25, 15.5])),
        "texts": (pd.Index([f"r{i}" for i in range(N)]), pd.RangeIndex(N, N + 3)),
    }
    for name, (index, expected) in indices.items():
        model = Forecaster(**SMALL | {"epochs": 1}).fit(table.set_index(index))
        found = model.predict()
        assert found.columns.tolist() == NAMES
        assert found.index.equals(expected), name
        assert found.index.name == index.name
        column = Forecaster(**SMALL | {"epochs": 1}).fit(table["load"].set_axis(index)).predict()
        assert column.index.equals(expected), name
        assert column.name == "load"


WRONG: dict[str, tuple[dict[str, Any], Any, str]] = {
    "an array": ({"target": "load"}, VALUES, "X must be a table"),
    "no such target": ({"target": "sun"}, pandas_table(), "target must name a column of X"),
    "no such exogenous": ({"target": "load", "exogenous": ["sun"]}, pandas_table(), "exogenous must name"),
    "both": ({"target": "load", "exogenous": ["load"], "time": "day"}, pandas_table(), "different columns"),
    "no target": ({"target": [], "time": "day"}, pandas_table(), "target at least one"),
    "recursive": (
        {"target": "load", "time": "day", "strategy": "recursive"},
        pandas_table(),
        'strategy must be "direct"',
    ),
    "dates": ({"target": "load"}, pandas_table(), "column 'day' holds"),
    "order": ({"target": "load", "time": "day"}, pandas_table()[::-1], "in order of time.*, or group= with"),
}


def test_wrong_columns(subtests: pytest.Subtests) -> None:
    for name, (options, table, message) in WRONG.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=message):
            Forecaster(**SMALL | options).fit(table)
    model = Forecaster(target="load", time="day", **SMALL).fit(pandas_table())
    with pytest.raises(TypeError, match="X must be a table with the columns of the fit"):
        model.predict(VALUES)
    with pytest.raises(ValueError, match="target and exogenous must name a column of X"):
        model.predict(pandas_table().drop(columns="wind"))
