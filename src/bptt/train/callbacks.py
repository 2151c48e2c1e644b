"""What may watch a training run: the interface, and watchers that save, stop and write down."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bptt.arguments import real, size
from bptt.train import files
from bptt.train.checkpoint import save

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
    """Override what you need. `fit_end` is called in any case, after an exception too."""

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        """`batches`: how many there will be, None where the data do not say."""

    def backward(self, trainer: Trainer, tape: Tape, dy: Floats) -> None:
        """The errors dy of a batch or window went back: the model has their gradients, before clipping, and
        the tape their norms. A tape is as large as the pass was long: look at it, do not keep it."""

    def update(self, trainer: Trainer, update: Update) -> None:
        """An update was made, or skipped because its gradient was not finite."""

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        """The validation loss at the end of an epoch."""

    def epoch_end(self, trainer: Trainer, epoch: int) -> None:
        """After the validation."""

    def fit_end(self, trainer: Trainer) -> None:
        """The last call of a run."""


class Checkpoint(Callback):
    """Saves model and optimiser, with the number of epochs done as `epochs` among the extra values.

    Parameters
    ----------
    path : str or os.PathLike
        Overwritten each time, whole or not at all; see `save`.
    every : int
        After every so manieth epoch, and at the end of the last.

    Raises
    ------
    TypeError, ValueError
        `every` is not a positive int.
    OSError
        From `fit`, before the first epoch: the file cannot be written there.
    """

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1) -> None:
        self.path = path
        self.every = size(every, "every")

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        self._last = epochs - 1
        files.check(Path(os.path.realpath(self.path)))  # now, not after an epoch's work

    def epoch_end(self, trainer: Trainer, epoch: int) -> None:
        if (epoch + 1) % self.every == 0 or epoch == self._last or trainer.stopping:
            save(self.path, trainer.model, optimizer=trainer.optimizer, extra={"epochs": epoch + 1})


class EarlyStopping(Callback):
    """Ends a run whose validation loss no longer falls.

    Parameters
    ----------
    patience : int
        How many validations in a row may fail to improve on the best.
    min_delta : float
        An improvement is a fall by more than this.

    Raises
    ------
    ValueError
        In a `fit` without validation data.
    """

    def __init__(self, patience: int = 3, *, min_delta: float = 0.0) -> None:
        self.patience = size(patience, "patience")
        self.min_delta = real(min_delta, "min_delta", 0.0)
        self.best = math.inf
        self._waited: int | None = None

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        if epoch == 0:
            self.best, self._waited = math.inf, None

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        improved = loss < self.best - self.min_delta
        self._waited = 0 if improved or self._waited is None else self._waited + 1
        self.best = min(self.best, loss)
        if self._waited >= self.patience:
            trainer.stop()

    def epoch_end(self, trainer: Trainer, epoch: int) -> None:
        if self._waited is None:
            raise ValueError(
                "EarlyStopping watches the validation loss; got none. Fix: fit(..., validation=data)."
            )


class CSVLog(Callback):
    """Writes one line per update, and one per validation, to a new CSV file.

    Parameters
    ----------
    path : str or os.PathLike
        Begun anew by every `fit`.

    Raises
    ------
    OSError
        From `fit`, before the first epoch: the file cannot be written.
    """

    columns = ("epoch", "loss", "grad_norm", "clipped", "lr", "tokens", "validation_loss")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        if self._file is None:
            self._file = open(self.path, "w", newline="", encoding="utf-8")  # noqa: SIM115  closed by fit_end
            self._write(dict(zip(self.columns, self.columns, strict=True)))

    def update(self, trainer: Trainer, update: Update) -> None:
        self._write({name: getattr(update, name) for name in self.columns[:-1]})

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        self._write({"epoch": epoch, "validation_loss": loss})

    def fit_end(self, trainer: Trainer) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, row: dict[str, object]) -> None:
        if self._file is not None:
            csv.DictWriter(self._file, self.columns).writerow(row)
