"""Batches read ahead in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import T, batch, model, trainer
from tests.waiting import PATIENCE, wait_until

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.data import Prefetch, TextStream, Windows
from bptt.train import Trainer


def readers() -> int:
    return sum(thread.name == "bptt.data.Prefetch" for thread in threading.enumerate())


class Counted:
    """Batches 0, 1, ... and how many were asked for."""

    def __init__(self, count: int, fails_at: int = -1) -> None:
        self.count, self.fails_at, self.read = count, fails_at, 0

    def __iter__(self) -> Iterator[int]:
        for k in range(self.count):
            self.read += 1
            if k == self.fails_at:
                raise OSError("the disk is gone")
            yield k


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_same_batches_in_the_same_order_every_time(count: int) -> None:
    data = Prefetch(Counted(20), count)
    assert list(data) == list(data) == list(range(20))
    assert readers() == 0


def test_reads_ahead_so_far_and_no_further() -> None:
    data = Counted(20)
    each = iter(Prefetch(data, 3))
    assert next(each) == 0
    # One is in work, three lie ready, and one waits for its place.
    wait_until(lambda: data.read == 5)
    time.sleep(0.05)
    assert data.read == 5
    assert next(each) == 1
    wait_until(lambda: data.read == 6)


def test_reads_while_the_caller_works() -> None:
    """The second batch is read before anyone asks for it: else this would wait for ever."""
    taken = threading.Event()

    class Waiting:
        def __iter__(self) -> Iterator[int]:
            yield 0
            taken.set()
            yield 1

    each = iter(Prefetch(Waiting()))
    assert next(each) == 0
    assert taken.wait(PATIENCE)
    assert next(each) == 1


@pytest.mark.parametrize("at", [0, 1, 5])
def test_an_exception_comes_in_its_place(at: int) -> None:
    each = iter(Prefetch(Counted(9, fails_at=at)))
    assert [next(each) for _ in range(at)] == list(range(at))
    with pytest.raises(OSError, match="the disk is gone"):
        next(each)
    assert readers() == 0


def test_a_loop_left_early_leaves_no_thread() -> None:
    data = Counted(1000)
    for k in Prefetch(data):
        if k == 3:
            break
    wait_until(lambda: readers() == 0)
    assert data.read <= 8


def test_everything_else_is_that_of_the_data() -> None:
    series = np.arange(40, dtype=np.float32)
    windows = Windows(series, steps=5, batch_size=4, seed=0)
    ahead = Prefetch(windows)
    assert len(ahead) == len(windows)
    assert ahead.rng is windows.rng
    rng = np.random.default_rng(3)
    ahead.rng = rng
    assert windows.rng is rng
    stream = TextStream("some text to read " * 9, batch_size=2, steps=5)
    assert Prefetch(stream).carries_state is True
    assert repr(Prefetch([1])) == "Prefetch([1], count=2)"
    with pytest.raises(AttributeError):
        _ = Prefetch([1]).carries_state
    with pytest.raises(TypeError, match="has no length"):
        len(Prefetch(Counted(3)))


def stream() -> Any:
    return Prefetch(Windows(np.sin(np.arange(200.0)), steps=T, batch_size=4, shuffle=True, seed=0))


def numbers() -> bptt.Sequential:
    return bptt.Sequential(bptt.GRU(1, 5, seed=0, dropout=0.0), bptt.Linear(5, 1, seed=1))


def test_training_is_the_same() -> None:
    plain, ahead = model(), model()
    data = [batch(seed) for seed in range(5)]
    trainer(plain).fit(data, epochs=3)
    trainer(ahead).fit(Prefetch(data), epochs=3)
    assert np.array_equal(plain.flat_parameters, ahead.flat_parameters)


@pytest.mark.parametrize("stop", [1, 4, 11])
def test_a_resumed_run_has_the_same_bits(stop: int, tmp_path: Path) -> None:
    class Stop(Callback):
        def settled(self, trainer: TrainerView) -> None:
            if trainer.optimizer.steps == stop:
                raise KeyboardInterrupt

    def parts() -> Any:
        return bptt.MeanSquaredError(), bptt.Adam(0.01)

    whole = Trainer(numbers(), *parts(), progress=False)
    whole.fit(stream(), epochs=2)
    fit = Trainer(numbers(), *parts(), callbacks=[Stop()], progress=False)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(stream(), epochs=2)
    fit.save(tmp_path / "run")
    again = Trainer.resume(tmp_path / "run", *parts(), progress=False)
    again.fit(stream(), epochs=2)
    assert np.array_equal(again.model.flat_parameters, whole.model.flat_parameters)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Prefetch(3), TypeError, "data must be an iterable of batches"),
        (lambda: Prefetch(np.zeros(3)), TypeError, "data must be an iterable of batches"),
        (lambda: Prefetch([1], 0), ValueError, "count must"),
        (lambda: Prefetch([1], 1.5), TypeError, "count must"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
