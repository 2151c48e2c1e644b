"""Metrics against the formulas in NumPy, whatever the batches that the rows came in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise
from tests.training import batch, model

import bptt
from bptt.metrics import MAE, RMSE, Accuracy, BinaryAccuracy, BitsPerCharacter, Metric, Perplexity
from bptt.train import Trainer

EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}
C = 5


def nats(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    y = y.astype(np.float64)
    log_p = y - np.log(np.exp(y - y.max(-1, keepdims=True)).sum(-1, keepdims=True)) - y.max(-1, keepdims=True)
    return -np.take_along_axis(log_p, target[..., None], -1)[..., 0]


FORMULAS: dict[type[Metric], Callable[[np.ndarray, np.ndarray], Any]] = {
    Accuracy: lambda y, target: np.mean(y.argmax(-1) == target),
    BinaryAccuracy: lambda y, target: np.mean((y > 0) == (target > 0.5)),
    Perplexity: lambda y, target: np.exp(np.mean(nats(y, target))),
    BitsPerCharacter: lambda y, target: np.mean(nats(y, target)) / np.log(2),
    RMSE: lambda y, target: np.sqrt(np.mean((y.astype(np.float64) - target) ** 2)),
    MAE: lambda y, target: np.mean(np.abs(y.astype(np.float64) - target)),
}
CLASSES = (Accuracy, Perplexity, BitsPerCharacter)
NUMBERS = (RMSE, MAE, BinaryAccuracy)


def rows(kind: type[Metric], count: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((count, C)).astype(dtype)
    if kind in CLASSES:
        return y, rng.integers(0, C, count)
    return y, rng.random((count, C)) if kind is BinaryAccuracy else rng.standard_normal((count, C))


def close(dtype: str) -> float:
    """Of a mean over rows of C rounded terms, each a few roundings from the next."""
    return 16 * C * EPS[dtype]


@pairwise(("kind", FORMULAS.keys()), ("masked", [False, True]), ("dtype", ["float32", "float64"]))
def test_formula_over_batches_of_unequal_size(kind: type[Metric], masked: bool, dtype: str) -> None:
    y, target = rows(kind, 101, dtype)
    mask = np.random.default_rng(1).random(101) < 0.6
    metric = kind()
    for begin, end in ((0, 1), (1, 60), (60, 60), (60, 67), (67, 101)):
        metric.add(y[begin:end], target[begin:end], mask[begin:end] if masked else None)
    kept = mask if masked else np.ones(101, bool)
    assert type(metric.value) is float
    assert metric.value == pytest.approx(FORMULAS[kind](y[kept], target[kept]), rel=close(dtype))
    assert metric.count == kept.sum() * (1 if kind in CLASSES else C)
    whole = kind()
    whole.add(y, target, kept)
    assert metric.value == pytest.approx(whole.value, rel=8 * EPS["float64"])


@pytest.mark.parametrize("kind", FORMULAS)
def test_axes_before_the_last_are_rows(kind: type[Metric]) -> None:
    y, target = rows(kind, 24)
    mask = np.random.default_rng(1).random(24) < 0.6
    flat, shaped = kind(), kind()
    flat.add(y, target, mask)
    shaped.add(y.reshape(2, 3, 4, C), target.reshape(2, 3, 4, *target.shape[1:]), mask.reshape(2, 3, 4))
    assert shaped.value == flat.value


@pytest.mark.parametrize("kind", FORMULAS)
def test_a_masked_row_may_hold_anything(kind: type[Metric]) -> None:
    y, target = rows(kind, 6)
    metric = kind()
    metric.add(y[:4], target[:4])
    expected = metric.value
    metric.reset()
    y[4:], target[4:] = [[np.nan], [np.inf]], 10**6
    metric.add(y, target, np.arange(6) < 4)
    assert metric.value == expected
    metric.add(y[4:], target[4:], [False, False])
    assert metric.value == expected


@pytest.mark.parametrize("kind", FORMULAS)
def test_nothing_to_average_over(kind: type[Metric]) -> None:
    metric = kind()
    y, target = rows(kind, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{metric.name} needs a row .*; got none. Fix: "):
            _ = metric.value
        metric.add(y, target, np.zeros(3, bool))
        metric.add(y[:0], target[:0])
    metric.add(y, target)
    assert metric.value == pytest.approx(FORMULAS[kind](y, target), rel=close("float64"))
    metric.reset()
    assert metric.count == metric.total == 0


@pytest.mark.parametrize("kind", FORMULAS)
def test_nan_shows(kind: type[Metric]) -> None:
    y, target = rows(kind, 4)
    metric = kind()
    metric.add(y, target)
    y[2, 0] = np.nan
    if kind in (Accuracy, BinaryAccuracy):
        target[2] = 0  # where NaN is, and argmax points
        right, count = metric.total, metric.count
        others = np.count_nonzero(y[2, 1:] <= 0) if kind is BinaryAccuracy else 0
        metric.add(y[2:3], target[2:3])
        assert metric.value == (right + others) / (count + (C if kind is BinaryAccuracy else 1))
        return
    metric.add(y, target)
    assert np.isnan(metric.value)
    metric.reset()
    metric.add(y[:2], target[:2])
    assert np.isfinite(metric.value)


@pytest.mark.parametrize("kind", [RMSE, MAE])
def test_infinities_and_overflow(kind: type[Metric]) -> None:
    for y, target, expected in (
        (1e300, -1e300, np.inf if kind is RMSE else 2e300),
        (np.inf, 0.0, np.inf),
        (np.inf, np.inf, np.nan),
        (0.0, np.nan, np.nan),
    ):
        metric = kind()
        metric.add([[y]], [[target]])
        np.testing.assert_equal(metric.value, expected)


def test_errors_are_in_float64() -> None:
    """A float32 output against a float64 target: rounded nowhere."""
    metric = MAE()
    metric.add(np.ones((1, 1), np.float32), [[1 + 1e-12]])
    assert metric.value == (1 + 1e-12) - 1


def test_perplexity_too_large_for_a_float() -> None:
    metric = Perplexity()
    metric.add([[0.0, 1000.0]], [0])
    assert metric.value == np.inf
    metric.reset()
    metric.add(np.zeros((3, 7)), [0, 1, 6])
    assert metric.value == pytest.approx(7, rel=8 * EPS["float64"])


def test_of_equal_outputs_the_first_counts() -> None:
    metric = Accuracy()
    metric.add([[1, 1], [1, 1], [-np.inf, np.inf]], [0, 1, 1])
    assert metric.value == 2 / 3


def test_names() -> None:
    named = {kind.name: kind.better for kind in FORMULAS}
    assert named == {
        "accuracy": "higher",
        "binary_accuracy": "higher",
        "perplexity": "lower",
        "bits_per_character": "lower",
        "rmse": "lower",
        "mae": "lower",
    }
    metric = Accuracy()
    assert repr(metric) == "Accuracy()"
    metric.add([[0, 1], [1, 0], [1, 0]], [1, 0, 1])
    assert repr(metric) == "Accuracy(0.666667 over 3)"
    assert pickle.loads(pickle.dumps(metric)).value == metric.value


def test_perplexity_is_that_of_the_trainers_loss() -> None:
    net, data = model(), [batch(4), batch(5, steps=3, rows=7)]
    metric = Perplexity()
    for x, target in data:
        metric.add(net(x)[0], target)
    loss = Trainer(net, bptt.CrossEntropy(), bptt.SGD(), progress=False).evaluate(data)
    assert metric.value == pytest.approx(np.exp(loss), rel=8 * EPS["float64"])


Y, IDS, FLAGS = np.zeros((4, 3)), np.zeros(4, int), np.ones(4, bool)
BAD: dict[str, tuple[type[Metric], tuple[Any, ...], type[Exception], str]] = {
    "y text": (Accuracy, ("no", IDS), TypeError, "y must"),
    "y complex": (RMSE, (Y + 1j, Y), TypeError, "y must"),
    "y one axis": (Accuracy, (Y[0], IDS), ValueError, "y must have shape"),
    "classes of float": (Accuracy, (Y, IDS + 0.5), TypeError, "target must be an array of integers"),
    "classes too many": (Perplexity, (Y, np.zeros(5, int)), ValueError, r"target must have shape \(4,\)"),
    "one-hot": (Accuracy, (Y, np.zeros((4, 3), int)), ValueError, r"in shape \(4,\).*target.argmax\(-1\)"),
    "class -1": (Accuracy, (Y, IDS - 1), ValueError, "target must hold classes from 0 to 2; got -1"),
    "share above 1": (BinaryAccuracy, (Y, Y + 2), ValueError, r"target must hold numbers in \[0, 1\]; got"),
    "class 3": (Accuracy, (Y, IDS + 3), ValueError, "target must hold classes from 0 to 2; got 3"),
    "class 3 of a loss": (Perplexity, (Y, IDS + 3), ValueError, "target"),
    "numbers too few": (MAE, (Y, Y[:3]), ValueError, r"target must have shape \(4, 3\)"),
    "numbers without axis": (RMSE, (Y[:, :1], IDS), ValueError, r"target must have shape \(4, 1\)"),
    "mask of int": (MAE, (Y, Y, IDS), TypeError, "mask must be an array of bool"),
    "mask of y's shape": (MAE, (Y, Y, Y == 0), ValueError, r"mask must have shape \(4,\)"),
    "mask too short": (Accuracy, (Y, IDS, FLAGS[:3]), ValueError, r"mask must have shape \(4,\)"),
}


def test_bad_input_adds_nothing(subtests: pytest.Subtests) -> None:
    for name in BAD:
        with subtests.test(name):
            kind, arguments, error, message = BAD[name]
            metric = kind()
            with pytest.raises(error, match=message) as caught:
                metric.add(*arguments)
            assert "\n" not in str(caught.value)
            assert metric.count == metric.total == 0
