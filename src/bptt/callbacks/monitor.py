"""Watch the gradient during training: how far back errors reach, update after update."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag, integer, size
from bptt.callbacks.callback import Callback, TrainerView
from bptt.diagnose.curves import Norms
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.measure import check_recurrent, flow_of_last_step, flow_on, longest_rows, per_step
from bptt.diagnose.rows import recurrent_tapes, rows_of, twin
from bptt.diagnose.words import advice
from bptt.layers.passes.directions import reads_from_end
from bptt.layers.sparse import restored_gradients
from bptt.optim.clip import NoClip
from bptt.optim.update import Update

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bptt.arrays import Floats
    from bptt.diagnose.pictures.sheets import SomeAxes
    from bptt.layers.module import Module
    from bptt.layers.passes.tape import Tape

COLUMNS = 256
"""Maximum number of steps back whose norms a record keeps: enough for a picture."""


class GradientWarning(UserWarning):
    """A gradient vanishes or explodes during backpropagation through time.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.RNN(3, 8, nonlinearity="relu", init=bptt.init.identity(2.0), seed=0)
    >>> loss, monitor = bptt.MeanSquaredError(), bptt.GradientMonitor()
    >>> trainer = bptt.Trainer(layer, loss, bptt.Adam(), callbacks=[monitor])
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", bptt.callbacks.GradientWarning)
    ...     history = trainer.fit([(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))])
    >>> caught[0].category.__name__
    'GradientWarning'
    """


class GradientMonitor(Callback):
    """Record during training how far back in time the error of the last step reaches.

    The monitor gives one `GradientWarning` if the error explodes or keeps vanishing. The warning names the
    layer and a remedy. `plot` draws the records.

    If only the last step has an error, as after `Last`, the monitor records the norms of the training pass.
    If every step has an error, these norms would hide how far a single error reaches. Then the monitor
    backpropagates a separate error of norm 1 from the last step, which costs a second backward pass for each
    record. The gradient of training and the norms on its tape do not change.

    A resumed run continues the records, counts and warnings of the saved run.

    Parameters
    ----------
    every_updates : int
        Number of updates from one record to the next. The first update is recorded. With `accumulate`, the
        first batch of the update is recorded.
    records : int
        Maximum number of records. If there are more, the monitor drops every second record and doubles
        `every_updates`. A record keeps the norms of at most 256 steps, evenly spaced.
    patience : int
        Number of consecutive records with a vanishing error before the warning. An exploding error gives a
        warning at once.
    warn : bool
        Whether to give warnings.

    Attributes
    ----------
    flow : GradientFlow or None
        The last record of this process.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range. From `fit`: the model has no recurrent layer, or is
        not the model of the earlier records.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, monitor = bptt.MeanSquaredError(), bptt.GradientMonitor(every_updates=2)
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), loss, bptt.Adam(), callbacks=[monitor])
    >>> history = trainer.fit(data, epochs=4)
    >>> monitor.updates.tolist(), monitor.flow.dh_norm.shape
    ([0, 2], (1, 20))
    """

    def __init__(
        self, every_updates: int = 10, *, records: int = 512, patience: int = 3, warn: bool = True
    ) -> None:
        self.every_updates = size(every_updates, "every_updates")
        self.limit = integer(records, "records", 2)
        self.patience = size(patience, "patience")
        self.warn = flag(warn, "warn")
        self.flow: GradientFlow | None = None
        self._stride = 1
        self._updates_done = 0
        self._names: tuple[str, ...] = ()
        self._updates: list[int] = []
        self._ways: list[list[Norms]] = []
        self._vanished: dict[int, int] = {}
        self._said: set[tuple[int, str]] = set()

    @property
    def updates(self) -> npt.NDArray[np.int64]:
        """(N,): numbers of the recorded updates. The first update of the run has number 0."""
        return np.array(self._updates, np.int64)

    @property
    def steps_back(self) -> npt.NDArray[np.int64]:
        """(K,): numbers of steps back from the step of the error, at which norms are kept."""
        longest = max((len(way) for ways in self._ways for way in ways), default=0)
        return np.arange(longest, dtype=np.int64) * self._stride

    @property
    def dh_norm(self) -> Norms:
        """(N, R, K): ||dL/dh|| of every record and row, at `steps_back`; NaN if a batch is shorter."""
        rows = len(self._ways[0]) if self._ways else 0
        norms = np.full((len(self._ways), rows, len(self.steps_back)), np.nan)
        for record, ways in zip(norms, self._ways, strict=True):
            for row, way in zip(record, ways, strict=True):
                row[: len(way)] = way
        return norms

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: SomeAxes | None = None) -> Figure:
        """Draw the norms over updates and steps back, one heat map per row.

        Parameters
        ----------
        path : str or os.PathLike, optional
            File for the picture. The suffix sets the format: .png or .svg.
        ax : matplotlib.axes.Axes or sequence of them, optional
            Where to draw, one Axes per row. Default: a new figure.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError, OSError
            There are no records, `path` has another suffix, or the file cannot be written.
        """
        from bptt.diagnose.pictures.heatmap import plot_records

        if not self._updates:
            raise ValueError("GradientMonitor must have a record to plot; got none. Fix: call fit first.")
        return plot_records(self.updates, self.steps_back, self.dh_norm, self._names, path, ax)

    def epoch_begin(self, trainer: TrainerView, epoch: int, epochs: int, batches: int | None) -> None:
        check_recurrent(trainer.model)
        names = tuple(row.name for row in rows_of(trainer.model))
        if self._names not in ((), names):
            raise ValueError(
                "callbacks must hold a GradientMonitor without records of another model; got records of "
                f"{', '.join(self._names)}. Fix: make a new GradientMonitor for each model."
            )
        self._names = names
        # A monitor that was added when the run was resumed has not seen the earlier updates.
        self._updates_done = max(self._updates_done, len(trainer.history["loss"]))

    def backward(self, trainer: TrainerView, tape: Tape, dy: Floats) -> None:
        if self._updates_done % self.every_updates or self._updates_done in self._updates[-1:]:
            return
        steps, rows = longest_rows(tape)
        if steps == 0 or len(rows) == 0:
            return  # a batch that is all padding has no error to record
        flow = replace(_flow(trainer.model, tape, dy), in_use=_in_use(trainer))
        self.flow = flow
        self._record(flow)
        if self.warn:
            self._warn(flow)

    def update(self, trainer: TrainerView, update: Update) -> None:
        self._updates_done += 1

    def state_dict(self) -> dict[str, Any]:
        ways = [way for record in self._ways for way in record]
        return {
            "updates_done": self._updates_done,
            "every_updates": self.every_updates,
            "stride": self._stride,
            "names": list(self._names),
            "updates": list(self._updates),
            "lengths": [len(way) for way in ways],
            "norms": np.concatenate([np.zeros(0), *ways]),
            "vanished": [[k, count] for k, count in self._vanished.items()],
            "said": [[k, verdict] for k, verdict in self._said],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        updates_done = integer(state["updates_done"], "updates_done", 0)
        every_updates, stride = size(state["every_updates"], "every_updates"), size(state["stride"], "stride")
        names = tuple(map(str, state["names"]))
        updates = [integer(update, "updates", 0, updates_done) for update in state["updates"]]
        lengths = [size(length, "lengths") for length in state["lengths"]]
        norms = np.array(state["norms"], np.float64)
        fits = len(lengths) == len(updates) * len(names) and norms.shape == (sum(lengths),)
        if not fits or (updates and not names):
            raise ValueError("the records of a GradientMonitor do not fit together")
        ends = np.cumsum(lengths)
        ways = [norms[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        pairs = [(integer(k, "row", 0), integer(count, "count", 0)) for k, count in state["vanished"]]
        said = {(integer(k, "said", 0), str(verdict)) for k, verdict in state["said"]}
        self._updates_done, self.every_updates, self._stride = updates_done, every_updates, stride
        self._names, self._updates, self._vanished, self._said = names, updates, dict(pairs), said
        self._ways = [ways[start : start + len(names)] for start in range(0, len(ways), len(names) or 1)]

    def _record(self, flow: GradientFlow) -> None:
        longest = max(len(way) for way in flow.ways)
        while -(-longest // self._stride) > COLUMNS:
            self._stride *= 2
            self._ways = [[way[::2].copy() for way in ways] for ways in self._ways]
        self._updates.append(self._updates_done)
        self._ways.append([way[:: self._stride].copy() for way in flow.ways])
        if len(self._updates) > self.limit:
            del self._updates[1::2], self._ways[1::2]
            self.every_updates *= 2

    def _warn(self, flow: GradientFlow) -> None:
        verdicts = set()
        for k, verdict in enumerate(flow.verdict):
            vanished = verdict == "vanishing" and not flow.carried[k]
            self._vanished[k] = self._vanished.get(k, 0) + 1 if vanished else 0
            if verdict in ("exploding", "not finite") or self._vanished[k] >= self.patience:
                verdicts.add((k, verdict))
        if verdicts - self._said:
            rows = sorted(k for k, _ in verdicts - self._said)
            # Other layers often follow, or the same layer again. A warning for each of them would be noise.
            self._said |= {(k, verdict) for _, verdict in verdicts for k in range(len(flow.rows))}
            text = " ".join(advice(flow, rows))
            warnings.warn(f"At update {self._updates_done}: {text}", GradientWarning, stacklevel=2)


def _flow(model: Module, tape: Tape, dy: Floats) -> GradientFlow:
    """Measure how far the error of the last step reaches, without changing the gradients or the tape."""
    flow = flow_on(tape, dy.shape)
    if _from_last_step(tape, dy) or not np.isfinite(flow.dh_norm).all():
        return flow
    with restored_gradients(model):
        return flow_of_last_step(model, twin(tape), dy)


def _from_last_step(tape: Tape, dy: Floats) -> bool:
    """Return whether all errors of training are at the step where `gradient_flow` would put its error."""
    (_, first), *_ = recurrent_tapes(tape)
    if first.ragged is not None or not dy.any():
        return False
    if not per_step(tape, dy.shape):
        return True
    both = any(reads_from_end(part.owner) for _, part in recurrent_tapes(tape))
    return not both and not first.layout.sequence_in(dy)[:-1].any()


def _in_use(trainer: TrainerView) -> frozenset[str]:
    """Return the remedies that the trainer already uses, as names of its arguments."""
    given = {
        "clip": not isinstance(trainer.clip, NoClip),
        "clip_state": trainer.clip_state is not None,
        "truncate": trainer.truncate is not None,
        "regularizer": trainer.regularizer is not None,
    }
    return frozenset(name for name, used in given.items() if used)
