"""The estimators among scikit-learn's tools: its own checks, pipelines, searches, copies, processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
import unittest
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bptt

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

import joblib
import threadpoolctl
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from bptt.estimators import Forecaster, SequenceClassifier, SequenceRegressor

SMALL: dict[str, Any] = {"hidden_size": 8, "batch_size": 16, "lr": 0.02}


class WithoutTargets(Forecaster):
    """A forecaster that drops the y which scikit-learn's checks pass to every estimator.

    `Forecaster` refuses a y: it has no use for one.
    """

    def fit(self, X: Any, y: Any = None) -> WithoutTargets:
        super().fit(X)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> WithoutTargets:
        super().partial_fit(X)
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return super().score(X)


def expected_failures(estimator: object) -> dict[str, str]:
    if not isinstance(estimator, Forecaster):
        batches = "other sequences share a batch if some are repeated or left out"
        return {"check_sample_weight_equivalence_on_dense_data": batches}
    rows = (
        "rows are time: a forecast follows the last of them, in their order, and needs a whole window of them"
    )
    return {
        "check_methods_sample_order_invariance": rows,
        "check_methods_subset_invariance": rows,
        "check_fit1d": "a series (N,) is what a forecaster is for",
    }


ESTIMATORS: tuple[tuple[Any, ...], ...] = (
    (
        SequenceClassifier(epochs=15, **SMALL),
        SequenceClassifier(epochs=15, bidirectional=True, early_stopping=True, **SMALL),
    ),
    (SequenceRegressor(epochs=40, **SMALL),),
    (
        WithoutTargets(epochs=1, **SMALL),
        WithoutTargets(horizon=2, window=2, epochs=1, strategy="recursive", coverage=None, **SMALL),
    ),
)
"""One or two estimators of each class."""


def checks_of(estimator: Any) -> Iterator[Any]:
    yield from estimator_checks_generator(
        estimator, expected_failed_checks=expected_failures(estimator), mark="xfail"
    )


def checks() -> Iterator[Any]:
    """Yield estimator and check. The suite runs each check once per class: the estimators take turns."""
    for estimators in ESTIMATORS:
        for turn, cases in enumerate(zip(*map(checks_of, estimators), strict=True)):
            for place, case in enumerate(cases):
                values, marks = getattr(case, "values", case), getattr(case, "marks", ())
                in_suite = place == turn % len(estimators)
                yield pytest.param(*values, marks=marks if in_suite else (*marks, pytest.mark.grid))


def label(argument: object) -> str:
    """A check is a function with some arguments filled in, or an estimator."""
    return str(getattr(getattr(argument, "func", type(argument)), "__name__", argument))


@pytest.mark.filterwarnings("ignore")  # as check_estimator runs them: some checks warn on purpose
@pytest.mark.parametrize(("estimator", "check"), list(checks()), ids=label)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    try:
        check(estimator)
    except unittest.SkipTest as skipped:
        pytest.skip(str(skipped))


def signs(rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Series (n, 10), told apart by the sign of their mean."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    return rng.standard_normal((rows, 10)) + (2.0 * y - 1)[:, None], y


def test_pipeline() -> None:
    x, y = signs()
    model = make_pipeline(StandardScaler(), SequenceClassifier(epochs=10, random_state=0, **SMALL))
    assert model.fit(x, y).score(x, y) > 0.9
    assert cross_val_score(model, x, y, cv=2).mean() > 0.8


@pytest.mark.parametrize("kind", ["array", "cube", "list"])
def test_grid_search_in_two_processes(kind: str) -> None:
    """Processes find what one finds, to the bit."""
    x, y = signs()
    rows: Any = {"array": x, "cube": x[:, :, None], "list": [row[: 6 + i % 5] for i, row in enumerate(x)]}[
        kind
    ]
    model = SequenceClassifier(random_state=0, **SMALL)
    grid = {"cell": ["rnn", "gru"], "epochs": [2, 4]}
    one = GridSearchCV(model, grid, cv=2).fit(rows, y)
    two = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(rows, y)
    assert np.array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert np.array_equal(one.predict_proba(rows), two.predict_proba(rows))
    assert two.best_score_ > 0.7


def test_grid_search_over_time() -> None:
    series = np.sin(np.arange(200) / 4)
    grid = GridSearchCV(
        Forecaster(horizon=2, window=10, epochs=5, random_state=0, **SMALL),
        {"strategy": ["direct", "recursive"]},
        cv=TimeSeriesSplit(2),
    )
    assert grid.fit(series).best_score_ > 0.5
    assert grid.predict(series).shape == (2,)


@pytest.mark.parametrize(
    ("environment", "expected"), [({}, 1), ({"BPTT_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "x"}, None)]
)
def test_worker_processes_share_the_cores(environment: dict[str, str], expected: int | None) -> None:
    """A fit in one of two workers on two cores takes one thread, unless bptt was told otherwise."""

    def threads() -> tuple[int, int]:
        import os

        import bptt

        os.environ.update(environment)
        before = bptt.get_num_threads()  # reads BPTT_NUM_THREADS: the first call in this process
        from bptt.estimators.threads import share_cores

        share_cores()
        return before, bptt.get_num_threads()

    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=2)
        before, after = pool(joblib.delayed(threads)() for _ in range(1))[0]
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)  # the next case needs processes that have not read it yet
    assert after == (before if expected is None else expected)


def test_the_main_process_keeps_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    bptt.set_num_threads(2)
    SequenceClassifier(epochs=1, **SMALL).fit(*signs())
    assert bptt.get_num_threads() == 2


def test_threadpoolctl_sees_and_limits_the_threads() -> None:
    bptt.set_num_threads(2)
    infos = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "bptt"]
    assert [info["num_threads"] for info in infos] == [2]
    assert infos[0]["version"] == bptt.__version__
    x, y = signs()
    free = SequenceClassifier(epochs=3, random_state=0, **SMALL).fit(x, y)
    with threadpoolctl.threadpool_limits(1):
        assert bptt.get_num_threads() == 1
        limited = clone(free).fit(x, y)
    with threadpoolctl.threadpool_limits(1, user_api="bptt"):
        assert bptt.get_num_threads() == 1
    assert bptt.get_num_threads() == 2
    assert np.array_equal(free.predict_proba(x), limited.predict_proba(x))


@pytest.mark.parametrize(
    "estimator",
    [
        SequenceClassifier(hidden_size=5, cell="gru"),
        SequenceRegressor(clip=None),
        Forecaster(horizon=7, coverage=0.5),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_clone_and_parameters(estimator: Any) -> None:
    twin = clone(estimator)
    assert twin is not estimator
    assert twin.get_params() == estimator.get_params()
    assert twin.set_params(lr=0.5).lr == 0.5
    assert estimator.lr != 0.5
    assert eval(repr(estimator)).get_params() == estimator.get_params()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_copy_goes_on_with_the_same_bits(dropout: float) -> None:
    x, y = signs()
    first = SequenceClassifier(epochs=2, dropout=dropout, num_layers=2, random_state=0, **SMALL).fit(x, y)
    copy = pickle.loads(pickle.dumps(first))
    assert np.array_equal(first.predict_proba(x), copy.predict_proba(x))
    first.partial_fit(x, y)
    copy.partial_fit(x, y)
    assert np.array_equal(first.predict_proba(x), copy.predict_proba(x))


def test_not_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, bptt; print('sklearn' in sys.modules); bptt.estimators; print('sklearn' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["False", "True"]


def test_without_scikit_learn() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import bptt; bptt.estimators"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last == "ImportError: bptt.estimators needs scikit-learn: pip install 'bptt[sklearn]'"
