"""The interface of callbacks, and their view of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.layers.passes.clip_state import StateClip
from bptt.layers.passes.tape import Tape
from bptt.losses.metrics import Metric
from bptt.optim.clip import Clip
from bptt.optim.optimizers import Optimizer
from bptt.optim.regularizers import PascanuRegularizer
from bptt.optim.update import Update


class Recorded(Protocol):
    """The part of `History` that callbacks read."""

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]: ...

    def validation(self) -> dict[str, float]: ...


class TrainerView(Protocol):
    """The part of a `Trainer` that callbacks see."""

    model: Module
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

    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None: ...


class Callback:
    """Override what you need. `fit_end` is called in any case, after an exception too.

    Attributes
    ----------
    every_rank : bool
        False: of the ranks of a run, the first alone calls it.
    """

    every_rank = True

    def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
        """Check that this callback can work in this run: `fit` calls it before anything has changed.

        Raise ValueError here, and change nothing. `epochs` are those of `fit`; `validation` tells whether
        `fit` got validation data.
        """

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        """`batches`: how many there will be, None where the data do not say."""

    def backward(self, trainer: TrainerView, tape: Tape, dy: Floats) -> None:
        """The errors dy of a batch or window went back: the model has their gradients, those of this rank's
        rows, before clipping, and the tape their norms. A tape is as large as the pass was long: look at it,
        do not keep it."""

    def update(self, trainer: TrainerView, update: Update) -> None:
        """An update was made, or skipped because its gradient was not finite."""

    def settled(self, trainer: TrainerView) -> None:
        """All callbacks have seen the update: here `trainer.save` writes what each of them knows of it."""

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        """The validation loss at the end of an epoch."""

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        """After the validation."""

    def interrupted(self, trainer: TrainerView) -> None:
        """Ctrl-C ends the run; the trainer is at the last whole update."""

    def fit_end(self, trainer: TrainerView) -> None:
        """The last call of a run."""

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs: numbers, texts, arrays, lists and mappings of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
