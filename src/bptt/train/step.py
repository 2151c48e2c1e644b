"""One training step up to its update: forward and backward passes over windows, then clipping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.callbacks.callback import TrainerView
from bptt.callbacks.watchers import Watchers
from bptt.data.batches import Window
from bptt.diagnose.nonfinite import finite, origin
from bptt.layers import Module
from bptt.layers.passes.tape import Tape
from bptt.losses.loss import Loss
from bptt.optim.clip import Clip
from bptt.optim.gradients import NonFiniteError
from bptt.optim.optimizer import Optimizer
from bptt.optim.regularizers import PascanuRegularizer
from bptt.optim.sparse import all_finite
from bptt.optim.update import Update
from bptt.ranks.ranks import Ranks
from bptt.train.feed import Feed
from bptt.train.generators import Generators
from bptt.train.passes import Passes
from bptt.train.run import Run


class Pending(NamedTuple):
    """An update that is ready to be made. So far, only gradients have changed.

    Attributes
    ----------
    update : Update or None
        Row of the history. None: no row of the batch counts, so there is no update.
    changes : bool
        Whether the optimizer must change the weights.
    run : Run
        Position of the training after the update.
    """

    update: Update | None
    changes: bool
    run: Run


class Trainable(TrainerView, Protocol):
    """The parts of a `Trainer` that a step uses."""

    loss: Loss


@dataclass(frozen=True)
class Step:
    """Compute the gradient of one update. A `Step` depends neither on the data nor on the Trainer.

    Attributes
    ----------
    model, loss, optimizer, clip, regularizer, passes, ranks, generators
        Objects of the run.
    carries : bool
        Whether each batch continues the rows of the previous batch.
    watch : callable
        Called with the tape and dy after each backward pass.
    """

    model: Module
    loss: Loss
    optimizer: Optimizer
    clip: Clip
    regularizer: PascanuRegularizer | None
    passes: Passes
    ranks: Ranks
    generators: Generators
    carries: bool
    watch: Callable[[Tape, Floats], None]

    @classmethod
    def of(cls, trainer: Trainable, passes: Passes, ranks: Ranks, feed: Feed, watchers: Watchers) -> Step:
        """Return the step of a trainer, for one call of `fit`."""
        return cls(
            model=trainer.model,
            loss=trainer.loss,
            optimizer=trainer.optimizer,
            clip=trainer.clip,
            regularizer=trainer.regularizer,
            passes=passes,
            ranks=ranks,
            generators=feed.generators,
            carries=feed.carries,
            watch=lambda tape, dy: watchers.ask("backward", trainer, tape, dy),
        )

    def prepare(self, run: Run, group: list[Window]) -> Pending:
        """Compute and clip the gradient of the loss over all rows of the group that count.

        Raises
        ------
        NonFiniteError
            The gradient is not finite, and the policy of the clip is "raise". The message says where the
            first NaN or infinity occurred.
        """
        self.model.zero_grad()
        position, weight, loss = run, 0.0, 0.0
        base: float | None = None
        first_nonfinite = ""
        tape: Tape | None = None
        for window in group:
            tape = None  # keep only one tape in memory
            y, state, tape = self.model.forward(
                window.read.x, position.states[window.start], **window.read.options, **self.passes.forward
            )
            if base is None:
                base = self._base(group, window, y)
            value, window_weight = self._go_back(window, y, tape, base)
            weight, loss = weight + window_weight, loss + (window_weight if self._averages else 1) * value
            batches = position.batches + window.fraction
            several = len(group) > 1
            if several and not first_nonfinite and not all_finite(self.model):
                first_nonfinite = _place(tape, window, position.batches)
            position = position.after_window(window, state, carries=self.carries)
        total = loss / (weight or 1.0) if self._averages else loss
        total = value if len(group) == 1 else total
        tokens = sum(self.passes.axes.tokens(window.counted) for window in group)
        if self.ranks.size > 1:
            weight, total, tokens = self.ranks.reduce(
                self.model, cast("float", base), weight, loss, tokens, mean=self._averages
            )
        if weight == 0:
            return Pending(None, False, replace(position, generators=self.generators.get()))
        try:
            clipped = self.clip(self.model, self.optimizer.fixed(self.model))
        except NonFiniteError as error:
            where = first_nonfinite or _place(cast("Tape", tape), window)
            text = f"update {run.updates} of epoch {run.epoch}, loss {total:.6g}{where}: {error}"
            raise self.ranks.raise_on_all_ranks(NonFiniteError(text, error.parameter)) from None
        # A state that is not finite would make all following windows non-finite.
        if not math.isfinite(clipped.norm):
            usable = {step: self.ranks.holds(finite(state)) for step, state in position.states.items()}
            position = replace(
                position, states={step: position.states[step] if usable[step] else None for step in usable}
            )
        update = Update(
            epoch=run.epoch,
            loss=total,
            grad_norm=clipped.norm,
            clipped=clipped.clipped,
            lr=self.optimizer.lr,
            tokens=tokens,
            batches=batches,
        )
        next_position = replace(
            position,
            updates=run.updates + 1,
            optimizer_steps=self.optimizer.steps + clipped.update,
            generators=self.generators.get(),
            clip=self.clip.state_dict(),
        )
        return Pending(update, clipped.update, next_position)

    @property
    def _averages(self) -> bool:
        """Whether the loss is a mean, not a sum."""
        return self.loss.reduction == "mean"

    def _base(self, group: list[Window], first: Window, y: Floats) -> float:
        """Return the sum of the weights of all rows in the group: each pass divides its gradient by it.

        A loss that is a sum is not divided.
        """
        if not self._averages:
            return 1.0
        axes, outputs = self.passes.axes, self._outputs(first, y)
        total = self._weight(first, outputs.shape, axes.mask(first.counted, outputs))
        per_step, made = axes.per_step(first.read, y), axes.made(first.read, y)
        for window in group:
            if window is not first:
                batch = window.counted
                shape = (*axes.rows(batch, per_step=per_step, made=made), y.shape[-1])
                total += self._weight(window, shape, axes.counted(batch, per_step=per_step, made=made))
        return (self.ranks.count(total) if self.passes.clips_state else total) or 1.0

    def _weight(self, window: Window, shape: tuple[int, ...], mask: npt.NDArray[Any] | None) -> float:
        """Return the sum of the weights of a window's rows that count."""
        batch = window.counted
        return self.loss.total_weight(cast("Any", batch.target), shape, mask, batch.weight)

    def _outputs(self, window: Window, y: Floats) -> Floats:
        """Return the outputs whose losses count."""
        outputs = self.passes.axes.after(y, window)
        if outputs.ndim < 2:
            shape = self.passes.axes.main(window.read.x).shape
            raise ValueError(
                f"x must have a batch axis, (T, B, ...), for a model with one output per sequence; got shape "
                f"{shape}. Fix: pass one row, x[:, None] and target[None]."
            )
        return outputs

    def _go_back(self, window: Window, y: Floats, tape: Tape, base: float) -> tuple[float, float]:
        """Add the gradient of one window. Return its loss and the sum of the weights of its rows."""
        outputs, batch = self._outputs(window, y), window.counted
        mask = self.passes.axes.mask(batch, outputs)
        value, dy = self.loss(outputs, cast("Any", batch.target), mask, batch.weight)
        weight = self._weight(window, outputs.shape, mask)
        if weight == 0:
            return value, 0.0
        fraction = weight / base if self._averages else 1.0
        if fraction != 1.0:
            dy = dy * dy.dtype.type(fraction)
        if window.context:
            last, dy = dy, np.zeros_like(y)
            self.passes.axes.after(dy, window)[...] = last
        self.model.backward(tape, dy, need_dx=False, **self.passes.backward)
        if self.regularizer is not None:
            self.regularizer(tape, fraction)
        self.watch(tape, dy)
        return value, weight


def _place(tape: Tape, window: Window, batch: int | None = None) -> str:
    """Return text that says where on this tape the first non-finite number occurred; "" if unknown."""
    place = origin(tape, window.start)
    if place is None:
        return ""
    return f"; {place}" if batch is None else f"; in batch {batch} of the epoch, {place}"
