"""Progress of a training run: its position, its history, and whether it should stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from bptt.optim.optimizer import Optimizer
from bptt.train.history import History
from bptt.train.run import Run
from bptt.train.step import Pending


class Optimizing(Protocol):
    """An object with an optimizer, which may be replaced."""

    optimizer: Optimizer


class Record:
    """The run and the history of a Trainer. Both agree with the weights, even after an interrupt.

    Parameters
    ----------
    trainer : Optimizing
        The optimizer of this object changes weights and step count in one call, which no signal can
        interrupt. So the step count shows whether the current update has been made.

    Attributes
    ----------
    stopping : bool
        Whether a callback stopped the run, so that the current epoch is the last.
    spent : bool
        Whether a limit of `fit` ended the run. A resumed run continues at the same position.
    resumed : bool
        Whether the next `fit` continues a saved run.
    """

    def __init__(self, trainer: Optimizing) -> None:
        self._trainer = trainer
        self._run = self._next = Run()
        self._history = History()
        self._thread: int | None = None
        self.stopping = self.spent = self.resumed = False

    @property
    def run(self) -> Run:
        """Position of the training after the last complete update."""
        return self._next if self._trainer.optimizer.steps == self._next.optimizer_steps else self._run

    @property
    def history(self) -> History:
        """Updates and validations of the run, without a row that an interrupt left incomplete."""
        # Other threads may read the history, but only the training thread knows which row is incomplete.
        if self._thread in (None, threading.get_ident()):
            run = self.run
            self._history.cut(run.updates, run.validations)
        return self._history

    @property
    def ending(self) -> bool:
        """Whether the run ends after this update."""
        return self.stopping or self.spent

    @contextmanager
    def training(self) -> Iterator[None]:
        """Allow only this thread to drop rows of the history inside the block."""
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None

    def begin(self, run: Run, metrics: Iterable[str]) -> None:
        """Start a new run, with an empty history."""
        self.stopping = self.spent = self.resumed = False
        self._run = self._next = run
        self._history = History(metrics)

    def resume(self, run: Run, history: Mapping[str, Any], stopping: bool) -> None:
        """Restore a saved run."""
        self._run = self._next = run
        self._history.load(history)
        self.stopping, self.resumed = stopping, True

    def commit(self, pending: Pending, change: Callable[[], None]) -> None:
        """Make an update: `change` changes the weights and the optimizer's count."""
        if pending.update is not None:
            self.history.add(pending.update)  # visible only after `run` has moved to the next position
        self._run, self._next = self.run, pending.run
        if pending.changes:
            change()
        self._run = pending.run
        self.resumed = False

    def close_epoch(self, next_position: Run, validation: Mapping[str, float] | None) -> None:
        """Continue with the next epoch and record the figures of the validation."""
        if validation is not None:
            self.history.add_validation(**validation)
        self._next = next_position
        self._run = next_position
        self.resumed = False
