"""One update of a training run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Update:
    """One update, as callbacks see it.

    Attributes
    ----------
    epoch : int
        Number of the epoch, counted from 0.
    loss : float
        Loss of this batch or window.
    grad_norm : float
        2-norm of the whole gradient before clipping.
    clipped : bool
        Whether clipping changed the gradient.
    lr : float
        Learning rate.
    tokens : int
        Number of time steps times batch rows.
    batches : float
        Number of batches processed so far in this epoch. A window counts as a part of its batch.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class Tokens(bptt.Callback):
    ...     def update(self, trainer, update):
    ...         print(update.epoch, update.tokens)
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, tokens = bptt.MeanSquaredError(), Tokens()
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[tokens])
    >>> history = trainer.fit(data, epochs=2)
    0 80
    1 80
    """

    epoch: int
    loss: float
    grad_norm: float
    clipped: bool
    lr: float
    tokens: int
    batches: float
