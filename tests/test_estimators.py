"""What the estimators learn, in which forms they take data, and what they say of bad data."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import bptt

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from bptt.data import Horizons
from bptt.estimators import Forecaster, SequenceClassifier, SequenceRegressor

SMALL: dict[str, Any] = {"hidden_size": 8, "batch_size": 16, "lr": 0.02, "random_state": 0}


def two_peaks(rows: int = 300, steps: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two peaks, up or down, at random steps (n, T): do both point the same way? No linear model can tell."""
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_normal((rows, steps))
    first, second = np.sort([rng.choice(steps, 2, replace=False) for _ in range(rows)]).T
    y = rng.integers(0, 2, rows)
    up = rng.choice([-1, 1], rows)
    x[np.arange(rows), first] += up
    x[np.arange(rows), second] += np.where(y == 1, up, -up)
    return x, np.array(["other", "same"])[y]


def ragged(rows: int = 200, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T_i, 2): the sum of the first column."""
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((rng.integers(2, 9), 2)) for _ in range(rows)]
    return x, np.array([row[:, 0].sum() for row in x])


@pytest.mark.parametrize("cell", ["lstm", "gru", "mgu"])
def test_classifier_beats_baselines(cell: str) -> None:
    (x, y), (later, truth) = two_peaks(), two_peaks(seed=1)
    model = SequenceClassifier(cell, epochs=30, **SMALL).fit(x, y)
    score = model.score(later, truth)
    assert score > 0.9
    for baseline in (DummyClassifier(), LogisticRegression(solver="newton-cholesky")):
        assert score > baseline.fit(x, y).score(later, truth) + 0.1
    proba = model.predict_proba(later)
    assert proba.shape == (300, 2)
    assert np.allclose(proba.sum(axis=1), 1)
    assert np.allclose(np.log(proba), model.predict_log_proba(later))
    assert np.array_equal(model.classes_[proba.argmax(axis=1)], model.predict(later))
    assert model.n_iter_ == len(model.loss_curve_) == 30
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize(
    "options",
    [{}, {"bidirectional": True}, {"num_layers": 2}, {"dropout": 0.05, "precision": "bfloat16"}],
    ids=str,
)
def test_regressor_beats_the_baseline_on_ragged_lists(options: dict[str, Any]) -> None:
    (x, y), (later, truth) = ragged(), ragged(seed=1)
    model = SequenceRegressor(epochs=40, **SMALL, **options).fit(x, y)
    precision = options.get("precision", "highest")
    assert [model.model_[k].precision for k in (0, -1)] == [precision] * 2
    score = model.score(later, truth)
    assert score > 0.8
    assert (
        score > DummyRegressor().fit(np.zeros((len(y), 1)), y).score(np.zeros((len(truth), 1)), truth) + 0.5
    )


def test_bidirectional_uses_what_the_reverse_direction_saw() -> None:
    """With one direction shut off by zero weights, the class can be told from either alone."""
    x, y = two_peaks()
    model = SequenceClassifier(bidirectional=True, epochs=30, **SMALL).fit(x, y)
    head = model.model_[-1].parameters["weight"]
    forward = head[:, :8].copy()
    head[:, :8] = 0
    alone = model.predict_proba(x)
    head[:, :8] = forward
    assert not np.allclose(alone, model.predict_proba(x))
    early = x.copy()
    early[:, 0] += 5  # far from the last step: only a whole reverse pass sees it
    head[:, :8] = 0
    assert np.abs(model.predict_proba(early) - alone).max() > 1e-3


def test_regressor_of_several_columns() -> None:
    x = np.random.default_rng(0).standard_normal((200, 6, 2))
    y = np.stack([1e4 * x[:, :, 0].mean(axis=1), 1e-4 * x[:, -1, 1], np.full(200, 3.0)], axis=1)
    model = SequenceRegressor(epochs=40, **SMALL).fit(x, y)
    predicted = model.predict(x)
    assert predicted.shape == y.shape
    error = np.abs(predicted - y).mean(axis=0)
    assert np.all(error[:2] < 0.5 * y.std(axis=0)[:2])
    assert error[2] < 0.5
    assert np.allclose(model.target_mean_, y.mean(axis=0))


def test_forms_of_the_same_data() -> None:
    """(n, T), (n, T, 1), lists of (T,) and of (T, 1) train the same network, and mix in prediction."""
    x, y = two_peaks(40)
    forms = [
        x,
        x[:, :, None],
        list(x),
        list(x[:, :, None]),
        x.tolist(),
        np.array([*x.tolist(), None], object)[:-1],
    ]
    models = [SequenceClassifier(epochs=2, **SMALL).fit(form, y) for form in forms]
    expected = models[0].predict_proba(x)
    for model in models:
        assert model.n_channels_ == 1
        for form in forms:
            if np.ndim(form) != 2 or model.n_features_in_ == 12 or isinstance(form, list):
                assert np.array_equal(model.predict_proba(form), expected)


def test_rows_of_a_ragged_list_are_independent() -> None:
    x, y = ragged()
    model = SequenceRegressor(epochs=2, **SMALL).fit(x, y)
    whole = model.predict(x)
    assert np.array_equal(whole, np.concatenate([model.predict([row]) for row in x]))
    assert np.array_equal(whole[:50], model.predict(tuple(x[:50])))


def test_other_lengths_than_in_training() -> None:
    x, y = two_peaks(40)
    model = SequenceClassifier(epochs=1, **SMALL).fit(x[:, :, None], y)
    assert model.predict(np.zeros((2, 30, 1))).shape == (2,)
    assert model.predict(np.zeros((2, 30))).shape == (2,)


def test_scales_are_those_of_the_training_part() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((80, 5, 2)) * [1.0, 1e4] + [0.0, 1e6], rng.integers(0, 2, 80)
    model = SequenceClassifier(epochs=1, **SMALL).fit(x, y)
    assert np.allclose(model.mean_, x.mean(axis=(0, 1)))
    assert np.allclose(model.scale_, x.std(axis=(0, 1)))
    x[::2] += 50
    part = SequenceClassifier(epochs=1, early_stopping=True, validation_fraction=0.5, **SMALL).fit(x, y)
    assert not np.allclose(part.mean_, x.mean(axis=(0, 1)), rtol=1e-8)
    plain = SequenceClassifier(epochs=1, standardize=False, **SMALL).fit(x, y)
    assert plain.mean_.tolist() == [0, 0]
    assert plain.scale_.tolist() == [1, 1]
    constant = SequenceClassifier(epochs=1, **SMALL).fit(np.full((4, 3), 0.1), [0, 1, 0, 1])
    assert constant.scale_.tolist() == [1]


def test_early_stopping_goes_back_to_the_best_epoch() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 5)), rng.integers(0, 2, 60)  # nothing to learn: it soon gets worse
    model = SequenceClassifier(epochs=200, early_stopping=True, n_iter_no_change=3, **SMALL).fit(x, y)
    losses = model.validation_loss_curve_
    best = int(np.argmin(losses))
    assert model.n_iter_ == len(losses) == best + 4
    again = SequenceClassifier(epochs=best + 1, early_stopping=True, n_iter_no_change=99, **SMALL).fit(x, y)
    assert np.array_equal(model.predict_proba(x), again.predict_proba(x))


def test_partial_fit() -> None:
    x, y = two_peaks()
    model = SequenceClassifier(**SMALL)
    for _ in range(3):
        for part in np.array_split(np.arange(len(x)), 3):
            model.partial_fit(x[part], y[part], classes=["other", "same"])
    assert model.n_iter_ == len(model.loss_curve_) == 9
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    mean = model.mean_.copy()
    model.partial_fit(x + 100, y)
    assert np.array_equal(model.mean_, mean)
    with pytest.raises(ValueError, match="classes must be the classes of the first call"):
        model.partial_fit(x, y, classes=["other", "third"])
    with pytest.raises(ValueError, match="y must hold classes among"):
        model.partial_fit(x, np.where(y == "other", "third", y))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SequenceClassifier().partial_fit(x, y)
    one_class = SequenceClassifier(**SMALL).partial_fit(x[:5], ["other"] * 5, classes=["same", "other"])
    assert one_class.predict_proba(x).shape == (300, 2)
    regressor = SequenceRegressor(**SMALL).partial_fit(x, x[:, 0])
    assert regressor.partial_fit(x, x[:, 0]).n_iter_ == 2
    with pytest.raises(ValueError, match="y must have 1 columns"):
        regressor.partial_fit(x, x[:, :2])


def test_seeds() -> None:
    x, y = two_peaks(60)
    one, two, other = (
        SequenceClassifier(epochs=2, dropout=0.2, **(SMALL | {"random_state": seed})).fit(x, y)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one.predict_proba(x), two.predict_proba(x))
    assert not np.array_equal(one.predict_proba(x), other.predict_proba(x))


# Forecaster


def wave(steps: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    series: np.ndarray = np.sin(np.arange(steps) / 6) + noise * np.random.default_rng(seed).standard_normal(
        steps
    )
    return series


@pytest.mark.parametrize("coverage", [0.9, None])
@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_forecaster_beats_naive_forecasts(strategy: str, coverage: float | None) -> None:
    series = 5 + 100 * wave(700, 0.1)
    model = Forecaster(horizon=8, window=24, strategy=strategy, coverage=coverage, epochs=15, **SMALL).fit(
        series[:500]
    )
    assert model.score(series[500:]) > 0.8
    windows = range(500, 690, 5)
    error = np.mean([np.abs(model.predict(series[:end]) - series[end : end + 8]).mean() for end in windows])
    naive = np.mean([np.abs(series[end - 1] - series[end : end + 8]).mean() for end in windows])
    assert error < 0.4 * naive


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_intervals_hold_their_share(strategy: str) -> None:
    series = wave(2500, 0.3)
    model = Forecaster(horizon=4, window=24, strategy=strategy, coverage=0.8, epochs=10, **SMALL).fit(
        series[:2000]
    )
    inside = []
    for end in range(2000, 2490, 4):
        lower, upper = model.predict_interval(series[:end])
        assert np.all(lower < upper)
        inside.append((lower <= series[end : end + 4]) & (series[end : end + 4] <= upper))
    assert 0.68 < np.mean(inside) < 0.9


def test_recursive_intervals_widen_as_uncertainty_grows() -> None:
    walk = np.cumsum(np.random.default_rng(0).standard_normal(1500))
    walk -= np.linspace(0, walk[-1], 1500)
    model = Forecaster(horizon=12, window=8, strategy="recursive", epochs=8, **SMALL).fit(walk)
    lower, upper = model.predict_interval()
    assert (upper - lower)[-1] > 1.7 * (upper - lower)[0]
    again = model.predict_interval()
    assert np.array_equal(lower, again[0])
    assert np.array_equal(upper, again[1])


def test_forms_of_series() -> None:
    series = np.stack([wave(120), np.cos(np.arange(120) / 9)], axis=1)
    options = {"epochs": 1, **SMALL}
    for strategy in ("direct", "recursive"):
        model = Forecaster(horizon=3, window=10, strategy=strategy, **options).fit(series)
        assert model.predict().shape == (3, 2)
        assert np.array_equal(model.predict(), model.predict(series))
        many = model.predict([series, series[:50], series[5:]])
        assert many.shape == (3, 3, 2)
        assert np.array_equal(many[0], model.predict())
        assert np.array_equal(many, model.predict(np.stack([series[-10:], series[40:50], series[-10:]])))
        lower, upper = model.predict_interval([series, series[:50]])
        assert lower.shape == upper.shape == (2, 3, 2)
        assert np.array_equal(lower[0], model.predict_interval(series)[0])
    flat = Forecaster(horizon=3, window=10, **options).fit(series[:, 0])
    assert flat.predict().shape == (3,)
    assert flat.predict(series[:, :1]).shape == (3, 1)
    assert Forecaster(horizon=3, window=10, **options).fit([wave(40), wave(30)]).predict().shape == (2, 3)


def test_windows_do_not_cross_from_one_series_to_the_next() -> None:
    windows = Horizons([np.zeros((13, 1)), np.ones((14, 1))], window=10, horizon=3, batch_size=2)
    assert windows.inputs().mean(axis=(1, 2)).tolist() == [0, 1, 1]
    assert windows.targets().mean(axis=(1, 2)).tolist() == [0, 1, 1]


def test_early_stopping_sets_the_last_part_aside() -> None:
    series = wave(300, 0.1)
    options = {"early_stopping": True, "validation_fraction": 0.2, **SMALL}
    model = Forecaster(horizon=2, window=12, epochs=4, **options).fit(series)
    assert np.isclose(model.mean_[0], series[:240].mean())
    assert len(model.validation_loss_curve_) == model.n_iter_
    spoiled = np.concatenate([series[:240], np.full(60, 1e3)])
    assert Forecaster(horizon=2, window=12, epochs=4, **options).fit(spoiled).loss_curve_ == model.loss_curve_


def test_parameters_set_after_fit_wait_for_the_next() -> None:
    model = Forecaster(horizon=3, window=10, epochs=1, **SMALL).fit(wave(60))
    expected = model.predict()
    model.set_params(horizon=5, window=4, strategy="recursive", coverage=None)
    assert np.array_equal(model.predict(), expected)
    assert model.fit(wave(60)).predict().shape == (5,)


def test_a_series_too_short_for_the_window() -> None:
    model = Forecaster(horizon=3, window=10, epochs=1, **SMALL)
    with pytest.warns(
        UserWarning, match="X has fewer steps than a window of 10 and 3 ahead; the window is shortened to 9"
    ):
        model.fit(wave(12))
    assert model.window_ == 9
    assert model.fit(wave(13)).window_ == 10


def test_forecaster_partial_fit() -> None:
    model = Forecaster(horizon=2, window=10, **SMALL)
    for _ in range(5):
        model.partial_fit(wave(200)).partial_fit(wave(100))
    assert model.n_iter_ == 10
    assert np.array_equal(model.predict(), model.predict(wave(100)))


def test_tables_with_names() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas makes the table")
    table = pandas.DataFrame(X + 1.0, columns=list("abcd"))
    model = SequenceClassifier(epochs=1, **SMALL).fit(table, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[list("dcba")])
    assert not hasattr(model.fit(X[:, :, None], Y), "feature_names_in_")
    forecaster = Forecaster(horizon=2, window=3, epochs=1, **SMALL).fit(table)
    assert forecaster.feature_names_in_.tolist() == list("abcd")
    assert forecaster.predict([table, table]).shape == (2, 2, 4)
    assert forecaster.fit(table["a"]).predict().shape == (2,)


# Bad data

X, Y = np.zeros((6, 4)), np.array([0, 1, 0, 1, 0, 1])


def with_bad(value: float) -> np.ndarray:
    x = X.copy()
    x[2, 1] = value
    return x


BAD_SEQUENCES: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "nan": (with_bad(np.nan), Y, ValueError, r"X must hold finite numbers; got NaN at \(2, 1, 0\)"),
    "inf": (with_bad(np.inf), Y, ValueError, r"X must hold finite numbers; got inf \(infinity\) at"),
    "nan in a list": (
        [[1.0], [2.0, np.nan]],
        [0, 1],
        ValueError,
        r"X\[1\] must hold finite .* NaN at \(1, 0\)",
    ),
    "a huge integer": ([[10**400, 1]] * 6, Y, ValueError, r"X must hold numbers that float64 can hold"),
    "four axes": (np.zeros((6, 2, 2, 2)), Y, ValueError, r"X must have shape \(n, T\) or .* got 4 axes"),
    "no steps": (np.zeros((6, 0, 2)), Y, ValueError, r"X must have at least one step"),
    "no columns": (np.zeros((6, 0)), Y, ValueError, r"Found array with 0 feature\(s\)"),
    "no rows": (np.zeros((0, 4)), [], ValueError, r"Found array with 0 sample\(s\)"),
    "nothing": ([], [], ValueError, r"Expected 2D array|0 sample"),
    "an empty sequence": (
        [np.ones(3), np.ones(0)],
        [0, 1],
        ValueError,
        r"X\[1\] must have at least one step",
    ),
    "ragged features": (
        [np.ones((3, 2)), np.ones((3, 1))],
        [0, 1],
        ValueError,
        r"X\[1\] must have as many .* 2;",
    ),
    "a deep list": ([np.ones((3, 2, 1)), np.ones((3, 1, 1))], [0, 1], ValueError, r"X\[0\] must have shape"),
    "strings": (
        [np.array(["a", "b"]), np.array(["a"])],
        [0, 1],
        TypeError,
        r"X\[0\] must be an array of real",
    ),
    "too few targets": (X, Y[:-1], ValueError, r"inconsistent numbers of samples: \[6, 5\]"),
    "no targets": (X, None, ValueError, "requires y to be passed, but the target y is None"),
    "too large": (np.array([[1e308, -1e308]] * 4), [0, 1, 0, 1], ValueError, "must have a finite variance"),
}


def test_bad_sequences(subtests: pytest.Subtests) -> None:
    for case in BAD_SEQUENCES:
        with subtests.test(case):
            for model in [SequenceClassifier, SequenceRegressor]:
                x, y, error, message = BAD_SEQUENCES[case]
                with pytest.raises(error, match=message):
                    model(epochs=1, **SMALL).fit(x, y)


def test_bad_targets() -> None:
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        SequenceClassifier(epochs=1).fit(X, Y + 0.5)
    with pytest.raises(ValueError, match="y contains NaN"):
        SequenceRegressor(epochs=1).fit(X, np.where(Y == 0, np.nan, 1.0))
    with pytest.raises(ValueError, match="y must hold numbers"):
        SequenceRegressor(epochs=1).fit(X, ["a"] * 6)


def test_bad_data_in_prediction() -> None:
    table = SequenceClassifier(epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="X has 3 features, but SequenceClassifier is expecting 4"):
        table.predict(X[:, :3])
    with pytest.raises(ValueError, match=r"X must have 1 values per step.* got 2"):
        table.predict(np.zeros((2, 4, 2)))
    for kind in (SequenceClassifier, SequenceRegressor, Forecaster):
        with pytest.raises(NotFittedError):
            kind().predict(X)


CASES_OF_BAD_PARAMETERS = [
    ("cell", "transformer", ValueError),
    ("hidden_size", 0, ValueError),
    ("epochs", 0, ValueError),
    ("epochs", 1.5, TypeError),
    ("batch_size", 0, ValueError),
    ("lr", -1, ValueError),
    ("dropout", 1.0, ValueError),
    ("precision", "int8", ValueError),
    ("clip", 0, ValueError),
    ("standardize", "yes", TypeError),
    ("early_stopping", 1, TypeError),
    ("random_state", "x", ValueError),
]


def test_bad_parameters(subtests: pytest.Subtests) -> None:
    for parameter, value, error in CASES_OF_BAD_PARAMETERS:
        with subtests.test(parameter=parameter):
            for model in [SequenceClassifier, Forecaster]:
                options = {"epochs": 1, "window": 2} if model is Forecaster else {"epochs": 1}
                with pytest.raises(error, match=re.compile(f"{parameter}|max_norm|probability|{value!r}")):
                    model(**(options | {parameter: value})).fit(*([X] if model is Forecaster else [X, Y]))


BAD_SERIES: dict[str, tuple[Any, str]] = {
    "too short": (wave(3), r"X must hold at least 4 steps, a window of 1 and 3 ahead; got n_samples=3"),
    "one too short": ([wave(20), wave(4)], r"X must hold at least 13 steps.* got n_samples=4"),
    "nan": (np.where(np.arange(50) == 7, np.nan, 0), r"X must hold finite numbers; got NaN at \(7, 0\)"),
    "four axes": (np.zeros((2, 2, 20, 1)), "Found array with dim 4"),
    "widths": ([np.zeros((20, 1)), np.zeros((20, 2))], r"X\[1\] must have as many values per step"),
    "empty": (np.zeros(0), "X must have at least one step"),
}


@pytest.mark.parametrize("case", BAD_SERIES)
def test_bad_series(case: str) -> None:
    series, message = BAD_SERIES[case]
    with pytest.raises(ValueError, match=message):
        Forecaster(horizon=3, window=10, epochs=1, **SMALL).fit(series)


def test_bad_series_in_prediction() -> None:
    model = Forecaster(horizon=3, window=10, epochs=1, coverage=None, **SMALL).fit(np.zeros((40, 2)))
    with pytest.raises(ValueError, match=r"X must have 2 values .* got a series \(N,\)"):
        model.predict(wave(40))
    with pytest.raises(ValueError, match=r"at least window = 10 steps; got n_samples=9"):
        model.predict(np.zeros((9, 2)))
    with pytest.raises(ValueError, match="coverage must be a number"):
        model.predict_interval()
    for name, value in (("strategy", "both"), ("coverage", 1.0), ("horizon", 0), ("window", 0)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            Forecaster(epochs=1).set_params(**{name: value}).fit(wave(60))
    with pytest.raises(ValueError, match="X without its validation part must hold at least 13 steps"):
        Forecaster(horizon=3, window=10, early_stopping=True).fit([wave(40), wave(14)])


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor, Forecaster])
def test_a_fit_that_fails_leaves_nothing_behind(kind: Any) -> None:
    model = kind(epochs=1, hidden_size=4).set_params(**({"window": 2} if kind is Forecaster else {}))
    targets = [] if kind is Forecaster else [Y]
    with pytest.raises(ValueError, match="NaN"):
        model.fit(with_bad(np.nan), *targets)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.fit(X, *targets)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(with_bad(np.nan), *targets)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_divergence_is_reported() -> None:
    with pytest.raises(bptt.NonFiniteError):
        SequenceRegressor(epochs=5, lr=1e30).fit(np.eye(6), np.arange(6))
