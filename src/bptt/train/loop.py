"""The loop over epochs and updates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bptt.callbacks.callback import TrainerView
from bptt.callbacks.watchers import Watchers
from bptt.ranks.ranks import Ranks
from bptt.train.feed import Feed
from bptt.train.interrupts import interrupts_ignored
from bptt.train.record import Record
from bptt.train.step import Pending, Step


@dataclass(frozen=True)
class Loop:
    """The loop of one call of `fit`, after its data are checked and its run is started or resumed.

    Attributes
    ----------
    trainer : TrainerView
        The argument of all callbacks.
    record, feed, step, ranks, watchers
        Objects of the run.
    validate : callable
        Returns the loss and the metrics on the validation data; None without validation data.
    """

    trainer: TrainerView
    record: Record
    feed: Feed
    step: Step
    ranks: Ranks
    watchers: Watchers
    validate: Callable[[], Mapping[str, float] | None]

    def run(self, epochs: int) -> None:
        """Train until `epochs` epochs are complete, or a callback stops the run."""
        record, tell = self.record, self.watchers.tell
        try:
            with record.training():
                while record.run.epoch < epochs and not (record.stopping and not record.run.inside):
                    self._train_epoch(epochs)
                    figures = self.validate()
                    epoch = record.run.epoch
                    self._close_epoch(figures)
                    if figures is not None:
                        tell("validation", self.trainer, epoch, figures["loss"])
                    tell("epoch_end", self.trainer, epoch)
        except KeyboardInterrupt:
            with interrupts_ignored():
                self.trainer.model.zero_grad()
                tell("interrupted", self.trainer)
            raise
        finally:
            tell("fit_end", self.trainer)

    def _train_epoch(self, epochs: int) -> None:
        """Make the remaining updates of the current epoch."""
        record = self.record
        start = record.run
        self.watchers.ask("epoch_begin", self.trainer, start.epoch, epochs, self.feed.batches)
        for group in () if record.stopping else self.feed.groups(record.run):
            self._commit(self.step.prepare(record.run, group))
            if record.stopping:
                break
        self.ranks.end_epoch(self.trainer.model)
        if record.run.updates == start.updates and not (start.inside or record.stopping):
            _warn_no_update(start.epoch)

    def _commit(self, pending: Pending) -> None:
        """Make an update and call the callbacks."""
        self.record.commit(pending, lambda: self.trainer.optimizer.step(self.trainer.model))
        if pending.update is not None:
            self.watchers.tell("update", self.trainer, pending.update)
            self.watchers.tell("settled", self.trainer)

    def _close_epoch(self, figures: Mapping[str, float] | None) -> None:
        """Continue with the next epoch and record the figures of the validation."""
        next_position = self.record.run.after_epoch(
            validated=figures is not None, generators=self.feed.generators.get(), **self.feed.state()
        )
        self.record.close_epoch(next_position, figures)


def _warn_no_update(epoch: int) -> None:
    warnings.warn(
        f"data of epoch {epoch} have no row that counts, so there was no update. "
        "Fix: check mask and lengths.",
        UserWarning,
        stacklevel=5,  # the line that calls Trainer.fit
    )
