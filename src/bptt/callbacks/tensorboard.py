"""Write a training run to event files for TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bptt.arguments import check_path, size
from bptt.callbacks.callback import Callback, TrainerView
from bptt.optim.update import Update

_PER_UPDATE = ("loss", "grad_norm", "lr", "clipped")


class TensorBoard(Callback):
    """Write event files for TensorBoard with tensorboardX: `pip install 'bptt[tensorboard]'`.

    Per update: train/loss, train/grad_norm (before clipping), train/lr and train/clipped (1 or 0). Per
    validation: validation/loss and a curve for each of the trainer's metrics. The horizontal axis counts the
    optimizer's updates, so a resumed run continues the curves of the saved run if the folder is the same.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder for the event files, created if it does not exist. Use one folder per run.
    every_updates : int
        Number of updates per point of the curves. Use more than 1 for runs with millions of updates.

    Raises
    ------
    ImportError
        tensorboardX is not installed.
    TypeError, ValueError
        `every_updates` is not a positive int.
    OSError
        From `fit`, before the first epoch: the folder cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, board = bptt.MeanSquaredError(), bptt.TensorBoard("runs/gru")
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[board])
    >>> history = trainer.fit(data, epochs=3)
    >>> len(list(Path("runs/gru").iterdir()))
    1
    """

    every_rank = False

    def __init__(self, folder: str | os.PathLike[str], *, every_updates: int = 1) -> None:
        check_path(folder, "folder", "runs/first")
        self.folder = os.fspath(folder)
        self.every_updates = size(every_updates, "every_updates")
        self._writer: Any = None
        self._resumed = False
        self._seen = 0
        _writer()

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        if self._writer is None:
            os.makedirs(self.folder, exist_ok=True)
            # The resumed run repeats the updates after the checkpoint, so drop their old points.
            purge = trainer.optimizer.steps + 1 if self._resumed else None
            # File names hold the time in seconds: two runs in the same second would share a file.
            suffix = f".{trainer.optimizer.steps}"
            self._writer = _writer()(self.folder, purge_step=purge, filename_suffix=suffix)
            self._resumed = False

    def update(self, trainer: TrainerView, update: Update) -> None:
        self._seen += 1
        if self._seen % self.every_updates == 0:
            self._write(trainer, "train", {name: getattr(update, name) for name in _PER_UPDATE})

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        metrics = trainer.history.validation()
        self._write(
            trainer, "validation", {name.removeprefix("validation_"): metrics[name] for name in metrics}
        )
        self._writer.flush()

    def fit_end(self, trainer: TrainerView) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def state_dict(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._resumed = state["folder"] == self.folder

    def _write(self, trainer: TrainerView, group: str, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", float(value), trainer.optimizer.steps)


def _writer() -> Any:
    try:
        return import_module("tensorboardX").SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard requires tensorboardX. Fix: pip install 'bptt[tensorboard]'."
        ) from None
