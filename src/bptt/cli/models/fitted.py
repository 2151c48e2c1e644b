"""A finished training run of `bptt train`: its figures, and advice if they are poor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import bptt
from bptt.arguments import quantity
from bptt.callbacks import TrainerView
from bptt.optim.update import Update


@dataclass(frozen=True)
class Fitted:
    """A finished training run.

    Attributes
    ----------
    model : Module
        The trained model: with --patience the model of the best epoch, otherwise of the last epoch.
    history : History
        All updates of the run, including those before it was resumed.
    seconds : float
        Time of training and validation in this process.
    tokens : int
        Number of time steps times rows in the updates of this process.
    updates : int
        Number of updates of this process: updates before the run was resumed do not count.
    planned : int
        Number of updates of the complete run, as the options ask.
    stopped : bool
        Whether --patience stopped the run.
    keeps_best : bool
        Whether `model` is the model of the best epoch.
    validation_loss : float
        Validation loss of the model.
    """

    model: bptt.Module
    history: bptt.History
    seconds: float
    tokens: int
    updates: int
    planned: int
    stopped: bool
    keeps_best: bool
    validation_loss: float

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run as JSON values."""
        return {
            "parameters": self.model.parameter_count,
            "updates": len(self.history["loss"]),
            "epochs": len(self.history["validation_loss"]),
            "seconds": round(self.seconds, 3),
            "clipped_share": float(self.history["clipped"].mean()),
            "stopped_by_patience": self.stopped,
            "validation_loss": self.validation_loss,
        }

    def summary(self) -> str:
        """Return a summary in one line."""
        figures = self.figures()
        return f"{quantity(figures['epochs'], 'epoch')}, {self.pace()}; {figures['parameters']:,} parameters"

    def ending(self, unit: str = "epoch") -> str:
        """Return why training ended, and which model was kept, in one line.

        Parameters
        ----------
        unit : str
            What precedes each validation.
        """
        losses = self.history["validation_loss"]
        done = len(self.history["loss"])
        if self.stopped:
            end = f"--patience stopped training after {done} of {quantity(self.planned, 'update')}."
        else:
            end = f"Training ran to its end, {quantity(len(losses), unit)}."
        if not np.isfinite(losses).any():
            return f"{end} No validation loss is finite."
        best = int(np.nanargmin(losses)) + 1
        if best == len(losses):
            more = "" if best == 1 else " It was still falling, so a longer run may help."
            return f"{end} The validation loss was lowest at the end.{more}"
        if self.keeps_best:
            return f"{end} The model is that of {unit} {best}, which had the lowest validation loss."
        return f"{end} The model is the last one; {unit} {best} had the lowest validation loss."

    def pace(self) -> str:
        """Return the number of updates, and the time of the updates of this process."""
        total = len(self.history["loss"])
        if self.updates == total:
            return f"{quantity(total, 'update')} in {self.seconds:.1f} s"
        return f"{quantity(total, 'update')}, the last {self.updates} of them in {self.seconds:.1f} s"

    def advice(self, longer: str, otherwise: Sequence[str] = ()) -> str:
        """Return advice for a model that is not good enough.

        Parameters
        ----------
        longer : str
            Options that make a run longer. They do not help a run that --patience stopped.
        otherwise : sequence of str
            Other options to try.
        """
        if not self.stopped:
            return f"Try {', or '.join((*otherwise, longer))}."
        more = ", or ".join((*otherwise, "a lower --learning-rate", "a larger --patience"))
        return f"Try {more}."


class Meter(bptt.Callback):
    """Count the updates and tokens of this process."""

    def __init__(self) -> None:
        self.updates = self.tokens = 0

    def update(self, trainer: TrainerView, update: Update) -> None:
        self.updates += 1
        self.tokens += update.tokens
