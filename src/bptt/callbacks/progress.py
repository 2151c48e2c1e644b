"""The progress bar of a training run."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tqdm import tqdm

from bptt.callbacks.callback import NO_LIMIT, Callback, TrainerView
from bptt.optim.update import Update

_NAMES = {
    "MeanSquaredError": "MSE",
    "MeanAbsoluteError": "MAE",
    "CrossEntropy": "cross-entropy",
    "BinaryCrossEntropy": "cross-entropy",
}
"""What the bar calls the validation loss; 80 columns have no room for it in the training loss."""


class ProgressBar(Callback):
    """Show one progress bar per epoch: in a notebook with ipywidgets, in a terminal, or as lines of a log.

    The bar shows the smoothed loss, the gradient norm before clipping, the fraction of clipped updates, and
    tokens per second. At the end of an epoch, it also shows the validation loss and the metrics. Terminals
    and logs get it on standard error. If standard error is not a terminal, a line is printed every 10 s and
    at the end of the epoch.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, bar = bptt.MeanSquaredError(), bptt.callbacks.ProgressBar()
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[bar], progress=False)
    >>> history = trainer.fit(data)
    >>> len(history["loss"])
    1
    """

    every_rank = False

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        self._updates = self._clipped = self._tokens = 0
        self._loss = 0.0
        self._begin = time.perf_counter()
        terminal = sys.stderr.isatty()
        notebook = notebook_bar()
        # Some terminals report 0 columns: tqdm would then show nothing.
        wide = terminal and os.get_terminal_size(sys.stderr.fileno()).columns > 0
        mean = trainer.loss.reduction == "mean"
        self._name = _NAMES.get(type(trainer.loss).__name__, "loss") if mean else "loss"
        kind = notebook or (tqdm if terminal else _Lines)
        bar = "" if kind is _Lines else "|{bar}|"
        self._bar = kind(
            total=batches,
            desc=f"epoch {epoch + 1}" + ("" if epochs == NO_LIMIT else f"/{epochs}"),
            bar_format=f"{{desc}} {{percentage:3.0f}}%{bar} {{elapsed}}<{{remaining}}{{postfix}}",
            dynamic_ncols=wide,
            ncols=80 if terminal and not wide else None,
            mininterval=10.0 if kind is _Lines else 0.1,
            delay=1e-9 if kind is _Lines else 0,  # a log needs no line of an epoch that has only begun
            file=sys.stderr,
        )

    def update(self, trainer: TrainerView, update: Update) -> None:
        if self._bar is None:
            return
        self._updates += 1
        self._clipped += update.clipped
        self._tokens += update.tokens
        if math.isfinite(update.loss):
            # The mean over the first 50 updates, then an exponential moving average over about 50 updates.
            self._loss += (update.loss - self._loss) / min(self._updates, 50)
        rate = self._tokens / max(time.perf_counter() - self._begin, 1e-9)
        clipped = self._clipped / self._updates
        self._bar.set_postfix_str(
            f"loss {self._loss:.4f} |g| {update.grad_norm:.3g} clipped {clipped:.0%} {_short(rate)} tokens/s",
            refresh=False,
        )
        self._bar.update(update.batches - self._bar.n)

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        if self._bar is not None:
            figures = {f"validation {self._name}": loss}
            for name, value in trainer.history.validation().items():
                if name != "validation_loss":
                    figures[name.removeprefix("validation_")] = value
            shown = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
            self._bar.set_postfix_str(f"{shown}, {self._bar.postfix}", refresh=False)

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        self.fit_end(trainer)

    def fit_end(self, trainer: TrainerView) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def notebook_bar() -> type[tqdm[Any]] | None:
    """Return the bar of tqdm for notebooks; None outside of notebooks, or if ipywidgets is missing."""
    if "IPython" not in sys.modules:
        return None
    auto: type[tqdm[Any]] = import_module("tqdm.auto").tqdm
    notebook = sys.modules.get("tqdm.notebook")
    return auto if notebook is not None and issubclass(auto, notebook.tqdm) else None


class _Lines(tqdm):  # type: ignore[type-arg]
    """A progress bar for logs, which writes new lines instead of overwriting one line."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        begun = False

        def write(status: str) -> None:
            nonlocal begun
            file.write(f"\n{status}" if begun else status)  # the last line end is the closing bar's
            file.flush()
            begun = True

        return write


def _short(number: float) -> str:
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"
