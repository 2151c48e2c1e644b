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
    """

    epoch: int
    loss: float
    grad_norm: float
    clipped: bool
    lr: float
    tokens: int
    batches: float
