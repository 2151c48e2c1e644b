"""The learning-rate range test: train with a rate that rises, and watch the loss."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from bptt.arguments import integer, real
from bptt.callbacks.callback import Callback, TrainerView
from bptt.data.batches import check_iterable
from bptt.data.order import data_state, load_data
from bptt.optim.gradients import NonFiniteError
from bptt.optim.update import Update
from bptt.train.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHING = 0.9
"""Weight of the earlier losses in the moving average that decides when the test ends."""
WINDOW = 0.05
"""Half of the width of the window of `smoothed`, as a fraction of the updates."""
DIVERGED = 4.0
"""The test ends when the smoothed loss is this many times its lowest value."""


@dataclass(frozen=True)
class RateCurve:
    """The loss of each update while the learning rate rose.

    Attributes
    ----------
    lr : ndarray (updates,)
    loss : ndarray (updates,)

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8, seed=0), bptt.MeanSquaredError(), bptt.SGD())
    >>> curve = bptt.learning_rate_range(trainer, data, low=1e-4, high=1.0, updates=5)
    >>> curve.lr
    array([1.e-04, 1.e-03, 1.e-02, 1.e-01, 1.e+00])
    """

    lr: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]

    @property
    def smoothed(self) -> npt.NDArray[np.float64]:
        """Mean of the losses of the updates around each update: ndarray (updates,).

        The window is a tenth of the updates. At the ends, it is narrower, so that it stays symmetric.
        """
        total = np.concatenate(([0.0], np.cumsum(self.loss)))
        index = np.arange(len(self.loss))
        half = np.minimum(np.minimum(index, index[::-1]), round(WINDOW * len(self.loss)))
        mean: npt.NDArray[np.float64] = (total[index + half + 1] - total[index - half]) / (2 * half + 1)
        return mean

    @property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls most steeply, over the logarithm of the rate.

        None if the smoothed loss never falls. A schedule may use this rate as its highest rate.
        """
        values = self.smoothed
        lowest = int(np.argmin(values)) if values.size else 0
        if lowest < 1:
            return None
        slope = np.gradient(values[: lowest + 1], np.log(self.lr[: lowest + 1]))
        return float(self.lr[int(np.argmin(slope))])

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the loss over the learning rate, and a line at the suggestion.

        Parameters
        ----------
        path : str or os.PathLike, optional
            File for the picture. The suffix sets the format: .png or .svg.
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed.
        TypeError, ValueError, OSError
            `path` has another suffix, or the file cannot be written.
        """
        from bptt.diagnose.pictures.histories import plot_rates

        return plot_rates(self.lr, self.loss, self.smoothed, self.suggestion, path=path, ax=ax)

    def __repr__(self) -> str:
        suggestion = "none" if self.suggestion is None else f"{self.suggestion:.3g}"
        rates = f"{self.lr[0]:.3g} to {self.lr[-1]:.3g}"
        return f"RateCurve({len(self.lr)} updates, {rates}, suggestion {suggestion})"


def learning_rate_range(
    trainer: Trainer, data: Iterable[Any], *, low: float = 1e-6, high: float = 1.0, updates: int = 100
) -> RateCurve:
    """Train a copy of the trainer's model with a learning rate that rises from `low` to `high`.

    The rate rises by the same factor with every update. The test ends early if the loss diverges: if the
    smoothed loss is above 4 times its lowest value, or not finite. Model, optimizer, clip and all random
    generators are the same afterwards as before. The trainer's callbacks are not called.

    Parameters
    ----------
    trainer : Trainer
        Its model, loss, optimizer, clips and options are used.
    data : iterable of batches
        As for `Trainer.fit`. The data are read as often as needed.
    low, high : float
        First and last learning rate, above 0.
    updates : int
        Number of updates, at least 2.

    Returns
    -------
    RateCurve
        Learning rate and loss of each update, with a `suggestion` and a `plot`.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, or as `fit`. The trainer has several ranks. Or the
        first update already has a loss that is not finite.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8, seed=0), bptt.MeanSquaredError(), bptt.SGD())
    >>> curve = bptt.learning_rate_range(trainer, data, low=1e-4, high=1.0, updates=50)
    >>> 1e-4 < curve.suggestion < 1.0
    True
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(
            f"trainer must be a Trainer; got {type(trainer).__name__}. Fix: pass Trainer(model, ...)."
        )
    if trainer.ranks > 1:
        raise ValueError(
            f"trainer must have one rank; got {trainer.ranks}. Fix: make a Trainer without comm for the test."
        )
    low, high = real(low, "low", 0.0, above=True), real(high, "high", 0.0, above=True)
    if low >= high:
        raise ValueError(f"low must be below high; got {low:g} and {high:g}. Fix: pass low=1e-6, high=1.0.")
    updates = integer(updates, "updates", 2)
    check_iterable(data, "data", passes=2)
    optimizer, done = copy.deepcopy(trainer.optimizer), trainer.optimizer.steps
    optimizer.lr = lambda step: low * (high / low) ** min((step - done) / (updates - 1), 1.0)
    test = Trainer(
        copy.deepcopy(trainer.model),
        trainer.loss,
        optimizer,
        clip=copy.deepcopy(trainer.clip),
        clip_state=cast("Any", trainer.clip_state),
        truncate=trainer.truncate,
        checkpoint=trainer.checkpoint,
        regularizer=trainer.regularizer,
        accumulate=trainer.accumulate,
        callbacks=[_StopAtDivergence()],
        progress=False,
    )
    before = data_state(data)
    try:
        with suppress(NonFiniteError):
            test.fit(data, max_updates=updates)
    finally:
        load_data(data, before, "data")
    lr, loss = test.history["lr"], test.history["loss"]
    count = int(np.argmin(np.isfinite(loss))) if not np.isfinite(loss).all() else len(loss)
    if count == 0:
        raise ValueError(
            "the loss must be finite at the lowest learning rate; got none that is. "
            "Fix: look for NaN in the data and the model, bptt.first_nonfinite(model, x)."
        )
    return RateCurve(lr[:count], loss[:count])


class _StopAtDivergence(Callback):
    """Stop when the smoothed loss is far above its lowest value."""

    def __init__(self) -> None:
        self._sum, self._count, self._lowest = 0.0, 0, math.inf

    def update(self, trainer: TrainerView, update: Update) -> None:
        self._count += 1
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * update.loss
        average = self._sum / (1 - SMOOTHING**self._count)  # corrected for the start at 0
        self._lowest = min(self._lowest, average)
        if not math.isfinite(update.loss) or average > DIVERGED * self._lowest:
            trainer.stop()
