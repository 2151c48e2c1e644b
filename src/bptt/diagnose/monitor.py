"""Watching the gradient inside a training run: how far errors go back, update after update."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag, integer, size
from bptt.diagnose.flow import GradientFlow, Norms
from bptt.diagnose.measure import check_recurrent, flow_of_last_step, flow_on, longest_rows
from bptt.diagnose.rows import recurrent_tapes, rows_of
from bptt.diagnose.words import advice
from bptt.train.callbacks import Callback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bptt.arrays import Floats
    from bptt.layers.module import Module
    from bptt.layers.tape import Tape
    from bptt.train.trainer import Trainer

COLUMNS = 256
"""Steps back at which norms are kept, of longer sequences: enough for a picture."""


class GradientWarning(UserWarning):
    """A gradient vanishes or explodes on its way back through time."""


class GradientMonitor(Callback):
    """Records, during training, how the error of the last step fares on its way back through time.

    It says once in words, as a `GradientWarning`, when it explodes or keeps vanishing, in which layer, and
    what helps; `plot` draws what was recorded.

    Where errors come in at the last step only, as after `Last`, training's own norms are recorded. Where
    every step has an error of its own, these would hide how far each goes: then an error of norm 1 at the
    last step is sent back too, at the cost of a second backward pass for each record. The gradient that
    training uses is not touched.

    Parameters
    ----------
    every : int
        Record one update in so many, beginning with the first.
    records : int
        At most so many are kept: when there are more, every second one is dropped, and from then on half as
        many are made. Of more than 256 steps back, 256 are kept.
    patience : int
        Records in a row that must vanish before it says so. An explosion is said at once.
    warn : bool
        False: say nothing.

    Attributes
    ----------
    flow : GradientFlow or None
        The last one recorded.

    Raises
    ------
    TypeError, ValueError
        Arguments out of range; in `fit`, a model without a recurrent layer, or other than the one before.
    """

    def __init__(self, every: int = 10, *, records: int = 512, patience: int = 3, warn: bool = True) -> None:
        self.every = size(every, "every")
        self.limit = integer(records, "records", 2)
        self.patience = size(patience, "patience")
        self.warn = flag(warn, "warn")
        self.flow: GradientFlow | None = None
        self._stride = 1
        self._made = 0
        self._updates: list[int] = []
        self._ways: list[list[Norms]] = []
        self._vanished: dict[int, int] = {}
        self._said: set[tuple[int, str]] = set()

    @property
    def updates(self) -> npt.NDArray[np.int64]:
        """(N,): numbers, from 0, of the updates recorded."""
        return np.array(self._updates, np.int64)

    @property
    def steps_back(self) -> npt.NDArray[np.int64]:
        """(K,): the steps back, from the one where the error came in, at which norms were kept."""
        kept = max((len(way) for ways in self._ways for way in ways), default=0)
        return np.arange(kept, dtype=np.int64) * self._stride

    @property
    def dh_norm(self) -> Norms:
        """(N, R, K): ||dL/dh|| of every record, in each row of `flow.rows`, so many steps back; NaN where a
        shorter batch has no such step.
        """
        rows = len(self._ways[0]) if self._ways else 0
        norms = np.full((len(self._ways), rows, len(self.steps_back)), np.nan)
        for record, ways in zip(norms, self._ways, strict=True):
            for row, way in zip(record, ways, strict=True):
                row[: len(way)] = way
        return norms

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the norms over training and steps back, a heat map for each row.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Write the picture there, as its ending says: .png or .svg.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError, OSError
            Nothing recorded yet; a path with another ending; a file that cannot be written.
        """
        from bptt.diagnose.heatmap import plot_records

        if self.flow is None:
            raise ValueError("GradientMonitor must have watched an update; got none. Fix: fit first.")
        return plot_records(self.updates, self.steps_back, self.dh_norm, self.flow.names, path)

    def epoch_begin(self, trainer: Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        check_recurrent(trainer.model)
        names = tuple(row.name for row in rows_of(trainer.model))
        if self.flow is not None and names != self.flow.names:
            raise ValueError(
                f"callbacks must hold a GradientMonitor of this model alone; got one with records of"
                f" {', '.join(self.flow.names)}. Fix: make a new one for each model."
            )

    def backward(self, trainer: Trainer, tape: Tape, dy: Floats) -> None:
        steps, rows = longest_rows(tape)
        # A batch of nothing but padding has no error to follow.
        if self._made % self.every == 0 and steps * len(rows) > 0:
            self.flow = _flow(trainer.model, tape, dy)
            self._record(self.flow)
            if self.warn:
                self._say(self.flow)
        self._made += 1

    def _record(self, flow: GradientFlow) -> None:
        longest = max(len(way) for way in flow.ways)
        while -(-longest // self._stride) > COLUMNS:
            self._stride *= 2
            self._ways = [[way[::2].copy() for way in ways] for ways in self._ways]
        self._updates.append(self._made)
        self._ways.append([way[:: self._stride].copy() for way in flow.ways])
        if len(self._updates) > self.limit:
            del self._updates[1::2], self._ways[1::2]
            self.every *= 2

    def _say(self, flow: GradientFlow) -> None:
        found = set()
        for k, verdict in enumerate(flow.verdict):
            vanished = verdict == "vanishing" and not flow.carried[k]
            self._vanished[k] = self._vanished.get(k, 0) + 1 if vanished else 0
            if verdict in ("exploding", "not finite") or self._vanished[k] >= self.patience:
                found.add((k, verdict))
        if found - self._said:
            rows = sorted(k for k, _ in found - self._said)
            # Other layers will follow suit, or the same one another time: a line for each would be noise.
            self._said |= {(k, verdict) for _, verdict in found for k in range(len(flow.rows))}
            text = " ".join(advice(flow, rows))
            warnings.warn(f"At update {self._made}: {text}", GradientWarning, stacklevel=2)


def _flow(model: Module, tape: Tape, dy: Floats) -> GradientFlow:
    """How the last step's error fares; the model's gradients stay as they are."""
    own = flow_on(tape)
    # Of an error that is not finite the tape must go on telling where it arose.
    if _from_last_step(tape, dy) or not np.isfinite(own.dh_norm).all():
        return own
    gradients = model.flat_gradients.copy()
    try:
        return flow_of_last_step(model, tape, dy)
    finally:
        model.flat_gradients[:] = gradients


def _from_last_step(tape: Tape, dy: Floats) -> bool:
    """Whether training's own errors all come in where `gradient_flow` would put one."""
    (_, first), *_ = recurrent_tapes(tape)
    if first.ragged is not None:
        return False
    T, B = first.core.shape
    if dy.shape[:-1] != first.layout.sequence_shape(T, B, 1)[:-1]:
        return True
    both = any(part.owner.bidirectional for _, part in recurrent_tapes(tape))
    return not both and not first.layout.sequence_in(dy)[:-1].any()
