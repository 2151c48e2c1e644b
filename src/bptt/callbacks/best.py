"""Keep the parameters of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, watched

if TYPE_CHECKING:
    from bptt.layers import Module


class KeepBest(Callback):
    """Keep the parameters with the lowest validation loss of one `fit`. `restore` copies them to a model.

    `KeepBest` never ends a run; `EarlyStopping` does. Use `KeepBest` alone to train for a fixed number of
    epochs and then return to the best epoch, or together with `EarlyStopping`. `Checkpoint(best=True)` writes
    the same parameters to a file.

    Attributes
    ----------
    loss : float
        The lowest validation loss of the last or current `fit`; infinity before the first validation.

    Raises
    ------
    ValueError
        From `fit`: there are no validation data.
    """

    def __init__(self) -> None:
        self.loss = math.inf
        self._parameters: npt.NDArray[Any] | None = None

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there are validation data."""
        check_watched("KeepBest", trainer, None, validation)

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        if epoch == 0:
            self.loss, self._parameters = math.inf, None

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        value = watched(trainer, None, loss)
        if value < self.loss:
            self.loss = value
            self._parameters = trainer.model.flat_parameters.copy()

    def restore(self, model: Module) -> None:
        """Copy the best parameters to the model. Before the first finite validation loss, do nothing.

        Raises
        ------
        ValueError
            `model` has another number of parameters than the trained model.
        """
        if self._parameters is not None:
            model.flat_parameters = self._parameters

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "parameters": self._parameters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        loss, parameters = float(state["loss"]), state["parameters"]
        self.loss, self._parameters = loss, None if parameters is None else np.asarray(parameters)
