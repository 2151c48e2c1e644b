"""The loop over epochs and updates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bptt.callbacks.callback import NO_LIMIT, TrainerView
from bptt.callbacks.watchers import Watchers
from bptt.ranks.ranks import Ranks
from bptt.train.budget import Budget
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

    def run(self, budget: Budget) -> None:
        """Train until the budget is spent, or a callback stops the run."""
        record, tell = self.record, self.watchers.tell
        record.spent = budget.spent(record.run, self.ranks)
        try:
            with record.training():
                while record.run.epoch < budget.epochs and self._continues():
                    self._train_epoch(budget)
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

    def _continues(self) -> bool:
        """Return whether the run has an epoch to train, or one to close."""
        return not self.record.spent and (not self.record.stopping or self.record.run.inside)

    def _train_epoch(self, budget: Budget) -> None:
        """Make the remaining updates of the current epoch, or of the budget."""
        record = self.record
        start = record.run
        self.watchers.ask("epoch_begin", self.trainer, start.epoch, budget.epochs, self.feed.batches)
        for group in () if record.stopping else self.feed.groups(record.run):
            self._commit(self.step.prepare(record.run, group), budget)
            if record.ending:
                break
        self.ranks.end_epoch(self.trainer.model)
        if record.run.updates == start.updates and not (start.inside or record.ending):
            if budget.epochs == NO_LIMIT:
                raise ValueError(
                    "data must have a row that counts in each epoch of a run without `epochs`; got none in "
                    f"epoch {start.epoch}. Fix: check mask and lengths, or pass the largest number of epochs."
                )
            _warn_no_update(start.epoch)

    def _commit(self, pending: Pending, budget: Budget) -> None:
        """Make an update and call the callbacks."""
        self.record.commit(pending, lambda: self.trainer.optimizer.step(self.trainer.model))
        self.record.spent = budget.spent(self.record.run, self.ranks)
        if pending.update is not None:
            self.watchers.tell("update", self.trainer, pending.update)
            self.watchers.tell("settled", self.trainer)

    def _close_epoch(self, figures: Mapping[str, float] | None) -> None:
        """Record the figures of the validation. Continue with the next epoch if this epoch is complete."""
        run, validated = self.record.run, figures is not None
        if self.record.spent and not self.record.stopping and not self.feed.complete(run):
            next_position = run.after_pause(validated=validated)
        else:
            next_position = run.after_epoch(
                validated=validated, generators=self.feed.generators.get(), **self.feed.state()
            )
        self.record.close_epoch(next_position, figures)


def _warn_no_update(epoch: int) -> None:
    warnings.warn(
        f"data of epoch {epoch} have no row that counts, so there was no update. "
        "Fix: check mask and lengths.",
        UserWarning,
        stacklevel=5,  # the line that calls Trainer.fit
    )
