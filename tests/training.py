"""What the tests of training share: a small model of symbols, batches for it, loops written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.train import Trainer

T, B, SYMBOLS = 12, 3, 5
CELLS: dict[str, Callable[..., bptt.Module]] = {"rnn": bptt.RNN, "lstm": bptt.LSTM, "gru": bptt.GRU}


def model(cell: str = "lstm", **options: Any) -> bptt.Sequential:
    """Reads symbols, predicts symbols."""
    return bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1),
        CELLS[cell](4, 8, seed=2, **options),
        bptt.Linear(8, SYMBOLS, seed=3),
    )


def batch(seed: int = 4, steps: int = T, rows: int = B) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, SYMBOLS, (steps, rows)), rng.integers(0, SYMBOLS, (steps, rows))


def trainer(net: bptt.Module, **options: Any) -> Trainer:
    return Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.5), **{"progress": False} | options)


def by_hand(net: bptt.Module, windows: list[tuple[Any, Any, Any]], fresh: list[bool]) -> list[float]:
    """SGD over windows (x, target, mask), the state starting anew where `fresh`: the gradient norms."""
    loss, optimizer, norms, state = bptt.CrossEntropy(), bptt.SGD(0.5), [], None
    for (x, target, mask), start in zip(windows, fresh, strict=True):
        net.zero_grad()
        y, state, tape = net.forward(x, None if start else state)
        net.backward(tape, loss(y, target, mask)[1])
        norms.append(float(np.linalg.norm(net.flat_gradients.astype(np.float64))))
        optimizer.step(net)
    return norms


def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((T, B, 2)), rng.standard_normal((T, B, 2))


class Watch(Callback):
    """Writes down what it is told, and may do something at an update."""

    def __init__(self, at_update: Callable[[Trainer], None] = lambda trainer: None) -> None:
        self.seen: list[Any] = []
        self._at_update = at_update

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        self.seen.append(("begin", epoch, epochs, batches))

    def update(self, trainer: TrainerView, update: Any) -> None:
        self.seen.append(("update", update.epoch, round(update.batches, 3), update.tokens))
        self._at_update(trainer)

    def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
        self.seen.append(("validation", epoch))

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        self.seen.append(("end", epoch))

    def fit_end(self, trainer: TrainerView) -> None:
        self.seen.append("fit end")
