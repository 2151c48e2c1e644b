"""The interface of callbacks, and their view of a Trainer."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.layers.passes.clip_state import StateClip
from bptt.layers.passes.tape import Tape
from bptt.losses.loss import Loss
from bptt.metrics.metric import Metric
from bptt.optim.clip import Clip
from bptt.optim.optimizer import Optimizer
from bptt.optim.regularizers import PascanuRegularizer
from bptt.optim.update import Update

NO_LIMIT = sys.maxsize
"""The number of epochs of a run that only `max_updates`, `max_seconds` or a callback ends."""


class Recorded(Protocol):
    """The part of `History` that callbacks read."""

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]: ...

    def validation(self) -> dict[str, float]: ...


class TrainerView(Protocol):
    """The part of a `Trainer` that callbacks see.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class Epochs(bptt.Callback):
    ...     def epoch_end(self, trainer: bptt.callbacks.TrainerView, epoch: int) -> None:
    ...         print(epoch, type(trainer.optimizer).__name__)
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss = bptt.MeanSquaredError()
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[Epochs()])
    >>> history = trainer.fit(data, epochs=2)
    0 Adam
    1 Adam
    """

    model: Module
    loss: Loss
    optimizer: Optimizer
    clip: Clip
    clip_state: StateClip | None
    truncate: int | tuple[int, int] | None
    regularizer: PascanuRegularizer | None
    metrics: tuple[Metric, ...]

    @property
    def history(self) -> Recorded: ...
    @property
    def epochs_done(self) -> int: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def rank(self) -> int: ...
    @property
    def ranks(self) -> int: ...

    def stop(self) -> None: ...

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        extra: Mapping[str, Any] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> None: ...


class Callback:
    """Base class of callbacks: override the methods that you need. `fit_end` is called even after an error.

    `trainer` is the `bptt.Trainer` of the run. Annotate it as `bptt.Trainer`, or as
    `bptt.callbacks.TrainerView` if the callback needs only what this protocol names.

    Attributes
    ----------
    every_rank : bool
        Whether every rank calls the callback. False: only the first rank calls it.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class StopAtLoss(bptt.Callback):
    ...     def update(self, trainer, update):
    ...         if update.loss < 0.5:
    ...             trainer.stop()
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, stop = bptt.MeanSquaredError(), StopAtLoss()
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[stop])
    >>> history = trainer.fit(data, epochs=5)
    >>> len(history["loss"])
    1
    """

    every_rank = True

    def fit_begin(self, trainer: Any, epochs: int, validation: bool) -> None:
        """Check that this callback can work in this run. `fit` calls this method before it changes anything.

        Raise ValueError if the callback cannot work, and change nothing. `epochs` is the argument of `fit`,
        or `NO_LIMIT`. `validation` says whether `fit` got validation data.
        """

    def epoch_begin(self, trainer: Any, epoch: int, epochs: int, batches: int | None) -> None:
        """Handle the start of an epoch of `batches` batches; None if the data have no length."""

    def backward(self, trainer: Any, tape: Tape, dy: Floats) -> None:
        """Handle the end of a backward pass of a batch or window.

        `dy` are the errors at the outputs. The model holds the gradients of this rank's rows before clipping.
        The tape holds the norms of the errors. Do not keep the tape: its size grows with the number of steps.
        """

    def update(self, trainer: Any, update: Update) -> None:
        """Handle an update that was made, or skipped because its gradient was not finite."""

    def settled(self, trainer: Any) -> None:
        """Handle the moment after all callbacks have seen the update.

        Call `trainer.save` here, so that the saved states of all callbacks include the update.
        """

    def validation(self, trainer: Any, epoch: int, loss: float) -> None:
        """Handle the validation loss at the end of an epoch."""

    def epoch_end(self, trainer: Any, epoch: int) -> None:
        """Handle the end of an epoch, or of a run that ends inside an epoch, after its validation."""

    def interrupted(self, trainer: Any) -> None:
        """Handle Ctrl-C, which ends the run. The trainer is in the state of the last complete update."""

    def fit_end(self, trainer: Any) -> None:
        """Handle the end of a run. This is the last call of a run."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs: numbers, texts, arrays, lists and mappings of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
