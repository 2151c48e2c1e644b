"""Weights of rows in batches: the Trainer averages by the sum of weights, however the rows are divided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise
from tests.ranks import returned, run
from tests.training import SYMBOLS, B, T, batch, model

import bptt
from bptt.losses import Loss
from bptt.metrics import Accuracy, Perplexity
from bptt.train import Trainer

RNG = np.random.default_rng(7)
WEIGHT = RNG.integers(0, 3, (T, B)) * 0.3
MASK = RNG.random((T, B)) < 0.8
LENGTHS = np.array([T, 7, 5])
X, TARGET = batch()
IGNORED = np.where(RNG.random((T, B)) < 0.3, -100, TARGET)
LOSSES: dict[str, Callable[[str], Loss]] = {
    "plain": lambda reduction: bptt.CrossEntropy(ignore_index=-100, reduction=reduction),
    "classes": lambda reduction: bptt.CrossEntropy(
        class_weight=[0.5, 2.0, 1.0, 0.0, 1.5], ignore_index=-100, reduction=reduction
    ),
    "smoothing": lambda reduction: bptt.CrossEntropy(
        class_weight=[0.5, 2.0, 1.0, 0.1, 1.5], label_smoothing=0.2, ignore_index=-100, reduction=reduction
    ),
    "function": lambda reduction: bptt.losses.FunctionLoss(
        lambda y, target, mask, weight: bptt.CrossEntropy(reduction=reduction)(y, target, mask, weight),
        reduction=reduction,
    ),
}
TARGETS = dict.fromkeys(LOSSES, IGNORED) | {"function": TARGET}


def float64_model() -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1, dtype="float64"),
        bptt.LSTM(4, 6, seed=2, dtype="float64"),
        bptt.Linear(6, SYMBOLS, seed=3, dtype="float64"),
    )


def columns(rows: slice, name: str) -> dict[str, Any]:
    """A batch of some rows, with everything that a batch may carry."""
    return {
        "x": X[:, rows],
        "target": TARGETS[name][:, rows],
        "mask": MASK[:, rows],
        "weight": WEIGHT[:, rows],
        "lengths": LENGTHS[rows],
    }


def trainer(loss: Loss, comm: Any = None, **options: Any) -> Trainer:
    return Trainer(float64_model(), loss, bptt.SGD(0.3), progress=False, comm=comm, **options)


def fitted(data: list[Any], loss: Loss, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    fit = trainer(loss, **options)
    history = fit.fit(data, epochs=2)
    return fit.model.flat_parameters.copy(), history["loss"]


# Rounding of sums over T B rows, in float64, of numbers around 1, through two updates.
CLOSE = {"rtol": 0, "atol": 1e-12}


@pairwise(("name", LOSSES.keys()), ("reduction", ["mean", "sum"]), ("clip_state", [None, 0.02]))
def test_two_batches_of_one_update_are_one_batch(name: str, reduction: str, clip_state: Any) -> None:
    whole = fitted([columns(slice(None), name)], LOSSES[name](reduction), clip_state=clip_state)
    parts = [columns(slice(0, 1), name), columns(slice(1, B), name)]
    split = fitted(parts, LOSSES[name](reduction), accumulate=2, clip_state=clip_state)
    np.testing.assert_allclose(split[0], whole[0], **CLOSE)
    np.testing.assert_allclose(split[1], whole[1], rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_windows_of_one_update_add_up(reduction: str) -> None:
    """Windows of one step, from states that do not depend on the weights."""
    for name, make in LOSSES.items():
        loss = make(reduction)
        split = trainer(loss, truncate=3, accumulate=T)
        history = split.fit([columns(slice(None), name)])
        y, _ = float64_model()(X, lengths=LENGTHS)
        mask = MASK & (np.arange(T)[:, None] < LENGTHS)
        assert history["loss"][0] == pytest.approx(loss.value(y, TARGETS[name], mask, WEIGHT), rel=1e-12), (
            name
        )


@pairwise(("name", LOSSES.keys()), ("reduction", ["mean", "sum"]), ("clip_state", [None, 0.02]))
def test_ranks_share_the_rows_of_a_batch(name: str, reduction: str, clip_state: Any) -> None:
    whole = fitted([columns(slice(None), name)], LOSSES[name](reduction), clip_state=clip_state)
    alone = trainer(LOSSES[name](reduction), metrics=[Accuracy(), Perplexity()])
    expected = alone.measure([columns(slice(None), name)])

    def job(comm: Any) -> Any:
        data = bptt.data.Shard([columns(slice(None), name)], comm)
        loss = LOSSES[name](reduction)
        measured = trainer(loss, comm, metrics=[Accuracy(), Perplexity()]).measure(data)
        return *fitted(data, loss, comm=comm, clip_state=clip_state), measured

    for weights, losses, measured in returned(run(2, job)):
        np.testing.assert_allclose(weights, whole[0], **CLOSE)
        np.testing.assert_allclose(losses, whole[1], rtol=1e-12)
        assert measured == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_measures_of_two_batches_are_those_of_one(reduction: str) -> None:
    for name, make in LOSSES.items():
        fit = trainer(make(reduction), metrics=[Accuracy(), Perplexity()])
        whole = fit.measure([columns(slice(None), name)])
        split = fit.measure([columns(slice(0, 1), name), columns(slice(1, B), name)])
        assert split == pytest.approx(whole, rel=1e-12), name


def test_whole_weights_are_copies_of_rows() -> None:
    """Weight 2 is the same as the row twice, weight 0 the same as no row, for loss and metrics."""
    counts = np.array([2, 0, 1])
    x, target = np.repeat(X, counts, axis=1), np.repeat(TARGET, counts, axis=1)
    weight = np.broadcast_to(counts, (T, B))
    one = trainer(bptt.CrossEntropy(), metrics=[Accuracy(), Perplexity()])
    other = trainer(bptt.CrossEntropy(), metrics=[Accuracy(), Perplexity()])
    data, copies = [{"x": X, "target": TARGET, "weight": weight}], [(x, target)]
    one.fit(data, validation=data)
    other.fit(copies, validation=copies)
    np.testing.assert_allclose(one.model.flat_parameters, other.model.flat_parameters, **CLOSE)
    for name in one.history:
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-12)


def test_one_output_per_sequence() -> None:
    """Weights (B,) of a model with one output per sequence, also batch first and on two ranks."""

    def classifier(batch_first: bool) -> bptt.Sequential:
        return bptt.Sequential(
            bptt.GRU(2, 4, seed=1, dtype="float64", batch_first=batch_first),
            bptt.Last(batch_first=batch_first),
            bptt.Linear(4, 2, seed=2, dtype="float64"),
        )

    rng = np.random.default_rng(0)
    x, target, weight = rng.standard_normal((6, 4, 2)), rng.integers(0, 2, 4), np.array([1.0, 0.0, 2.5, 0.5])
    y, _ = classifier(False)(x)
    expected = bptt.CrossEntropy().value(y, target, None, weight)
    for batch_first in (False, True):
        given = {"x": x.swapaxes(0, 1) if batch_first else x, "target": target, "weight": weight}
        fit = Trainer(classifier(batch_first), bptt.CrossEntropy(), bptt.SGD(0.1), progress=False)
        assert fit.evaluate([given]) == pytest.approx(expected, rel=1e-12)

        def job(comm: Any, given: Any = given, batch_first: bool = batch_first) -> float:
            data = bptt.data.Shard([given], comm, batch_first=batch_first)
            net = classifier(batch_first)
            return Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.1), progress=False, comm=comm).evaluate(data)

        assert returned(run(2, job)) == pytest.approx([expected] * 2, rel=1e-12)


def test_a_sum_takes_steps_as_large_as_the_number_of_rows() -> None:
    net, other = model(), model()
    sums = Trainer(net, bptt.CrossEntropy(reduction="sum"), bptt.SGD(0.5 / (T * B)), progress=False)
    means = Trainer(other, bptt.CrossEntropy(), bptt.SGD(0.5), progress=False)
    sums.fit([(X, TARGET)])
    means.fit([(X, TARGET)])
    np.testing.assert_allclose(net.flat_parameters, other.flat_parameters, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sums.history["loss"], means.history["loss"] * T * B, rtol=1e-6)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "negative": (
        np.where(MASK, WEIGHT, -1.0) - 0.1,
        ValueError,
        "weight must hold finite numbers >= 0; got -",
    ),
    "NaN": (WEIGHT * np.nan, ValueError, "weight must hold finite numbers >= 0; got nan"),
    "infinite": (WEIGHT + np.inf, ValueError, "weight must hold finite numbers >= 0; got inf"),
    "bools": (MASK, TypeError, "weight must be an array of numbers; got bool. Fix: pass the array as mask"),
    "text": (np.full((T, B), "a"), TypeError, "weight must"),
    "one per sequence": (np.ones(B), ValueError, r"weight must have shape \(12, 3\); got \(3,\)"),
    "turned": (WEIGHT.T, ValueError, r"weight must have shape \(12, 3\); got \(3, 12\)"),
}


def test_bad_weights_change_nothing(subtests: pytest.Subtests) -> None:
    for name, (weight, error, message) in BAD.items():
        for accumulate in (1, 2):
            with subtests.test(name, accumulate=accumulate):
                fit = trainer(bptt.CrossEntropy(), accumulate=accumulate)
                before = fit.model.flat_parameters.copy()
                data = [{"x": X, "target": TARGET, "weight": weight}] * 2
                with pytest.raises(error, match=message):
                    fit.fit(data)
                np.testing.assert_array_equal(fit.model.flat_parameters, before)
                with pytest.raises(error, match=message):
                    fit.evaluate(data)


def test_masked_weights_may_be_anything() -> None:
    loss, y = bptt.CrossEntropy(), np.random.default_rng(0).standard_normal((T, B, SYMBOLS))
    expected = loss(y, TARGET, MASK, WEIGHT)
    for hidden in (np.nan, -1.0, np.inf):
        found = loss(y, TARGET, MASK, np.where(MASK, WEIGHT, hidden))
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])


def test_a_row_of_weight_0_may_hold_anything(subtests: pytest.Subtests) -> None:
    y = np.random.default_rng(0).standard_normal((T, B, SYMBOLS))
    weight = np.where(MASK, 1.0, 0.0)
    for loss in (bptt.CrossEntropy(), bptt.Huber(), bptt.BinaryCrossEntropy()):
        with subtests.test(repr(loss)):
            target: Any = TARGET if isinstance(loss, bptt.CrossEntropy) else (y > 0).astype(float)
            expected = loss(y, target, None, weight)
            broken, wrong = y.copy(), target.copy()
            broken[~MASK] = np.nan
            wrong[~MASK] = 77
            value, dy = loss(broken, wrong, None, weight)
            assert value == expected[0]
            np.testing.assert_array_equal(dy, expected[1])
