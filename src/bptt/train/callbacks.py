"""Callbacks: the interface, and callbacks that save, stop and log a training run."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import IO, TYPE_CHECKING, Any

from bptt.arguments import flag, real, short, size
from bptt.train import files
from bptt.train.watching import check_watched, metric_name, watched

if TYPE_CHECKING:
    from bptt.arrays import Floats
    from bptt.layers.tape import Tape
    from bptt.train.trainer import Trainer


@dataclass(frozen=True)
class Update:
    """One update, as callbacks see it.

    Attributes
    ----------
    epoch : int
        From 0.
    loss : float
        Of this batch or window.
    grad_norm : float
        Of the whole gradient before clipping.
    clipped : bool
        Clipping changed the gradient.
    lr : float
        Learning rate.
    tokens : int
        Steps times batch rows.
    batches : float
        Batches of this epoch done so far, windows counted as parts.
    """

    epoch: int
    loss: float
    grad_norm: float
    clipped: bool
    lr: float
    tokens: int
    batches: float


class Callback:
    """Override what you need. `fit_end` is called in any case, after an exception too.

    Attributes
    ----------
    every_rank : bool
        False: of the ranks of a run, the first alone calls it.
    """

    every_rank = True

    def fit_begin(self, trainer: Trainer, epochs: int, validation: bool) -> None:
        """Check that this callback can work in this run: `fit` calls it before anything has changed.

        Raise ValueError here, and change nothing. `epochs` are those of `fit`; `validation` tells whether
        `fit` got validation data.
        """

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        """`batches`: how many there will be, None where the data do not say."""

    def backward(self, trainer: Trainer, tape: Tape, dy: Floats) -> None:
        """The errors dy of a batch or window went back: the model has their gradients, those of this rank's
        rows, before clipping, and the tape their norms. A tape is as large as the pass was long: look at it,
        do not keep it."""

    def update(self, trainer: Trainer, update: Update) -> None:
        """An update was made, or skipped because its gradient was not finite."""

    def settled(self, trainer: Trainer) -> None:
        """All callbacks have seen the update: here `trainer.save` writes what each of them knows of it."""

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        """The validation loss at the end of an epoch."""

    def epoch_end(self, trainer: Trainer, epoch: int) -> None:
        """After the validation."""

    def interrupted(self, trainer: Trainer) -> None:
        """Ctrl-C ends the run; the trainer stands after the last whole update."""

    def fit_end(self, trainer: Trainer) -> None:
        """The last call of a run."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know of this one: numbers, texts, arrays, lists and mappings of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""


class Checkpoint(Callback):
    """Saves the training, for `Trainer.resume`, and the model, for `bptt.load`: see `Trainer.save`.

    After every so many epochs and at the end of the last, with `updates` also after every so many updates,
    and on Ctrl-C, unless there are several ranks, after the last whole update. Each file is written whole or
    not at all: the process may be killed at any moment. The number of epochs done is among the extra values,
    as `epochs`.

    Parameters
    ----------
    path : str or os.PathLike
        Overwritten each time. Each time another file with {step} in its name, the optimiser's number of
        updates, or {epoch}, the epochs done: "run-{step}.safetensors", "run-{step:07d}.safetensors". Braces
        that stand for themselves are doubled.
    every : int
        Epochs.
    updates : int, optional
        Updates, counted by the optimiser.
    keep : int, optional
        How many files of one `fit` to keep, the last ones; needs {step} or {epoch}. None: all. Files of an
        earlier `fit` are left alone; a resumed run counts the files of the run that it continues.
    best : bool or str
        Save only at the ends of epochs whose validation loss is the lowest so far; for the name of one of the
        trainer's metrics, whose value is the best. Nothing is saved on Ctrl-C then.
    extra : mapping of str to JSON values, optional
        More extra values: a vocabulary, a note.

    Attributes
    ----------
    last : pathlib.Path or None
        The file written last.

    Raises
    ------
    TypeError, ValueError
        `every`, `updates` or `keep` is not a positive int; a path with other fields than {step} and {epoch};
        `keep` for a path without; `best` beside `every` or `updates`. From `fit`: `best` without validation
        data, or for a metric that the trainer does not have.
    OSError
        From `fit`, before the first epoch: the file cannot be written there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: int = 1,
        updates: int | None = None,
        keep: int | None = None,
        best: bool | str = False,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.every = size(every, "every")
        self.updates = None if updates is None else size(updates, "updates")
        self.keep = None if keep is None else size(keep, "keep")
        self.best = (metric_name(best, "best") or False) if isinstance(best, str) else flag(best, "best")
        if self.best is not False and (self.every != 1 or updates is not None):
            raise ValueError(
                "best saves after validations, by what they find; got every or updates beside it. Fix: leave "
                "them out, or make two Checkpoints."
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

    def fit_begin(self, trainer: Trainer, epochs: int, validation: bool) -> None:
        """Check that there is the validation, and the metric, that `best` needs."""
        if self.best is not False:
            metric = self.best if isinstance(self.best, str) else None
            check_watched(f"Checkpoint(best={self.best!r})", trainer, metric, validation, "best")
        if trainer.rank == 0:
            files.check(self._file(0, 0))  # now, not after an epoch's work

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        self._last_epoch = epochs - 1
        if epoch == 0 and len(trainer.history["loss"]) == 0:  # a new run, not a resumed one
            self._lowest, self._written = math.inf, []
        self._improved = False

    def settled(self, trainer: Trainer) -> None:
        if self.updates is not None and trainer.optimizer.steps % self.updates == 0:
            self._save(trainer)

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        if self.best is False:
            return
        found = watched(trainer, self.best if isinstance(self.best, str) else None, loss)
        if found < self._lowest:
            self._lowest, self._improved = found, True

    def epoch_end(self, trainer: Trainer, epoch: int) -> None:
        if self.best is not False:
            if self._improved:
                self._save(trainer)
        elif (epoch + 1) % self.every == 0 or epoch == self._last_epoch or trainer.stopping:
            self._save(trainer)

    def interrupted(self, trainer: Trainer) -> None:
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

    def _save(self, trainer: Trainer) -> None:
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
        found = {name for _, name, _, _ in Formatter().parse(path) if name is not None}
        if not found - {"step", "epoch"}:
            path.format(step=0, epoch=0)
            return found
        came = f"{{{min(found - {'step', 'epoch'})}}}"
    except (ValueError, IndexError, KeyError) as error:
        came = str(error)
    raise ValueError(
        f"path may have {{step}} and {{epoch}} in its name; got {came} in {path!r:.200}. Fix: write "
        "{{ and }} for braces that belong to the name."
    )


class EarlyStopping(Callback):
    """Ends a run whose validation loss, or metric, no longer gets better.

    Parameters
    ----------
    patience : int
        End the run at the `patience`-th validation in a row that does not improve on the best.
    min_delta : float
        An improvement is one by more than this on the last improvement.
    metric : str, optional
        Name of one of the trainer's metrics to watch instead of the loss: "accuracy".

    Attributes
    ----------
    best : float
        The last improvement's loss, or metric, with its sign turned where higher is better; infinity before.

    Raises
    ------
    ValueError
        In a `fit` without validation data, or whose trainer does not have the metric.
    """

    def __init__(self, patience: int = 3, *, min_delta: float = 0.0, metric: str | None = None) -> None:
        self.metric = metric_name(metric)
        self.patience = size(patience, "patience")
        self.min_delta = real(min_delta, "min_delta", 0.0)
        self.best = math.inf
        self._waited: int | None = None

    def fit_begin(self, trainer: Trainer, epochs: int, validation: bool) -> None:
        """Check that there is a validation, and the metric."""
        check_watched("EarlyStopping", trainer, self.metric, validation)

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        if epoch == 0:
            self.best, self._waited = math.inf, None

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        found = watched(trainer, self.metric, loss)
        improved = found < self.best - self.min_delta
        self._waited = 0 if improved or self._waited is None else self._waited + 1
        if improved:
            self.best = found
        if self._waited >= self.patience:
            trainer.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        best, waited = float(state["best"]), state["waited"]
        self.best, self._waited = best, None if waited is None else int(waited)


class CSVLog(Callback):
    """Writes one line per update, and one per validation with its loss and metrics, to a new CSV file.

    Parameters
    ----------
    path : str or os.PathLike
        Begun anew by every `fit`; a resumed one goes on with the file, after the last row that it had when
        the run was saved.

    Raises
    ------
    OSError
        From `fit`, before the first epoch: the file cannot be written.
    """

    every_rank = False
    columns: tuple[str, ...] = ("epoch", "loss", "grad_norm", "clipped", "lr", "tokens", "validation_loss")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._size: int | None = None  # of the file that a resumed run goes on with
        self._closed_at: int | None = None  # size of the file that the last run left

    def fit_begin(self, trainer: Trainer, epochs: int, validation: bool) -> None:
        """Check that the file can be created."""
        if not os.path.exists(self.path):
            files.check(Path(self.path))

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        if self._file is not None:
            return
        self.columns = (*CSVLog.columns, *(f"validation_{metric.name}" for metric in trainer.metrics))
        size, self._size = self._size, None
        if size and os.path.exists(self.path) and os.path.getsize(self.path) >= size:
            os.truncate(self.path, size)
            self._file = open(self.path, "a", newline="", encoding="utf-8")  # noqa: SIM115  closed by fit_end
            return
        self._file = open(self.path, "w", newline="", encoding="utf-8")  # noqa: SIM115  closed by fit_end
        self._write(dict(zip(self.columns, self.columns, strict=True)))

    def update(self, trainer: Trainer, update: Update) -> None:
        self._write({name: getattr(update, name) for name in CSVLog.columns[:-1]})

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        self._write({"epoch": epoch, **trainer.history.validation()})

    def fit_end(self, trainer: Trainer) -> None:
        if self._file is not None:
            self._closed_at = self.state_dict()["size"]
            self._file.close()
            self._file = None

    def state_dict(self) -> dict[str, Any]:
        if self._file is None:
            return {} if self._closed_at is None else {"size": self._closed_at}
        self._file.flush()
        return {"size": os.fstat(self._file.fileno()).st_size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._size = int(state["size"]) if state else None

    def _write(self, row: dict[str, object]) -> None:
        if self._file is not None:
            csv.DictWriter(self._file, self.columns).writerow(row)
