"""The models to beat: how well characters alone, or pairs of them, predict the next one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

# Additive smoothing. Whichever serves the baseline best on the validation text counts: ours has to beat that.
SMOOTHING = (1.0, 0.1, 0.01)


def unigram_loss(train: Ids, target: Ids, symbols: int) -> float:
    """Mean -log p(target), nats, of a model that knows how frequent each symbol is in `train`."""
    counts = np.bincount(train, minlength=symbols).astype(np.float64)
    return min(_loss(counts[None], np.zeros_like(target), target, k) for k in SMOOTHING)


def bigram_loss(train: Ids, previous: Ids, target: Ids, symbols: int) -> float:
    """Mean -log p(target | previous), nats, of a model that knows how often each pair follows in `train`.

    Parameters
    ----------
    train : ndarray of int (N,)
        The text to count pairs in, as symbol numbers 0 .. symbols - 1.
    previous, target : ndarray of int (M,)
        The pairs to judge the model on.
    """
    pairs = np.bincount(train[:-1] * symbols + train[1:], minlength=symbols * symbols)
    counts = pairs.reshape(symbols, symbols).astype(np.float64)
    return min(_loss(counts, previous, target, k) for k in SMOOTHING)


def _loss(counts: npt.NDArray[np.float64], row: Ids, target: Ids, k: float) -> float:
    log_p = np.log(counts + k) - np.log((counts + k).sum(axis=1, keepdims=True))
    return float(-log_p[row, target].mean())
