"""Data objects give (T, B, ...): the Trainer swaps the axes for models with batch_first=True."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.ranks import ThreadComm, World

import bptt
from bptt.train import Trainer

RNG = np.random.default_rng(0)
SERIES = RNG.standard_normal((90, 2))
ROWS = [RNG.standard_normal((size, 2)) for size in (3, 7, 5, 7, 2, 4)]
CLASSES = RNG.integers(0, 3, 6)
LABELS = [RNG.integers(0, 3, len(row)) for row in ROWS]
TEXT = "abracadabra, said the recurrent network " * 4
LENGTHS = np.array([5, 2, 4])
BLOCK, BLOCK_LABELS = RNG.standard_normal((6, 5, 2)), RNG.integers(0, 3, (6, 5))
SIX = np.array([5, 1, 3, 0, 2, 4])


def numbers(batch_first: bool) -> bptt.Module:
    return bptt.Sequential(
        bptt.GRU(2, 5, seed=1, batch_first=batch_first, dtype="float64"),
        bptt.Linear(5, 2, seed=2, dtype="float64"),
    )


def classes(batch_first: bool) -> bptt.Module:
    return bptt.Sequential(
        bptt.LSTM(2, 5, seed=1, batch_first=batch_first, dtype="float64"),
        bptt.Linear(5, 3, seed=2, dtype="float64"),
    )


def last(batch_first: bool) -> bptt.Module:
    return bptt.Sequential(
        bptt.LSTM(2, 5, seed=1, batch_first=batch_first, dtype="float64"),
        bptt.Last(batch_first=batch_first),
        bptt.Linear(5, 3, seed=2, dtype="float64"),
    )


def last_numbers(batch_first: bool) -> bptt.Module:
    return bptt.Sequential(
        bptt.LSTM(2, 5, seed=1, batch_first=batch_first, dtype="float64"),
        bptt.Last(batch_first=batch_first),
        bptt.Linear(5, 2, seed=2, dtype="float64"),
    )


def symbols(batch_first: bool) -> bptt.Module:
    count = len(set(TEXT))
    return bptt.Sequential(
        bptt.Embedding(count, 3, seed=1, dtype="float64"),
        bptt.GRU(3, 5, seed=2, batch_first=batch_first, dtype="float64"),
        bptt.Linear(5, count, seed=3, dtype="float64"),
    )


class Parts:
    """Batches (T, B, ...) with every part that a batch may have."""

    time_first = True

    def __init__(self, per_step: bool) -> None:
        self.per_step = per_step

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        rng = np.random.default_rng(3)
        for _ in range(3):
            rows = (5, 3) if self.per_step else (3,)
            yield {
                "x": rng.standard_normal((5, 3, 2)),
                "target": rng.integers(0, 3, rows),
                "mask": np.arange(np.prod(rows)).reshape(rows) % 3 > 0,
                "lengths": LENGTHS,
                "reset": rng.random((5, 3)) < 0.2,
            }


Case = tuple[Callable[[], Any], Callable[[bool], bptt.Module], Any]
MSE, CE = bptt.MeanSquaredError(), bptt.CrossEntropy()
CASES: dict[str, Case] = {
    "windows": (lambda: bptt.data.Windows(SERIES, steps=6, batch_size=4, shuffle=True, seed=0), numbers, MSE),
    "windows as many steps as rows": (lambda: bptt.data.Windows(SERIES, steps=6, batch_size=6), numbers, MSE),
    "windows, last": (lambda: bptt.data.Windows(SERIES, steps=6, batch_size=4, last=True), last_numbers, MSE),
    "ragged": (lambda: bptt.data.Ragged(ROWS, CLASSES, batch_size=3), last, CE),
    "ragged, per step": (lambda: bptt.data.Ragged(ROWS, LABELS, batch_size=3, per_step=True), classes, CE),
    "arrays": (lambda: bptt.data.Arrays(BLOCK, CLASSES, batch_size=4, lengths=SIX), last, CE),
    "arrays, per step": (
        lambda: bptt.data.Arrays(BLOCK, BLOCK_LABELS, batch_size=4, lengths=SIX, mask=BLOCK_LABELS > 0),
        classes,
        CE,
    ),
    "every part": (lambda: Parts(per_step=False), last, CE),
    "every part, per step": (lambda: Parts(per_step=True), classes, CE),
    "stream": (lambda: bptt.data.Stream(SERIES, steps=8, batch_size=3), numbers, MSE),
    "text": (lambda: bptt.data.TextStream(TEXT, batch_size=3, steps=10), symbols, CE),
    "read ahead": (lambda: bptt.data.Prefetch(bptt.data.Stream(SERIES, steps=8, batch_size=3)), numbers, MSE),
    "one rank's rows": (
        lambda: bptt.data.Shard(bptt.data.Windows(SERIES, steps=6, batch_size=4), ThreadComm(World(1), 0)),
        numbers,
        MSE,
    ),
}


def fitted(case: Case, batch_first: bool, **options: Any) -> Trainer:
    data, net, loss = case
    trainer = Trainer(net(batch_first), loss, bptt.SGD(0.1), progress=False, **options)
    trainer.fit(data(), epochs=2, validation=data())
    return trainer


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    """The same but for the order of sums: over at most 60 rows, in at most 60 updates."""
    np.testing.assert_allclose(one, other, rtol=0, atol=60 * 60 * np.finfo(np.float64).eps)


@pytest.mark.parametrize("name", CASES)
def test_models_of_either_order_learn_the_same(name: str) -> None:
    one, other = (fitted(CASES[name], batch_first) for batch_first in (False, True))
    assert_close(one.model.flat_parameters, other.model.flat_parameters)
    for column in ("loss", "validation_loss"):
        assert_close(one.history[column], other.history[column])


@pytest.mark.parametrize("name", ["stream", "ragged, per step", "every part, per step", "text"])
def test_truncated(name: str) -> None:
    one, other = (fitted(CASES[name], batch_first, truncate=3) for batch_first in (False, True))
    assert_close(one.model.flat_parameters, other.model.flat_parameters)


def test_predictions_have_the_order_of_the_model() -> None:
    data = bptt.data.Windows(SERIES, steps=6, batch_size=4)
    first, second = (
        Trainer(numbers(batch_first), MSE, bptt.SGD(0.1), progress=False).predict(data)[0]
        for batch_first in (False, True)
    )
    assert first.shape == (6, 4, 2)
    assert_close(second, first.swapaxes(0, 1))


def test_batches_of_a_list_are_read_as_they_are() -> None:
    x, target = SERIES[:30].reshape(6, 5, 2), SERIES[30:60].reshape(6, 5, 2)
    one, other = numbers(False), numbers(True)
    Trainer(one, MSE, bptt.SGD(0.1), progress=False).fit([(x, target)])
    Trainer(other, MSE, bptt.SGD(0.1), progress=False).fit([(x.swapaxes(0, 1), target.swapaxes(0, 1))])
    assert_close(one.flat_parameters, other.flat_parameters)


def test_shard_refuses_batch_first_for_data_objects() -> None:
    with pytest.raises(ValueError, match=r"batch_first must be False for Windows, .* leave batch_first out"):
        bptt.data.Shard(bptt.data.Windows(SERIES, steps=6, batch_size=4), None, batch_first=True)
