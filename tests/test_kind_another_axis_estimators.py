"""Kind of fault: silently another axis or column, in the data of estimators.

Right, refused, or one warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

from bptt.estimators import Forecaster, SequenceClassifier, SequenceRegressor

RNG = np.random.default_rng(0)
ROWS = 8
LABELS = np.arange(ROWS) % 2


def classifier() -> SequenceClassifier:
    return SequenceClassifier("rnn", hidden_size=3, epochs=1, random_state=0)


def regressor() -> SequenceRegressor:
    return SequenceRegressor("rnn", hidden_size=3, epochs=1, random_state=0)


def forecaster(**options: Any) -> Forecaster:
    return Forecaster(horizon=2, window=3, cell="rnn", hidden_size=3, epochs=1, random_state=0, **options)


def fit(model: Any, X: Any) -> Any:
    return model.fit(X) if isinstance(model, Forecaster) else model.fit(X, LABELS[: len(X)])


# Targets of a forecaster


@pytest.mark.parametrize("call", ["fit", "partial_fit", "score"])
def test_a_forecaster_refuses_targets(call: str) -> None:
    x = RNG.random((40, 2))
    model = forecaster().fit(x)
    before = model.predict()
    with pytest.raises(
        ValueError, match=r"y must be None, because Forecaster .*Fix: .*fit\(X\), .*SequenceRegressor"
    ):
        getattr(model, call)(x, x[:, 0])
    assert np.array_equal(model.predict(), before)


# Lists


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda row: np.array(row)[:, None]])
@pytest.mark.parametrize("equal", [True, False])
def test_a_list_of_sequences_is_a_list_of_series(equal: bool, kind: Callable[[Any], Any]) -> None:
    rows = [RNG.standard_normal(20 if equal else 20 - i).tolist() for i in range(6)]
    model = forecaster().fit([kind(row) for row in rows])
    assert model.n_channels_ == 1
    assert model.predict().reshape(6, 2).shape == (6, 2)
    assert np.array_equal(
        model.predict().ravel(), forecaster().fit([np.array(row) for row in rows]).predict().ravel()
    )
    assert np.isclose(model.mean_[0], np.concatenate(rows).mean())


@pytest.mark.parametrize("make", [classifier, regressor, forecaster])
def test_unequal_lists_with_channels_first(make: Callable[[], Any]) -> None:
    X = [RNG.random((3, 12 + i % 4)) for i in range(ROWS)]
    with pytest.raises(
        ValueError, match=r"X\[1\] must have as many values.*the first axes agree: pass \[x.T for x in X\]"
    ):
        fit(make(), X)
    fit(make(), [x.T for x in X])


@pytest.mark.parametrize("make", [classifier, regressor, forecaster])
@pytest.mark.parametrize(
    ("X", "fix"),
    [
        (RNG.random((ROWS, 12, 20)), r"X.transpose\(0, 2, 1\)"),
        (RNG.random((ROWS, 1, 20)), r"X.transpose\(0, 2, 1\)"),
        ([RNG.random((12, 20)) for _ in range(ROWS)], r"\[x.T for x in X\]"),
        ([RNG.random((1, 20)) for _ in range(ROWS)], r"\[x.T for x in X\]"),
    ],
    ids=["array", "one step", "list", "list of one step"],
)
def test_channels_before_time(make: Callable[[], Any], X: Any, fix: str) -> None:
    steps = len(X[0])
    message = rf"sequences of {steps} steps with 20 values per step. If the axes are swapped.* pass {fix}"
    model = make()
    if steps == 1 and isinstance(model, Forecaster):  # too short for a forecast, too
        with pytest.warns(UserWarning, match=message), pytest.raises(ValueError, match="at least 3 steps"):
            fit(model, X)
        return
    with pytest.warns(UserWarning, match=message) as warned:
        fit(model, X)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    model.predict(X)  # warns no more
    transposed = X.transpose(0, 2, 1) if isinstance(X, np.ndarray) else [x.T for x in X]
    fit(model, transposed)


@pytest.mark.parametrize("make", [classifier, regressor, forecaster])
def test_channels_before_time_at_predict(make: Callable[[], Any]) -> None:
    X = RNG.random((ROWS, 20, 3))
    model = fit(make(), X)
    with pytest.raises(ValueError, match=r"3 values per step.* got 20. Fix: .*X.transpose\(0, 2, 1\)"):
        model.predict(X.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"got 20. Fix: .*\[x.T for x in X\]"):
        model.predict([x.T for x in X])
    with pytest.raises(ValueError, match=r"got 20. Fix: pass the same columns in the same order\."):
        model.predict(RNG.random((ROWS, 5, 20)))
    with pytest.raises(ValueError, match=r"got 20. Fix: pass the same columns in the same order\."):
        model.predict([RNG.random((3 + i, 20)) for i in range(ROWS)])


def test_one_series_with_channels_before_time() -> None:
    with pytest.warns(UserWarning, match=r"12 steps with 20 values per step.* pass X.T"):
        forecaster().fit(RNG.random((12, 20)))


@pytest.mark.parametrize("make", [classifier, regressor, forecaster])
def test_ordinary_data_do_not_warn(make: Callable[[], Any]) -> None:
    for X in (RNG.random((ROWS, 20)), RNG.random((ROWS, 9, 9)), [RNG.random((9, 2)) for _ in range(ROWS)]):
        if X is not None and not (isinstance(make(), Forecaster) and np.ndim(X) == 2):
            fit(make(), X)
    if make is not forecaster:
        fit(make(), RNG.random((ROWS, 1)))
        fit(make(), RNG.random((ROWS, 1, 1)))


# Masked arrays


MASKED = np.ma.masked_greater(RNG.random((20, 3)), 0.8)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: forecaster().fit(MASKED), "X"),
        (lambda: forecaster().fit(MASKED[:, 0]), "X"),
        (lambda: forecaster().fit([MASKED, MASKED]), r"X\[0\]"),
        (lambda: forecaster().fit(MASKED.data).predict(MASKED), "X"),
        (lambda: classifier().fit(MASKED[:ROWS], LABELS), "X"),
        (lambda: classifier().fit(MASKED[:ROWS, :, None], LABELS), "X"),
        (lambda: regressor().fit(MASKED.data[:ROWS], LABELS).predict(MASKED), "X"),
        (lambda: regressor().fit(MASKED.data[:ROWS], MASKED[:ROWS, 0]), "y"),
        (lambda: classifier().fit(MASKED.data[:ROWS], np.ma.masked_equal(LABELS, 1)), "y"),
    ],
)
def test_masked_arrays_are_refused(call: Callable[[], object], name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name} must be a plain array; got a masked array.*Fix: fill it"):
        call()


@pytest.mark.parametrize("make", [regressor, forecaster])
def test_dates_are_refused(make: Callable[[], Any]) -> None:
    dates = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-01-01") + ROWS)
    with pytest.raises(TypeError, match=r"must be an array of real numbers.*Fix: subtract an origin"):
        fit(make(), np.stack([dates, dates], axis=1))
    with pytest.raises(TypeError, match=r"must be an array of real numbers.*Fix: subtract an origin"):
        regressor().fit(RNG.random((ROWS, 4)), dates)


# Tables


def table(rows: int = 20) -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    return pandas.DataFrame(RNG.random((rows, 3)), columns=list("abc"))


def test_panels_and_the_order_of_rows() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    panel = table().set_index(pandas.MultiIndex.from_product([["x", "y"], range(10)], names=["store", "day"]))
    for X in (panel, [panel], panel["a"]):
        with pytest.raises(
            ValueError, match=r"must be one series, .*\['store', 'day'\].*groupby\(level='store'\)"
        ):
            forecaster().fit(X)
    newest_first = table().set_index(pandas.date_range("2020", periods=20))[::-1]
    for X in (newest_first, [newest_first], newest_first["a"]):
        with pytest.raises(ValueError, match=r"X(\[0\])? must have its rows in order of time.*sort_index"):
            forecaster().fit(X)
    parts = [part for _, part in panel.groupby(level="store")]
    assert forecaster().fit(parts).predict().shape == (2, 2, 3)
    assert forecaster().fit(panel.loc[["x"]]).predict().shape == (2, 3)


@pytest.mark.parametrize("fitted_on_list", [True, False])
def test_columns_of_tables_in_lists(fitted_on_list: bool) -> None:
    frame = table()
    swapped, renamed = frame[["c", "b", "a"]], frame.rename(columns={"a": "z"})
    model = forecaster().fit([frame, frame] if fitted_on_list else frame)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert np.array_equal(model.predict([frame])[0], model.predict(frame))
    for other in (swapped, renamed):
        with pytest.raises(
            ValueError, match=r"X\[0\] must have the columns \['a', 'b', 'c'\] in this order, like"
        ):
            model.predict([other])
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(other)
        with pytest.raises(ValueError, match=r"X\[1\] must have the columns .*like X\[0\]"):
            forecaster().fit([frame, other])
        with pytest.raises(ValueError, match=r"X\[1\] must have the columns .*like X\[0\]"):
            classifier().fit([frame, other], [0, 1])
    model.fit(frame.to_numpy())
    assert not hasattr(model, "feature_names_in_")
    many = classifier().fit([frame] * 4, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="in this order"):
        many.predict([swapped])


@pytest.mark.parametrize("make", [classifier, regressor, forecaster])
@pytest.mark.parametrize("in_list", [True, False])
def test_columns_that_hold_no_numbers(in_list: bool, make: Callable[[], Any]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    frame = table(ROWS)
    cases = [
        (pandas.date_range("2020", periods=ROWS), r"column 't' holds dates .*Fix: .*set_index\('t'\)"),
        (["x"] * ROWS, "column 't' holds values that are not numbers .*Fix: encode the column"),
    ]
    for column, message in cases:
        dated = frame.assign(t=column)
        with pytest.raises(TypeError, match=message):
            fit(make(), [dated] if in_list else dated)
    whole = frame.astype("Float64")
    fit(make(), [whole] * 2 if in_list else whole)
    whole.iloc[3, 1] = pandas.NA
    with pytest.raises((TypeError, ValueError), match=r"NaN at|holds missing values"):
        fit(make(), [whole] * 2 if in_list else whole)
