"""Save a training run at regular intervals."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from bptt.arguments import check_path, short, size
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, is_new_run, metric_name, watched
from bptt.files import atomic as files
from bptt.files.preprocessing import describe_preprocessing


class Checkpoint(Callback):
    """Save the training run, for `Trainer.resume`, and the model, for `bptt.load`: see `Trainer.save`.

    Files are written every `every_epochs` epochs, at the end of the last epoch, and, if given, every
    `every_updates` updates. On Ctrl-C, a file with the last complete update is written, unless there are
    several ranks. Each file is written completely or not at all, so the process may be killed at any moment.
    The extra value `epochs` is the number of complete epochs.

    Parameters
    ----------
    path : str or os.PathLike
        File to write. The file is overwritten each time, unless its name contains {step} or {epoch}. {step}
        is the optimizer's number of updates, {epoch} the number of complete epochs:
        "run-{step}.safetensors", "run-{step:07d}.safetensors". Double any other braces.
    every_epochs : int
        Number of epochs from one file to the next.
    every_updates : int, optional
        Also save whenever the optimizer's number of updates is a multiple of this number.
    keep : int, optional
        Keep only the last `keep` files of one `fit`. Requires {step} or {epoch} in the name. None: keep all
        files. Files of an earlier `fit` are not deleted. A resumed run counts the files of the run that it
        continues.
    best : bool or str
        True: save only at the end of an epoch with the lowest validation loss so far. Name of one of the
        trainer's metrics: save only when this metric is the best so far. In both cases, Ctrl-C saves nothing.
    extra : mapping of str to JSON values, optional
        More values to save, for example a note.
    preprocessing : mapping of str to Standardize or Vocabulary, optional
        Preprocessing of the model's data, for `bptt.load_preprocessing`.

    Attributes
    ----------
    last : pathlib.Path or None
        The last file that was written.

    Raises
    ------
    TypeError, ValueError
        `every_epochs`, `every_updates` or `keep` is not a positive int. `preprocessing` cannot be saved. The
        path has other fields than {step} and {epoch}, or lacks these fields and `keep` is given. `best` is
        given together with `every_epochs` or `every_updates`. From `fit`: `best` without validation data, or
        for a metric that the trainer does not have.
    OSError
        From `fit`, before the first epoch: the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, checkpoint = bptt.MeanSquaredError(), bptt.Checkpoint("run-{epoch}.safetensors", keep=2)
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[checkpoint])
    >>> history = trainer.fit(data, epochs=3)
    >>> checkpoint.last.name
    'run-3.safetensors'
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
        preprocessing: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.every_epochs = size(every_epochs, "every_epochs")
        self.every_updates = None if every_updates is None else size(every_updates, "every_updates")
        self.keep = None if keep is None else size(keep, "keep")
        if not isinstance(best, (bool, str)):
            raise TypeError(
                f"best must be True, False or the name of a metric; got {short(best)} of type "
                f"{type(best).__name__}. Fix: pass True to watch the validation loss."
            )
        self.best = (metric_name(best, "best") or False) if isinstance(best, str) else best
        if self.best is not False and (self.every_epochs != 1 or every_updates is not None):
            raise ValueError(
                "best must be given without every_epochs and every_updates, because best saves after each "
                "improved validation; got both. Fix: leave them out, or make two Checkpoints."
            )
        self._lowest, self._improved = math.inf, False
        self.extra = dict(extra or {})
        describe_preprocessing(preprocessing)
        self.preprocessing = preprocessing
        self.last: Path | None = None
        self._written: list[list[int]] = []  # step and epochs of each file, oldest first
        check_path(path, "path", "run-{step}.safetensors")
        fields = _fields(os.fspath(path))
        if self.keep is not None and not fields:
            raise ValueError(
                f"keep requires a path with {{step}} or {{epoch}} in its name; got {os.fspath(path)!r:.200}. "
                'Fix: pass "run-{step}.safetensors", or leave keep out to write only one file.'
            )

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that the file can be written, and that `best` has its validation data and metric."""
        if self.best is not False:
            metric = self.best if isinstance(self.best, str) else None
            check_watched(f"Checkpoint(best={self.best!r})", trainer, metric, validation, "best")
        if trainer.rank == 0:
            files.check(self._file(0, 0))  # fail before the first epoch, not after it

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        self._last_epoch = epochs - 1
        if is_new_run(trainer, epoch):
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
        if self.best is False and trainer.ranks == 1:  # other ranks may have made more or fewer updates
            self._save(trainer)

    def state_dict(self) -> dict[str, Any]:
        written = [list(entry) for entry in self._written]
        return {"path": os.fspath(self.path), "written": written, "lowest": self._lowest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._lowest = float(state["lowest"])
        # The state holds numbers, not file names, so only files of this path can ever be removed.
        if state["path"] == os.fspath(self.path):
            self._written = [[int(step), int(epochs)] for step, epochs in state["written"]]

    def _save(self, trainer: TrainerView) -> None:
        entry = [trainer.optimizer.steps, trainer.epochs_done]
        path, previous = self._file(*entry), self._written
        if self.keep is not None:
            self._written = [file for file in previous if self._file(*file) != path] + [entry]
        try:
            extra = {**self.extra, "epochs": trainer.epochs_done}
            trainer.save(path, extra=extra, preprocessing=self.preprocessing)
        except BaseException:
            self._written = previous
            raise
        self.last = path
        while self.keep is not None and len(self._written) > self.keep:
            if trainer.rank == 0:
                self._file(*self._written[0]).unlink(missing_ok=True)
            del self._written[0]

    def _file(self, step: int, epochs: int) -> Path:
        return Path(os.fspath(self.path).format(step=step, epoch=epochs))


def _fields(path: str) -> set[str]:
    """Return the fields in a path: "step", "epoch", both or none."""
    try:
        fields = {name for _, name, _, _ in Formatter().parse(path) if name is not None}
        if not fields - {"step", "epoch"}:
            path.format(step=0, epoch=0)
            return fields
        actual = f"{{{min(fields - {'step', 'epoch'})}}}"
    except (ValueError, IndexError, KeyError) as error:
        actual = str(error)
    raise ValueError(
        f"path may have only the fields {{step}} and {{epoch}}; got {actual} in {path!r:.200}. Fix: write "
        "{{ and }} for braces that belong to the name."
    )
