"""Watching the gradient in training: what is recorded, what is said, and what is left alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.callbacks import GradientWarning
from bptt.callbacks.monitor import COLUMNS

T, B = 30, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((T, B, 3))
STEPWISE, LAST = np.zeros((T, B, 2)), np.zeros((B, 2))


def net(rho: float = 1.0, last: bool = False, **options: Any) -> bptt.Sequential:
    """An RNN that hands on errors times about rho, at every step or at the last."""
    layer = bptt.RNN(3, 8, init=bptt.init.sparse(connections=8, spectral_radius=rho), seed=1, **options)
    layers = [layer, (bptt.Ends() if layer.bidirectional else bptt.Last())] if last else [layer]
    return bptt.Sequential(*layers, bptt.Linear(8 * layer.num_directions, 2, seed=2))


def identity(rho: float) -> bptt.Sequential:
    layer = bptt.RNN(3, 8, nonlinearity="relu", bias=False, seed=1)
    for name, weight in layer.parameters.items():
        weight[...] = rho * np.eye(8) if name.startswith("weight_hh") else np.abs(weight)
    return bptt.Sequential(layer, bptt.Last(), bptt.Linear(8, 2, seed=2))


def fit(
    model: bptt.Module, monitor: bptt.GradientMonitor, batches: Any, rate: float = 1e-12, **options: Any
) -> bptt.Trainer:
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.SGD(rate), callbacks=[monitor], progress=False, **options
    )
    trainer.fit(batches)
    return trainer


def heard(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GradientWarning)
        call()
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_records_the_flow_of_the_batch_it_saw(last: bool, bidirectional: bool) -> None:
    model, twin = (net(last=last, bidirectional=bidirectional) for _ in range(2))
    monitor = bptt.GradientMonitor(every_updates=3, warn=False)
    fit(model, monitor, [(X, LAST if last else STEPWISE)])
    own = {"loss": bptt.MeanSquaredError(), "target": LAST} if last else {}
    expected = bptt.gradient_flow(twin, X, **own)
    assert monitor.flow is not None
    for found, way in zip(monitor.dh_norm[0], expected.ways, strict=True):
        np.testing.assert_allclose(found[: len(way)] / found[0], way / way[0], rtol=1e-3)
    assert monitor.updates.tolist() == [0]
    assert monitor.steps_back.tolist() == list(range(T))


@pytest.mark.parametrize("last", [False, True])
def test_training_is_the_same_with_it(last: bool) -> None:
    batches = [(X * k, LAST if last else STEPWISE) for k in (1, 2, 3, 4)]
    watched, alone = net(last=last), net(last=last)
    trainer = fit(
        watched, bptt.GradientMonitor(every_updates=2, warn=False), batches, 0.1, truncate=None if last else 7
    )
    plain = bptt.Trainer(
        alone, bptt.MeanSquaredError(), bptt.SGD(0.1), truncate=None if last else 7, progress=False
    )
    plain.fit(batches)
    np.testing.assert_array_equal(watched.flat_parameters, alone.flat_parameters)
    np.testing.assert_array_equal(trainer.history["grad_norm"], plain.history["grad_norm"])


def test_memory_is_bounded() -> None:
    monitor = bptt.GradientMonitor(every_updates=1, records=8, warn=False)
    long = RNG.standard_normal((COLUMNS + 40, 1, 3))
    data = [(X[:, :1], STEPWISE[:, :1])] * 10 + [(long, np.zeros((len(long), 1, 2)))] * 11
    fit(net(), monitor, data)
    assert len(monitor.updates) <= 8
    gaps = np.diff(monitor.updates)
    assert (gaps == gaps[0]).all()
    assert gaps[0] == monitor.every_updates == 4
    assert len(monitor.steps_back) <= COLUMNS
    assert (np.diff(monitor.steps_back) == 2).all()
    assert monitor.dh_norm.shape == (len(monitor.updates), 1, len(monitor.steps_back))
    short, whole = monitor.dh_norm[0, 0], monitor.dh_norm[-1, 0]
    assert np.isfinite(short).sum() == T / 2
    assert np.isfinite(whole).all()


def test_says_once_that_it_explodes() -> None:
    monitor = bptt.GradientMonitor(every_updates=1)
    texts = heard(lambda: fit(identity(1.5), monitor, [(np.abs(X), LAST)] * 6))
    assert len(texts) == 1
    assert texts[0].startswith(
        "At update 0: layer 0 of model[0]: the gradient explodes: it grows by a factor of 1000 in 18 steps"
    )
    assert "ClipNorm" in texts[0]


def test_says_once_that_it_keeps_vanishing() -> None:
    monitor = bptt.GradientMonitor(every_updates=2, patience=3)
    texts = heard(lambda: fit(identity(0.5), monitor, [(np.abs(X), LAST)] * 20))
    assert len(texts) == 1
    assert texts[0].startswith("At update 4: layer 0 of model[0]: the gradient vanishes")
    assert "Remedy" in texts[0]


def test_vanishing_is_seen_though_every_step_has_an_error() -> None:
    """Training's own norms do not fall: each step brings an error of its own."""
    model = net(0.4)
    y, _, tape = model.forward(X)
    model.backward(tape, np.ones_like(y))
    own = tape.tapes[0].dh_norm
    assert own.min() > 0.1 * own.max()
    texts = heard(lambda: fit(net(0.4), bptt.GradientMonitor(every_updates=1), [(X, STEPWISE + 1)] * 4))
    assert len(texts) == 1
    assert "vanishes" in texts[0]


def test_says_nothing_of_what_is_healthy_or_when_told_not_to() -> None:
    assert not heard(lambda: fit(identity(1.0), bptt.GradientMonitor(1), [(np.abs(X), LAST)] * 4))
    assert not heard(lambda: fit(identity(1.5), bptt.GradientMonitor(1, warn=False), [(np.abs(X), LAST)] * 4))


def test_a_gradient_that_is_not_finite_is_still_traced() -> None:
    x = X.copy()
    x[7, 0, 0] = np.nan
    monitor = bptt.GradientMonitor(every_updates=1)

    def run() -> None:
        with pytest.raises(bptt.NonFiniteError, match=r"h of layer 0 of model\[0\] is not finite at step 7"):
            fit(net(), monitor, [(x, STEPWISE)])

    (text,) = heard(run)
    assert "NaN" in text
    assert monitor.flow is not None
    assert monitor.flow.verdict == ("not finite",)


def test_ragged_batches_and_streams() -> None:
    monitor = bptt.GradientMonitor(every_updates=1, warn=False)
    fit(net(), monitor, [(X, STEPWISE, [5, 30, 30, 0])])
    assert np.isfinite(monitor.dh_norm).all()
    monitor = bptt.GradientMonitor(every_updates=1, warn=False)
    fit(net(), monitor, [(X, STEPWISE)], truncate=8)
    assert monitor.dh_norm.shape == (4, 1, 8)
    assert np.isfinite(monitor.dh_norm).sum(axis=(1, 2)).tolist() == [8, 8, 8, 6]


def test_a_batch_of_padding_alone_is_passed_over() -> None:
    monitor = bptt.GradientMonitor(every_updates=1, warn=False)
    fit(net(), monitor, [(X, STEPWISE, [0] * B), (X, STEPWISE, [T] * B)])
    assert monitor.updates.tolist() == [0]  # no update was made from the padding


def two_models() -> None:
    monitor = bptt.GradientMonitor(warn=False)
    fit(net(), monitor, [(X, STEPWISE)])
    fit(net(bidirectional=True), monitor, [(X, STEPWISE)])


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "every_updates 0": (lambda: bptt.GradientMonitor(0), ValueError, "every_updates must"),
    "every_updates a float": (lambda: bptt.GradientMonitor(2.5), TypeError, "every_updates must"),
    "one record": (lambda: bptt.GradientMonitor(records=1), ValueError, "records must"),
    "patience 0": (lambda: bptt.GradientMonitor(patience=0), ValueError, "patience must"),
    "warn a number": (lambda: bptt.GradientMonitor(warn=1), TypeError, "warn must"),
    "nothing to draw": (lambda: bptt.GradientMonitor().plot(), ValueError, "got none"),
    "two models": (two_models, ValueError, "a new GradientMonitor for each model"),
    "no recurrent layer": (
        lambda: fit(bptt.Linear(3, 2), bptt.GradientMonitor(), [(X, STEPWISE)]),
        ValueError,
        "recurrent layer",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
