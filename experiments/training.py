"""Training loops that look at every sequence before they learn from it, as in the papers of the 1990s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

import bptt
from bptt.losses.function import LossFunction


class Batch(Protocol):
    """What one update learns from: arrays as `bptt.Trainer` takes them."""

    @property
    def x(self) -> npt.NDArray[Any]: ...

    @property
    def target(self) -> npt.NDArray[Any]: ...

    @property
    def lengths(self) -> npt.NDArray[Any]: ...


AnyBatch = TypeVar("AnyBatch", bound=Batch)


def online(
    model: bptt.Sequential,
    loss: bptt.Loss | LossFunction,
    optimizer: bptt.Optimizer,
    batches: Iterable[AnyBatch],
    *,
    max_norm: float | None = None,
) -> Iterator[tuple[npt.NDArray[Any], AnyBatch]]:
    """Make an update from each batch, and yield the outputs from before the update, with the batch.

    Parameters
    ----------
    max_norm : float, optional
        Clip the gradient to this norm. Default: no clipping.
    """
    for batch in batches:
        padded = bool((batch.lengths < len(batch.x)).any())
        y, _, tape = model.forward(batch.x, lengths=batch.lengths if padded else None)
        mask = np.arange(len(y))[:, None] < batch.lengths if padded and y.ndim == 3 else None
        _, dy = loss(y, batch.target, mask)
        model.zero_grad()
        model.backward(tape, dy)
        if max_norm is not None:
            bptt.clip_by_norm(model, max_norm)
        optimizer.step(model)
        yield y, batch


@dataclass(frozen=True)
class One:
    """One sequence of a batch."""

    x: npt.NDArray[Any]
    target: npt.NDArray[Any]
    lengths: npt.NDArray[Any]


def one_by_one(batches: Iterable[Batch]) -> Iterator[One]:
    """Yield each sequence as a batch of its own. To draw many sequences at a time takes less time."""
    for batch in batches:
        for k, length in enumerate(batch.lengths):
            yield One(batch.x[:length, k : k + 1], batch.target[k : k + 1], batch.lengths[k : k + 1])


class Recent:
    """The errors of the most recent training sequences.

    Parameters
    ----------
    count : int
        Number of sequences.
    """

    def __init__(self, count: int = 2000) -> None:
        self.count = count
        self.sequences = 0
        self._errors = np.zeros(count)
        self._wrong = np.zeros(count, bool)

    def add(self, errors: npt.NDArray[Any], wrong: npt.NDArray[Any]) -> None:
        """Add the errors of one batch, and whether each of its sequences is wrong."""
        places = (self.sequences + np.arange(len(errors))) % self.count
        self._errors[places], self._wrong[places] = errors, wrong
        self.sequences += len(errors)

    @property
    def full(self) -> bool:
        """Whether there were enough sequences."""
        return self.sequences >= self.count

    @property
    def error(self) -> float:
        """The mean error of the most recent sequences."""
        return float(self._errors.mean())

    @property
    def wrong(self) -> int:
        """How many of the most recent sequences were wrong."""
        return int(np.count_nonzero(self._wrong))


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))
