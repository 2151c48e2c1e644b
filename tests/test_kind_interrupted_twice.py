"""Kind of fault: interrupted while being interrupted.

One to three interrupts at any line of the training loop; then weights, optimizer, history and the recorded
position agree, and the run can be resumed from there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model

import bptt
from bptt.callbacks import TrainerView
from bptt.train import Trainer

EPOCHS = 2
DATA = [batch(seed) for seed in range(3)]
FILES = ("trainer.py", "loop.py", "record.py", "step.py", "passes.py", "feed.py", "run.py", "history.py")
LOOP = tuple(os.path.join("train", name) for name in FILES)


def parts() -> tuple[bptt.losses.Loss, bptt.optim.Optimizer, dict[str, Any]]:
    options = {"clip": bptt.ClipNorm("auto"), "truncate": 5, "progress": False}
    return bptt.CrossEntropy(), bptt.Adam(1e-2), options


def made(*callbacks: bptt.Callback) -> Trainer:
    loss, optimizer, options = parts()
    return Trainer(model(), loss, optimizer, callbacks=callbacks, **options)


class Keep(bptt.Callback):
    """The weights after 0, 1, 2, ... updates."""

    def __init__(self) -> None:
        self.weights: list[bytes] = []

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        self.weights.append(trainer.model.flat_parameters.tobytes())

    def update(self, trainer: TrainerView, update: Any) -> None:
        self.weights.append(trainer.model.flat_parameters.tobytes())


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    keep = Keep()
    made(keep).fit(DATA, EPOCHS, DATA[:1])
    return keep.weights


class Lines:
    """Counts the lines of the training loop as they run, and raises KeyboardInterrupt before some of them."""

    def __init__(self, at: list[int]) -> None:
        self.at, self.count = at, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            return self if frame.f_code.co_filename.endswith(LOOP) else None
        if event == "line":
            self.count += 1
            if self.count in self.at:
                raise KeyboardInterrupt
        return self


def run_traced(trainer: Trainer, lines: Lines) -> None:
    before = sys.gettrace()
    sys.settrace(lines)
    try:
        trainer.fit(DATA, EPOCHS, DATA[:1])
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)


def check(trainer: Trainer, expected: list[bytes], path: Path | None = None) -> int:
    updates = len(trainer.history["loss"])
    assert trainer.run.updates == updates == trainer.optimizer.steps
    assert trainer.model.flat_parameters.tobytes() == expected[updates]
    assert {len(trainer.history[name]) for name in ("loss", "grad_norm", "clipped", "lr")} == {updates}
    assert len(trainer.history["validation_loss"]) == trainer.run.validations
    if path is not None:
        trainer.save(path)
        loss, optimizer, options = parts()
        again = Trainer.resume(path, loss, optimizer, **options)
        again.fit(DATA, EPOCHS, DATA[:1])
        assert again.model.flat_parameters.tobytes() == expected[-1]
    return updates


@pytest.mark.parametrize("interrupts", [1, 2, 3])
def test_at_any_line_of_the_loop(interrupts: int, expected: list[bytes], tmp_path: Path) -> None:
    whole = Lines([])
    run_traced(made(), whole)
    rng = np.random.default_rng(interrupts)
    seen = set()
    for trial in range(40):
        first = int(rng.integers(1, whole.count))
        at = [first, *(first + rng.integers(1, 8, interrupts - 1)).tolist()]
        trainer = made()
        run_traced(trainer, Lines(at))
        seen.add(check(trainer, expected, None if trial % 20 else tmp_path / "run"))
    assert len(seen) > 5


@contextmanager
def interrupts_inside_fit() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt in the training loop alone, not in the test."""

    def handler(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.endswith(LOOP[0]):
                raise KeyboardInterrupt
            frame = frame.f_back

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("signals", [1, 2, 3])
def test_by_real_signals(signals: int, expected: list[bytes]) -> None:
    rng = np.random.default_rng()
    for _ in range(12):
        trainer = made()
        first = rng.uniform(0.0, 0.02)
        moments = [first, *(first + rng.uniform(0.0, 0.001, signals - 1))]
        timers = [threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT)) for moment in moments]
        with interrupts_inside_fit():
            for timer in timers:
                timer.start()
            with suppress(KeyboardInterrupt):
                trainer.fit(DATA, EPOCHS, DATA[:1])
            for timer in timers:
                timer.join()
        check(trainer, expected)


class Resaved(bptt.Checkpoint):
    """Gets another Ctrl-C, a real signal, just before it saves the interrupted run."""

    def interrupted(self, trainer: TrainerView) -> None:
        signal.raise_signal(signal.SIGINT)
        super().interrupted(trainer)


class InterruptsItself(bptt.Callback):
    def update(self, trainer: TrainerView, update: Any) -> None:
        signal.raise_signal(signal.SIGINT)


def test_checkpoint_saves_however_often_ctrl_c_is_pressed(tmp_path: Path) -> None:
    path, before = tmp_path / "run.safetensors", signal.getsignal(signal.SIGINT)
    trainer = made(InterruptsItself(), Resaved(path))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(DATA, EPOCHS, DATA[:1])
    loss, optimizer, options = parts()
    resumed = Trainer.resume(path, loss, optimizer, **options)
    assert len(resumed.history) == len(trainer.history) > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_another_thread_than_the_main_one(tmp_path: Path) -> None:
    path, came = tmp_path / "run.safetensors", []
    trainer = made(Interrupting(), bptt.Checkpoint(path))

    def run() -> None:
        with suppress(KeyboardInterrupt):
            trainer.fit(DATA, EPOCHS, DATA[:1])
        came.append(path.exists())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert came == [True]


class Interrupting(bptt.Callback):
    def update(self, trainer: TrainerView, update: Any) -> None:
        raise KeyboardInterrupt


class Interrupted(bptt.SGD):
    """Raises KeyboardInterrupt in the optimizer's step, before or after the weights have changed."""

    def __init__(self, after: bool) -> None:
        super().__init__(0.1)
        self.after = after

    def step(self, model: bptt.Module) -> None:
        if self.after:
            super().step(model)
        raise KeyboardInterrupt


class Again(bptt.Callback):
    """Raises KeyboardInterrupt while the first one is being handled."""

    def interrupted(self, trainer: TrainerView) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
def test_the_step_count_says_whether_the_update_was_made(after: bool) -> None:
    trainer = Trainer(model(), bptt.CrossEntropy(), Interrupted(after), callbacks=[Again()], progress=False)
    before = trainer.model.flat_parameters.copy()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(DATA)
    assert trainer.run.updates == len(trainer.history["loss"]) == trainer.optimizer.steps == int(after)
    assert trainer.run.batches == int(after)
    assert np.array_equal(trainer.model.flat_parameters, before) == (not after)


def test_another_thread_may_read_the_history() -> None:
    """As a live plot does: no row is lost, and training goes on."""
    trainer = made()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            len(trainer.history["loss"])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        history = trainer.fit(DATA * 30, EPOCHS, DATA[:1])
    finally:
        stop.set()
        reader.join()
    assert len(history["loss"]) == trainer.run.updates == 3 * 30 * 3 * EPOCHS
