"""The learning-rate range test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.test_resume import CASES, outcome
from tests.training import batch, model, trainer

import bptt
from bptt.train import RateCurve

DATA = [batch(seed) for seed in range(3)]


def test_the_losses_are_those_of_training_with_these_rates() -> None:
    fit = trainer(model())
    fit.fit(DATA)  # the test starts from the current state
    net = copy.deepcopy(fit.model)
    curve = bptt.learning_rate_range(fit, DATA, low=1e-4, high=1e-1, updates=7)
    np.testing.assert_allclose(curve.lr, np.geomspace(1e-4, 1e-1, 7), rtol=1e-14)
    rates = iter(curve.lr.tolist())
    loss, losses = bptt.CrossEntropy(), []
    for index in range(7):
        x, target = DATA[index % 3]
        net.zero_grad()
        y, _, tape = net.forward(x)
        value, dy = loss(y, target)
        net.backward(tape, dy)
        bptt.SGD(next(rates)).step(net)
        losses.append(value)
    np.testing.assert_array_equal(curve.loss, losses)


DRAWING = (
    "one generator for all",
    "a function that draws",
    "noisy data, one generator with dropout",
    "plateau",
    "clip auto",
)


def test_nothing_changes(subtests: pytest.Subtests) -> None:
    """A run after the test has the bits of a run without it."""
    for name in DRAWING:
        with subtests.test(name):
            plain, tested = CASES[name](), CASES[name]()
            expected = outcome(plain.fit(plain.fresh([])))
            running = tested.fresh([])
            bptt.learning_rate_range(running, tested.data, updates=5)
            assert len(running.history["loss"]) == 0
            assert outcome(tested.fit(running)) == expected


def test_the_test_ends_when_the_loss_diverges() -> None:
    net = bptt.Linear(2, 1, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 5, 2))
    fit = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.SGD(1e-3), progress=False)
    curve = bptt.learning_rate_range(fit, [(x, x[..., :1])], low=1e-3, high=1e12, updates=200)
    assert 10 < len(curve.lr) < 200
    assert np.isfinite(curve.loss).all()
    assert curve.suggestion is not None
    assert curve.suggestion < curve.lr[-1]


def test_the_suggestion_is_where_the_loss_falls_most_steeply() -> None:
    lr = np.geomspace(1e-6, 1, 121)
    curve = RateCurve(lr, 2 - np.tanh(np.log10(lr / 1e-3)))
    assert curve.suggestion == pytest.approx(1e-3, rel=1e-9)
    np.testing.assert_allclose(curve.smoothed[60], curve.loss[54:67].mean(), rtol=1e-14)
    np.testing.assert_array_equal(curve.smoothed[[0, -1]], curve.loss[[0, -1]])
    assert RateCurve(lr, np.linspace(1, 2, 121)).suggestion is None
    assert repr(curve) == "RateCurve(121 updates, 1e-06 to 1, suggestion 0.001)"


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a model": (lambda: bptt.learning_rate_range(model(), DATA), "trainer must be a Trainer"),  # type: ignore[arg-type]
    "low": (lambda: bptt.learning_rate_range(trainer(model()), DATA, low=0), "low must be"),
    "order": (lambda: bptt.learning_rate_range(trainer(model()), DATA, low=1, high=0.1), "low must be below"),
    "updates": (lambda: bptt.learning_rate_range(trainer(model()), DATA, updates=1), "updates must be"),
    "one pass": (lambda: bptt.learning_rate_range(trainer(model()), iter(DATA)), "data must"),
    "one array": (lambda: bptt.learning_rate_range(trainer(model()), DATA[0]), "Arrays"),
}


def test_wrong_arguments(subtests: pytest.Subtests) -> None:
    for name, (call, message) in WRONG.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=message):
            call()


def test_a_loss_that_is_never_finite() -> None:
    net = bptt.Linear(2, 1, seed=0)
    fit = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.SGD(1e-3), progress=False)
    with pytest.raises(ValueError, match="the loss must be finite at the lowest learning rate"):
        bptt.learning_rate_range(fit, [(np.full((3, 2, 2), np.nan), np.ones((3, 2, 1)))])
