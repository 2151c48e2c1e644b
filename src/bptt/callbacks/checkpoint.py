"""Saving a training run as it goes on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from bptt.arguments import flag, short, size
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, metric_name, watched
from bptt.files import atomic as files


class Checkpoint(Callback):
    """Save the training, for `Trainer.resume`, and the model, for `bptt.load`: see `Trainer.save`.

    Files are written every `every_epochs` epochs, at the end of the last epoch, and, if given, every
    `every_updates` updates. On Ctrl-C, a file is written after the last whole update, unless there are
    several ranks. Each file is written whole or not at all, so the process may be killed at any moment. The
    extra value `epochs` is the number of epochs done.

    Parameters
    ----------
    path : str or os.PathLike
        Overwritten each time, unless the name contains {step} or {epoch}. {step} is the optimizer's number of
        updates, {epoch} the number of epochs done: "run-{step}.safetensors", "run-{step:07d}.safetensors".
        Double any other braces.
    every_epochs : int
        Save after this many epochs, again and again.
    every_updates : int, optional
        Save after this many updates, too. The optimizer counts the updates.
    keep : int, optional
        Keep only the last `keep` files of one `fit`; needs {step} or {epoch}. None: keep all. Files of an
        earlier `fit` are not deleted. A resumed run counts the files of the run that it continues.
    best : bool or str
        True: save only at the end of an epoch with the lowest validation loss so far. Name of one of the
        trainer's metrics: save only when that metric is the best so far. Nothing is saved on Ctrl-C then.
    extra : mapping of str to JSON values, optional
        More extra values: a vocabulary, a note.

    Attributes
    ----------
    last : pathlib.Path or None
        The file written last.

    Raises
    ------
    TypeError, ValueError
        `every_epochs`, `every_updates` or `keep` is not a positive int. The path has other fields than {step}
        and {epoch}, or lacks these fields and `keep` is given. `best` is given together with `every_epochs`
        or `every_updates`. From `fit`: `best` without validation data, or for a metric that the trainer does
        not have.
    OSError
        From `fit`, before the first epoch: the file cannot be written there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_epochs: int = 1,
        every_updates: int | None = None,
        keep: int | None = None,
        best: bool | str = False,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.every_epochs = size(every_epochs, "every_epochs")
        self.every_updates = None if every_updates is None else size(every_updates, "every_updates")
        self.keep = None if keep is None else size(keep, "keep")
        self.best = (metric_name(best, "best") or False) if isinstance(best, str) else flag(best, "best")
        if self.best is not False and (self.every_epochs != 1 or every_updates is not None):
            raise ValueError(
                "best saves after a validation that improves; got every_epochs or every_updates as well. "
                "Fix: leave them out, or make two Checkpoints."
            )
        self._lowest, self._improved = math.inf, False
        self.extra = dict(extra or {})
        self.last: Path | None = None
        self._written: list[list[int]] = []  # step and epochs of each, the last one last
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(
                f"path must be a str or os.PathLike; got {short(path)} of type {type(path).__name__}. "
                'Fix: pass "run-{step}.safetensors".'
            )
        fields = _fields(os.fspath(path))
        if self.keep is not None and not fields:
            raise ValueError(
                f"keep needs a path with {{step}} or {{epoch}} in its name; got {os.fspath(path)!r:.200}. "
                'Fix: "run-{step}.safetensors", or leave keep out, for one file.'
            )

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there is the validation, and the metric, that `best` needs."""
        if self.best is not False:
            metric = self.best if isinstance(self.best, str) else None
            check_watched(f"Checkpoint(best={self.best!r})", trainer, metric, validation, "best")
        if trainer.rank == 0:
            files.check(self._file(0, 0))  # now, not after an epoch's work

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        self._last_epoch = epochs - 1
        if epoch == 0 and len(trainer.history["loss"]) == 0:  # a new run, not a resumed one
            self._lowest, self._written = math.inf, []
        self._improved = False

    def settled(self, trainer: TrainerView) -> None:
        if self.every_updates is not None and trainer.optimizer.steps % self.every_updates == 0:
            self._save(trainer)

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        if self.best is False:
            return
        value = watched(trainer, self.best if isinstance(self.best, str) else None, loss)
        if value < self._lowest:
            self._lowest, self._improved = value, True

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        if self.best is not False:
            if self._improved:
                self._save(trainer)
        elif (epoch + 1) % self.every_epochs == 0 or epoch == self._last_epoch or trainer.stopping:
            self._save(trainer)

    def interrupted(self, trainer: TrainerView) -> None:
        if self.best is False and trainer.ranks == 1:  # others may stand behind another update
            self._save(trainer)

    def state_dict(self) -> dict[str, Any]:
        written = [list(entry) for entry in self._written]
        return {"path": os.fspath(self.path), "written": written, "lowest": self._lowest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._lowest = float(state["lowest"])
        # Numbers, not names: nothing but this path's own files is ever removed.
        if state["path"] == os.fspath(self.path):
            self._written = [[int(step), int(epochs)] for step, epochs in state["written"]]

    def _save(self, trainer: TrainerView) -> None:
        entry = [trainer.optimizer.steps, trainer.epochs_done]
        path, before = self._file(*entry), self._written
        if self.keep is not None:
            self._written = [other for other in before if self._file(*other) != path] + [entry]
        try:
            trainer.save(path, extra={**self.extra, "epochs": trainer.epochs_done})
        except BaseException:
            self._written = before
            raise
        self.last = path
        while self.keep is not None and len(self._written) > self.keep:
            if trainer.rank == 0:
                self._file(*self._written[0]).unlink(missing_ok=True)
            del self._written[0]

    def _file(self, step: int, epochs: int) -> Path:
        return Path(os.fspath(self.path).format(step=step, epoch=epochs))


def _fields(path: str) -> set[str]:
    """Which of {step} and {epoch} are in a path."""
    try:
        fields = {name for _, name, _, _ in Formatter().parse(path) if name is not None}
        if not fields - {"step", "epoch"}:
            path.format(step=0, epoch=0)
            return fields
        came = f"{{{min(fields - {'step', 'epoch'})}}}"
    except (ValueError, IndexError, KeyError) as error:
        came = str(error)
    raise ValueError(
        f"path may have {{step}} and {{epoch}} in its name; got {came} in {path!r:.200}. Fix: write "
        "{{ and }} for braces that belong to the name."
    )
