"""Kind of fault: a promise that a number cannot keep. Promised coverages are measured on held-out data."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

from bptt.estimators import Forecaster


def autoregression(steps: int, seed: int) -> np.ndarray:
    """0.7 times the value before, plus standard normal noise."""
    series = np.random.default_rng(seed).standard_normal(steps)
    for step in range(1, steps):
        series[step] += 0.7 * series[step - 1]
    return series


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize(("strategy", "horizon"), [("direct", 2), ("recursive", 1)])
def test_intervals_hold_the_promised_share(strategy: str, horizon: int, coverage: float) -> None:
    series = autoregression(4000, seed=1)
    model = Forecaster(
        horizon=horizon,
        window=3,
        strategy=strategy,
        coverage=coverage,
        cell="rnn",
        hidden_size=4,
        epochs=5,
        lr=0.02,
        batch_size=64,
        random_state=0,
    ).fit(series[:2500])
    ends = range(2500, 3998, 3)
    truth = np.stack([series[end : end + horizon] for end in ends])
    lower, upper = model.predict_interval([series[end - 3 : end] for end in ends])
    missed = np.mean((truth < lower) | (truth > upper))
    # The share of misses is off by at most a third, and what four deviations of 500 draws may add.
    expected = 1 - coverage
    assert abs(missed - expected) < expected / 3 + 4 * np.sqrt(expected * coverage / len(ends))


@pytest.mark.parametrize("coverage", [0.9, 0.98])
def test_drawn_intervals_of_later_steps(coverage: float) -> None:
    series = autoregression(3500, seed=2)
    model = Forecaster(
        horizon=3,
        window=3,
        strategy="recursive",
        coverage=coverage,
        cell="rnn",
        hidden_size=4,
        epochs=5,
        lr=0.02,
        batch_size=64,
        random_state=0,
    ).fit(series[:2500])
    ends = range(2500, 3490, 7)
    truth = np.stack([series[end : end + 3] for end in ends])
    lower, upper = model.predict_interval([series[end - 3 : end] for end in ends])
    inside = np.mean((lower <= truth) & (truth <= upper), axis=0)
    assert np.all(np.abs(inside - coverage) < 4 * np.sqrt(coverage * (1 - coverage) / len(ends)) + 0.01)


def test_a_coverage_that_drawn_futures_cannot_keep_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r'coverage must be at most 0.999 with strategy="recursive"; got 0.9999'
    ):
        Forecaster(strategy="recursive", coverage=0.9999).fit(np.zeros(60))
    assert Forecaster(coverage=0.9999, epochs=1).fit(np.zeros(60)).predict().shape == (1,)
