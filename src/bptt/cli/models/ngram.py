"""Baselines for text models: unigram and bigram models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

# Additive smoothing. The baseline uses the value that is best on the validation text, so it is hard to beat.
SMOOTHING = (1.0, 0.1, 0.01)


def unigram_loss(train: Ids, target: Ids, symbols: int) -> float:
    """Return mean -log p(target) in nats, with p from the frequency of each symbol in `train`."""
    counts = np.bincount(train, minlength=symbols).astype(np.float64)
    return min(_loss(counts[None], np.zeros_like(target), target, k) for k in SMOOTHING)


def bigram_loss(train: Ids, previous: Ids, target: Ids, symbols: int) -> float:
    """Return mean -log p(target | previous) in nats, with p from the frequency of each pair in `train`.

    Parameters
    ----------
    train : ndarray of int (N,)
        Text in which pairs are counted, as ids 0 .. symbols - 1.
    previous, target : ndarray of int (M,)
        Pairs of the validation text.
    """
    pairs = np.bincount(train[:-1] * symbols + train[1:], minlength=symbols * symbols)
    counts = pairs.reshape(symbols, symbols).astype(np.float64)
    return min(_loss(counts, previous, target, k) for k in SMOOTHING)


def _loss(counts: npt.NDArray[np.float64], row: Ids, target: Ids, k: float) -> float:
    log_p = np.log(counts + k) - np.log((counts + k).sum(axis=1, keepdims=True))
    return float(-log_p[row, target].mean())
