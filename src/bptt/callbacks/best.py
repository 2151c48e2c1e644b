"""Keep the parameters of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.watching import check_watched, is_new_run, watched

if TYPE_CHECKING:
    from bptt.layers import Module


class BestParameters:
    """The parameters with the lowest value so far, and this value."""

    def __init__(self) -> None:
        self.value = math.inf
        self.parameters: npt.NDArray[Any] | None = None

    def offer(self, value: float, model: Module) -> None:
        """Keep a copy of the model's parameters if the value is lower than all values before."""
        if value < self.value:
            self.value, self.parameters = value, model.flat_parameters.copy()

    def restore(self, model: Module) -> None:
        """Copy the kept parameters to the model, if there are any."""
        if self.parameters is not None:
            model.flat_parameters = self.parameters

    def state_dict(self) -> dict[str, Any]:
        """Return the value and the parameters."""
        return {"loss": self.value, "parameters": self.parameters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        value, parameters = float(state["loss"]), state["parameters"]
        self.value, self.parameters = value, None if parameters is None else np.asarray(parameters)


class KeepBest(Callback):
    """Keep the parameters with the lowest validation loss of one `fit`. `restore` copies them to a model.

    `KeepBest` never ends a run, and never changes the model. Use it to train for a fixed number of epochs and
    then return to the best epoch. `EarlyStopping(restore_best=True)` also ends the run and restores the
    parameters itself. `Checkpoint(best=True)` writes the same parameters to a file.

    Attributes
    ----------
    loss : float
        The lowest validation loss of the last or current `fit`; infinity before the first validation.

    Raises
    ------
    ValueError
        From `fit`: there are no validation data.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, best = bptt.MeanSquaredError(), bptt.KeepBest()
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[best])
    >>> history = trainer.fit(data, epochs=3, validation=data)
    >>> best.restore(trainer.model)
    >>> bool(best.loss == min(history["validation_loss"]))
    True
    """

    def __init__(self) -> None:
        self._best = BestParameters()

    @property
    def loss(self) -> float:
        return self._best.value

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that there are validation data."""
        check_watched("KeepBest", trainer, None, validation)

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        if is_new_run(trainer, epoch):
            self._best = BestParameters()

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        self._best.offer(watched(trainer, None, loss), trainer.model)

    def restore(self, model: Module) -> None:
        """Copy the best parameters to the model. Before the first finite validation loss, do nothing.

        Raises
        ------
        ValueError
            `model` has another number of parameters than the trained model.
        """
        self._best.restore(model)

    def state_dict(self) -> dict[str, Any]:
        return self._best.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        best = BestParameters()
        best.load_state_dict(state)
        self._best = best
