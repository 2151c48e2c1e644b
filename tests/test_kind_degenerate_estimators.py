"""Kind of fault: degenerate columns and cells, in estimators.

Constant columns, one row, one step, one column, equal and unequal lists, a second fit and a second
prediction: finite results that are the same twice, or one clear error.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

from bptt.estimators import Forecaster, SequenceClassifier, SequenceRegressor

SMALL: dict[str, Any] = {"cell": "rnn", "hidden_size": 3, "epochs": 2, "random_state": 0}
RNG = np.random.default_rng(0)


def with_constant() -> np.ndarray:
    x = RNG.random((1500, 2))
    x[:, 1] = 0.1
    return x


DATA: dict[str, Any] = {
    "constants": np.full((6, 9), 0.1),
    "constant channels": np.full((6, 9, 2), 0.1),
    "one constant column": with_constant(),
    "one row": RNG.random((1, 12)),
    "one sequence": RNG.random((1, 12, 2)),
    "one sequence in a list": [RNG.random((12, 2))],
    "one column": RNG.random((12, 1)),
    "one step in a list": [RNG.random(1) for _ in range(6)],
    "equal lists": [RNG.random(9).tolist() for _ in range(6)],
    "unequal lists": [RNG.random(9 + i).tolist() for i in range(6)],
    "a list with an empty one": [[1.0, 2.0], []],
    "integers": np.arange(60).reshape(6, 10) % 7,
    "booleans": np.arange(60).reshape(6, 10) % 2 == 0,
    "no rows": np.zeros((0, 9)),
    "a gap": np.where(np.eye(6, 9) > 0, np.nan, 1.0),
}


@pytest.mark.filterwarnings("ignore:X (is read as|has fewer steps)")
@pytest.mark.parametrize("case", DATA)
def test_the_same_result_twice_or_one_clear_error(case: str) -> None:
    for kind in [SequenceClassifier, SequenceRegressor, Forecaster]:
        X = DATA[case]
        model = Forecaster(horizon=2, window=4, **SMALL) if kind is Forecaster else kind(**SMALL)
        targets = [] if kind is Forecaster else [np.arange(len(X)) % 2]
        refused = ""
        try:
            first = model.fit(X, *targets).predict(X)
        except ValueError as error:
            refused = str(error)
        if refused:
            assert re.search("must .*Fix: |minimum of 1 is required", refused)
            continue
        assert np.isfinite(first).all()
        assert np.array_equal(model.predict(X), first)
        assert np.array_equal(model.fit(X, *targets).predict(X), first)
        assert np.array_equal(model.fit(X, *targets).predict(X), first)


def test_a_constant_column_does_not_move_a_forecast() -> None:
    x = with_constant()
    model = Forecaster(horizon=1, window=4, **SMALL).fit(x)
    assert model.scale_[1] == 1
    nudged = x[-4:] + np.array([0, 1e-4])
    assert np.abs(model.predict(nudged) - model.predict(x[-4:])).max() < 1e-3
