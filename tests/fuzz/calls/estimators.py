"""Random calls of estimators, of sweeps inside the process, and of the list of layers that files may hold."""

from __future__ import annotations

import traceback
from importlib.util import find_spec
from typing import Any

import numpy as np
from tests.fuzz.calls.data import a_table
from tests.fuzz.calls.target import Target
from tests.fuzz.draw import Draw

import bptt


def estimators(draw: Draw, name: str) -> object:
    """Fit and predict. scikit-learn raises errors of its own for what all its estimators refuse."""
    if find_spec("sklearn") is None:
        return None
    try:
        return fit_and_predict(draw, name)
    except (TypeError, ValueError) as error:
        theirs = "sklearn" in traceback.extract_tb(error.__traceback__)[-1].filename
        if theirs or "requires y to be passed" in str(error):  # the words that scikit-learn asks for
            return None
        raise


def fit_and_predict(draw: Draw, name: str) -> object:
    small: dict[str, Any] = {"hidden_size": 2, "epochs": 1, "random_state": 0}
    small |= draw.options(
        cell=lambda: draw.choose("lstm", "gru", "rnn"),
        bidirectional=draw.flag,
        dropout=lambda: draw.choose(0.0, 0.2),
        batch_size=lambda: draw.size(1, 4),
        lr=lambda: 0.01,
        clip=lambda: draw.choose(None, 1.0),
        standardize=draw.flag,
        early_stopping=draw.flag,
        random_state=lambda: 1,
    )
    if name == "Forecaster":
        series = draw.arg(lambda: draw.choose(draw.numbers(12), draw.numbers(12, 2), a_table(draw)))
        small |= draw.options(
            coverage=lambda: draw.choose(None, 0.5),
            strategy=lambda: draw.choose("direct", "recursive"),
            target=lambda: "a",
            time=lambda: "date",
            group=lambda: "shop",
        )
        forecaster = bptt.estimators.Forecaster(window=2, horizon=draw.arg(lambda: 1), **small)
        return forecaster.fit(series).predict(draw.arg(lambda: draw.choose(None, series)))
    N = draw.size(1, 4)
    x = draw.arg(lambda: draw.choose(draw.numbers(N, 3, 2), [draw.numbers(draw.size(0, 3), 2)] * N))
    y = draw.arg(lambda: draw.choose(draw.ids(2, N), draw.numbers(N), ["a", "b", "a", "c"][:N]))
    if name == "SequenceClassifier":
        small |= draw.options(class_weight=lambda: draw.choose(None, "balanced", {0: 1.0, 1: 2.0}))
    estimator = getattr(bptt.estimators, name)(**small)
    estimator.fit(x, y, **draw.options(sample_weight=lambda: draw.rng.random(N)))
    return estimator.predict(draw.arg(lambda: x))


def process_wide(draw: Draw, name: str) -> object:
    """A sweep without processes, and `register` for what is no layer."""
    if name == "register":
        return bptt.register(draw.wild())

    def run(seed: int, **settings: Any) -> Any:
        history = {"loss": np.asarray(draw.numbers(2), "f8"), "validation_loss": np.ones(1)}
        return draw.arg(lambda: draw.choose(history, {"loss": 0.5}, 0.5))

    seeds = draw.choose(1, 1, 2, [3, 4], [], "ab", [0, 0])
    options = draw.options(
        settings=lambda: draw.choose([{}], [{"a": 1}, {"a": 2}]),
        metric=lambda: draw.choose(None, "loss", "validation_loss", "other"),
        better=lambda: draw.choose("lower", "higher"),
        threads=lambda: 1,
    )
    try:
        return repr(bptt.sweep(draw.arg(lambda: run), seeds=seeds, processes=0, progress=False, **options))
    except RuntimeError as error:  # the function that was drawn failed in every run: this is not our error
        if not str(error).startswith("every run of the sweep raised an error"):
            raise
        return None


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("Forecaster", "SequenceClassifier", "SequenceRegressor"), estimators),
    **dict.fromkeys(("sweep", "register"), process_wide),
}
