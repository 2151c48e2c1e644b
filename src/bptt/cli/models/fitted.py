"""A finished training of `bptt train`: its figures, and what to try when they are poor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bptt
from bptt.arguments import quantity
from bptt.callbacks import TrainerView
from bptt.optim.update import Update


@dataclass(frozen=True)
class Fitted:
    """A finished training.

    Attributes
    ----------
    model : Module
        The trained model: the last, or with --patience the best.
    history : History
        Every update of the run, with those before it was resumed.
    seconds : float
        Time that this process trained and validated.
    tokens : int
        Time steps times rows of the updates that this process made.
    updates : int
        Updates that this process made: all but those before the run was resumed.
    planned : int
        Updates of the whole run as it was asked for.
    stopped : bool
        --patience ended the run.
    validation_loss : float
        Of the model.
    """

    model: bptt.Module
    history: bptt.History
    seconds: float
    tokens: int
    updates: int
    planned: int
    stopped: bool
    validation_loss: float

    def figures(self) -> dict[str, Any]:
        """Return the run in numbers, JSON-safe."""
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
        """Return one line for people."""
        figures = self.figures()
        return f"{quantity(figures['epochs'], 'epoch')}, {self.pace()}; {figures['parameters']:,} parameters"

    def pace(self) -> str:
        """Return how many updates were made, and the time of those that this process made."""
        total = len(self.history["loss"])
        if self.updates == total:
            return f"{quantity(total, 'update')} in {self.seconds:.1f} s"
        return f"{quantity(total, 'update')}, the last {self.updates} of them in {self.seconds:.1f} s"

    def advice(self, longer: str, otherwise: Sequence[str] = ()) -> str:
        """Return what to try when the model is not good enough.

        Parameters
        ----------
        longer : str
            The options that make a run longer; of no use to a run that --patience stopped.
        otherwise : sequence of str
            Other options to try.
        """
        if not self.stopped:
            return f"Try {', or '.join((*otherwise, longer))}."
        done = len(self.history["loss"])
        more = ", or ".join((*otherwise, "a lower --learning-rate", "a larger --patience"))
        return f"--patience stopped training after {done} of {quantity(self.planned, 'update')}. Try {more}."


class Meter(bptt.Callback):
    """Counts what this process has trained on."""

    def __init__(self) -> None:
        self.updates = self.tokens = 0

    def update(self, trainer: TrainerView, update: Update) -> None:
        self.updates += 1
        self.tokens += update.tokens
