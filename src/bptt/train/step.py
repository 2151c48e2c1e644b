"""A step of training up to its update: passes forward and back over its windows, the gradient clipped."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.diagnose.nonfinite import finite, origin
from bptt.layers.tape import Tape
from bptt.train.batches import Window
from bptt.train.callbacks import Update
from bptt.train.gradients import NonFiniteError
from bptt.train.position import Position, guard_state

if TYPE_CHECKING:
    from bptt.train.trainer import Trainer


class Step(NamedTuple):
    """A step of training that is ready to be made: whether it changes the parameters, what there is to tell
    of it, and where it leads."""

    changes: bool
    update: Update
    position: Position


class Pass(NamedTuple):
    """A forward and backward pass: the rows that counted, what the gradient of their sum was divided by,
    their mean loss, the batches of the epoch read by then, and where it leads."""

    rows: int
    base: int
    loss: float
    batches: float
    position: Position


def prepare(trainer: Trainer, windows: list[Window], carries: bool) -> Step:
    """All of a step but the update itself."""
    at, rows, loss = trainer._position, 0, 0.0
    base: int | None = None
    tape: Tape | None = None
    trainer.model.zero_grad()
    for window in windows:
        tape = None  # one at a time in memory
        made, tape = _pass(trainer, window, at, base, carries)
        base = made.base
        at, rows, loss = made.position, rows + made.rows, loss + made.rows * made.loss
    tokens = sum(trainer._layout.tokens(window.own) for window in windows)
    if trainer.ranks > 1:
        loss, tokens = trainer._ranks.reduce(trainer.model, made.base, rows, loss, tokens)
    elif len(windows) == 1:
        loss = made.loss
    else:
        loss /= max(rows, 1)
        gradients = trainer.model.flat_gradients
        gradients *= gradients.dtype.type(made.base / max(rows, 1))
    try:
        clipped = trainer.clip(trainer.model)
    except NonFiniteError as error:
        located = _located(trainer, error, cast("Tape", tape), windows[-1].start, at.epoch, loss)
        raise trainer._ranks.told_alike(located) from None
    if not math.isfinite(clipped.norm):  # not finite, a state would spoil every window that follows
        fit = {step: trainer._ranks.holds(finite(state)) for step, state in at.states.items()}
        states = {step: state if fit[step] else None for step, state in at.states.items()}
        at = replace(at, states=states)
    update = Update(
        epoch=at.epoch,
        loss=loss,
        grad_norm=clipped.norm,
        clipped=clipped.clipped,
        lr=trainer.optimizer.lr,
        tokens=tokens,
        batches=made.batches,
    )
    reached = replace(
        at, updates=at.updates + 1, generators=trainer._generators.get(), clip=guard_state(trainer.clip)
    )
    return Step(clipped.update, update, reached)


def _pass(
    trainer: Trainer, window: Window, at: Position, base: int | None, carries: bool
) -> tuple[Pass, Tape]:
    """Forward and back once. The gradient of the sum over rows, divided by `base`, is added to those of
    the passes before it. Given None, for the first, that is the number of its rows."""
    # At the windows' ends, as they were when they were reached: where later windows read on from.
    states = {step: kept for step, kept in at.states.items() if step >= window.start}
    y, state, tape = trainer.model.forward(
        window.read.x, states[window.start], **window.read.options, **trainer._forward
    )
    own = trainer._layout.after(y, window)
    mask = trainer._layout.mask(window.own, own)
    loss, dy = trainer.loss(own, cast("Any", window.own.target), mask)
    rows = counted(own, mask)
    if base is None:
        # Inside the recursion errors are clipped at the size that they have in the mean over all rows.
        base = max(1, rows if trainer.clip_state is None else trainer._ranks.count(rows))
    weight = rows / base
    if weight != 1.0:
        dy = dy * dy.dtype.type(weight)
    if window.ahead:
        last, dy = dy, np.zeros_like(y)
        trainer._layout.after(dy, window)[...] = last
    trainer.model.backward(tape, dy, need_dx=False, **trainer._backward)
    if trainer.regularizer is not None:
        trainer.regularizer(tape, weight)
    for watcher in trainer._watchers:
        watcher.backward(trainer, tape, dy)
    whole = window.share >= 1.0
    reached = replace(
        at,
        batches=at.batches + whole,
        step=0 if whole else window.stop,
        states={0: state if carries else None} if whole else states | {window.stop: state},
    )
    return Pass(rows, base, loss, at.batches + window.share, reached), tape


def _located(
    trainer: Trainer, error: NonFiniteError, tape: Tape, start: int, epoch: int, loss: float
) -> NonFiniteError:
    made = len(trainer.history["loss"])
    where = origin(tape, start)
    began = "" if where is None else f"; {where}"
    return NonFiniteError(f"update {made} of epoch {epoch}, loss {loss:.6g}{began}: {error}", error.parameter)


def counted(y: Floats, mask: npt.NDArray[Any] | None) -> int:
    """Rows whose loss counts."""
    return math.prod(y.shape[:-1]) if mask is None else int(np.count_nonzero(mask))
