"""One update of a training run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Update:
    """One update, as callbacks see it.

    Attributes
    ----------
    epoch : int
        From 0.
    loss : float
        Loss of this batch or window.
    grad_norm : float
        2-norm of the whole gradient before clipping.
    clipped : bool
        Clipping changed the gradient.
    lr : float
        Learning rate.
    tokens : int
        Steps times batch rows.
    batches : float
        Batches of this epoch done so far, windows counted as parts.
    """

    epoch: int
    loss: float
    grad_norm: float
    clipped: bool
    lr: float
    tokens: int
    batches: float
