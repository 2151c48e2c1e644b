"""Write a training run to a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from bptt.arguments import check_path
from bptt.callbacks.callback import Callback, TrainerView
from bptt.files import atomic as files
from bptt.optim.update import Update


class CSVLog(Callback):
    """Write a CSV file with one line per update, and one line per validation with loss and metrics.

    Parameters
    ----------
    path : str or os.PathLike
        File to write. Every `fit` starts a new file. A resumed run continues the file after the last row of
        the saved run.

    Raises
    ------
    TypeError
        `path` is not a path.
    OSError
        From `fit`, before the first epoch: the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, log = bptt.MeanSquaredError(), bptt.CSVLog("log.csv")
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[log])
    >>> history = trainer.fit(data, epochs=3)
    >>> Path("log.csv").read_text().splitlines()[0]
    'epoch,loss,grad_norm,clipped,lr,tokens,validation_loss'
    """

    every_rank = False
    columns: tuple[str, ...] = ("epoch", "loss", "grad_norm", "clipped", "lr", "tokens", "validation_loss")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_path(path, "path", "run.csv")
        self.path = path
        self._file: IO[str] | None = None
        self._size: int | None = None  # size of the file that a resumed run continues
        self._closed_at: int | None = None  # size of the file at the end of the last run

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that the file can be created."""
        if not os.path.exists(self.path):
            files.check(Path(self.path))

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
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

    def update(self, trainer: TrainerView, update: Update) -> None:
        self._write({name: getattr(update, name) for name in CSVLog.columns[:-1]})

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        self._write({"epoch": epoch, **trainer.history.validation()})

    def fit_end(self, trainer: TrainerView) -> None:
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
