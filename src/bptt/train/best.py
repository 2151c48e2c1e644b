"""The parameters of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.train.callbacks import Callback

if TYPE_CHECKING:
    from bptt.layers import Module
    from bptt.train.trainer import Trainer


class KeepBest(Callback):
    """Keeps the parameters of the lowest validation loss: `restore` puts them into a model.

    Attributes
    ----------
    loss : float
        The lowest validation loss so far; infinity before the first.
    """

    def __init__(self) -> None:
        self.loss = math.inf
        self._parameters: npt.NDArray[Any] | None = None

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        if loss < self.loss:
            self.loss = loss
            self._parameters = trainer.model.flat_parameters.copy()

    def restore(self, model: Module) -> None:
        """Give the model those parameters; without any, it stays as it is.

        Raises
        ------
        ValueError
            Another model than the one that was trained.
        """
        if self._parameters is not None:
            model.flat_parameters = self._parameters

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "parameters": self._parameters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        loss, parameters = float(state["loss"]), state["parameters"]
        self.loss, self._parameters = loss, None if parameters is None else np.asarray(parameters)
