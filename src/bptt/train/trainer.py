"""The training loop: forward, loss, backward through time, clip, update, over batches or windows of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Literal, cast

import numpy as np

from bptt.arguments import Seed, flag, generator, size
from bptt.arrays import Floats
from bptt.diagnose.nonfinite import finite, origin
from bptt.layers import Module, Recurrent
from bptt.layers.checkpointed import read_checkpoint
from bptt.layers.clip_state import ClipsState, read_clip_state
from bptt.layers.tape import Tape
from bptt.train.batches import Batch, Layout, Window, check_iterable, leaves, read_batch
from bptt.train.callbacks import Callback, Update
from bptt.train.clip import Guard
from bptt.train.gradients import NonFiniteError
from bptt.train.history import History
from bptt.train.losses import Loss
from bptt.train.optim import Optimizer
from bptt.train.progress import ProgressBar
from bptt.train.regularizers import PascanuRegularizer


class Trainer:
    """Trains a model by (truncated) backpropagation through time.

    Parameters
    ----------
    model : Module
        A layer or a Sequential; trained in place.
    loss : Loss
        CrossEntropy(), for one.
    optimizer : Optimizer
        Adam(1e-3), for one.
    clip : ClipNorm, ClipValue or Guard, optional
        What is done to each gradient before the update. None: nothing is clipped, a non-finite gradient
        raises.
    clip_state : float, ClipValue or ClipNorm, optional
        Clipping inside the recursion, in all recurrent layers: see `LSTM.backward`.
    truncate : int or pair of int, optional
        Cut each batch into windows of so many steps: the state is carried from one to the next,
        gradients stop between them, and each makes an update. None, or at least T: full backpropagation
        through time. A pair (every, back): windows of `every` steps, their errors going back `back` steps
        from their ends, into earlier windows of the same batch, which are then read again with the new
        parameters, from the state that they started from before.
    checkpoint : int or "auto", optional
        Long sequences in little memory: recurrent layers keep every so-manieth state and compute the rest
        again; see `LSTM.forward`.
    regularizer : PascanuRegularizer, optional
        Adds its term to the gradient after each backward pass, before clipping. `history` has the loss alone.
    callbacks : iterable of Callback
        Called in order.
    progress : bool
        Show a ProgressBar.
    seed : int, numpy.random.Generator or None
        Reseeds the model's dropout masks, so that a run can be repeated; None leaves the layers' own seeds.

    Attributes
    ----------
    history : History
        Of the last or current `fit`, also after it was interrupted.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of range; truncation of a bidirectional model, whose reverse
        direction has no state to carry forward.

    Notes
    -----
    Werbos 1990, Backpropagation through time; Williams and Peng 1990 for the truncated form.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        *,
        clip: Guard | None = None,
        clip_state: float | ClipsState | None = None,
        truncate: int | tuple[int, int] | None = None,
        checkpoint: int | Literal["auto"] | None = None,
        regularizer: PascanuRegularizer | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        seed: Seed = None,
    ) -> None:
        _check(model, "model", Module, "a layer, or Sequential(...)")
        _check(loss, "loss", Loss, "CrossEntropy()")
        _check(optimizer, "optimizer", Optimizer, "Adam(1e-3)")
        if clip is not None:
            _check(clip, "clip", Guard, "ClipNorm(5.0)")
        if regularizer is not None:
            _check(regularizer, "regularizer", PascanuRegularizer, "PascanuRegularizer(4.0)")
            regularizer.check(model)
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.clip = Guard() if clip is None else clip
        self.truncate = _read_truncate(truncate)
        pair = self.truncate if isinstance(self.truncate, tuple) else (self.truncate, None)
        self._every: int | None = pair[0]
        self._back: int | None = pair[1]
        self.clip_state = read_clip_state(clip_state)
        self.checkpoint = checkpoint
        self.regularizer = regularizer
        self._layout = Layout(model)
        self._forward, self._backward = self._passes()
        self.callbacks = tuple(callbacks)
        for callback in self.callbacks:
            _check(callback, "callbacks", Callback, "a list of Callback objects")
        self.progress = flag(progress, "progress")
        self.history = History()
        self._stopping = False
        self._watchers: tuple[Callback, ...] = ()
        if self.truncate is not None:
            self._refuse_bidirectional("truncate")
        if seed is not None:
            shared = generator(seed)
            for layer in leaves(model):
                layer.rng = shared

    def fit(self, data: Iterable[Any], epochs: int = 1, validation: Iterable[Any] | None = None) -> History:
        """Train.

        Ctrl-C (KeyboardInterrupt) goes through; model and optimiser are then as after the last whole
        update, gradients zero, and `history` holds the updates made.

        Parameters
        ----------
        data : iterable of batches
            `(x, target)`, `(x, target, lengths)`, or dicts with keys x, target and, if wanted, mask,
            lengths and reset; iterable once per epoch. Steps past a row's length count for nothing.
            Where it has the attribute `carries_state = True`, each batch starts from the state in which
            the one before ended.
        epochs : int
            Passes over the data.
        validation : iterable of batches, optional
            Evaluated after each epoch.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            Batches that are not as above or do not fit the model, no batches at all.
        NonFiniteError
            A gradient that is not finite, with the policy "raise": it says in which update, what the
            loss was, and where it began. The model is as before that update.
        """
        epochs = size(epochs, "epochs")
        check_iterable(data, "data", passes=epochs)
        if validation is not None:
            check_iterable(validation, "validation", passes=epochs)
        self.history = History()
        self._stopping = False
        watchers = (*self.callbacks, ProgressBar()) if self.progress else self.callbacks
        self._watchers = watchers
        try:
            for epoch in range(epochs):
                batches = len(data) if isinstance(data, Sized) else None
                for watcher in watchers:
                    watcher.epoch_begin(self, epoch, epochs, batches)
                self._train_epoch(data, epoch, watchers)
                if validation is not None:
                    loss = self.evaluate(validation)
                    self.history.add_validation(loss)
                    for watcher in watchers:
                        watcher.validation(self, epoch, loss)
                for watcher in watchers:
                    watcher.epoch_end(self, epoch)
                if self._stopping:
                    break
        except KeyboardInterrupt:
            self.model.zero_grad()
            raise
        finally:
            for watcher in watchers:
                watcher.fit_end(self)
        return self.history

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called: this epoch is the last."""
        return self._stopping

    def stop(self) -> None:
        """For callbacks: let `fit` end its epoch after the current update, validate and return."""
        self._stopping = True

    def evaluate(self, data: Iterable[Any]) -> float:
        """The mean loss over all rows that are not masked.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; nothing to average over.
        """
        total, count = 0.0, 0
        state: Any = None
        for batch in self._batches(data, need_target=True):
            y, state = self.model(batch.x, state if self._carries(data) else None, **batch.options)
            mask = self._layout.mask(batch, y)
            rows = int(np.prod(y.shape[:-1])) if mask is None else int(np.count_nonzero(mask))
            total += rows * self.loss.value(y, cast("Any", batch.target), mask)
            count += rows
        if count == 0:
            raise ValueError("data must hold a row that is not masked, to average over; got none.")
        return total / count

    def predict(self, data: Iterable[Any]) -> list[Floats]:
        """The model's outputs, one array per batch.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`, or of x alone; targets are not looked at.

        Returns
        -------
        list of ndarray

        Raises
        ------
        TypeError, ValueError
            Data that is no iterable of batches; arrays that the model refuses; data that carries state
            through a bidirectional layer.
        """
        outputs: list[Floats] = []
        state: Any = None
        for batch in self._batches(data, need_target=False):
            y, state = self.model(batch.x, state if self._carries(data) else None, **batch.options)
            outputs.append(y)
        return outputs

    def _batches(self, data: Iterable[Any], *, need_target: bool) -> Iterator[Batch]:
        check_iterable(data, "data")
        for item in data:
            yield read_batch(item, need_target=need_target)

    def _carries(self, data: Iterable[Any]) -> bool:
        carries = bool(getattr(data, "carries_state", False))
        if carries:
            self._refuse_bidirectional("data that carries state")
        return carries

    def _passes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the model's forward and backward pass take beside their arrays."""
        forward = {} if self.checkpoint is None else {"checkpoint": self.checkpoint}
        backward = {"clip_state": self.clip_state, "steps": self._back}
        if forward:
            read_checkpoint(self.checkpoint, 1)
            self._refuse_bidirectional("checkpoint")
        if any(isinstance(layer, Recurrent) for layer in leaves(self.model)):
            return forward, backward | {"keep_errors": self.regularizer is not None}
        for name, value in (forward | backward).items():
            if value is not None and name != "steps":
                raise ValueError(
                    f"{name} needs a recurrent layer; got {self.model!r}, which has none. Fix: leave it out."
                )
        return {}, {}

    def _refuse_bidirectional(self, what: str) -> None:
        if not self._layout.forward_only:
            raise ValueError(
                f"{what} needs a model that reads forward only; got a bidirectional layer, whose reverse "
                "direction starts at the end. Fix: bidirectional=False, or whole sequences without it."
            )

    def _train_epoch(self, data: Iterable[Any], epoch: int, watchers: tuple[Callback, ...]) -> None:
        carries = self._carries(data)
        state: Any = None
        done = 0
        for batch in self._batches(data, need_target=True):
            if not carries:
                state = None
            # At the windows' ends, as they were when they were reached: where later windows read on from.
            states = {0: state}
            for window in self._layout.windows(batch, self._every, self._back):
                states = {step: kept for step, kept in states.items() if step >= window.start}
                state, update = self._update(window, states[window.start], epoch, done + window.share)
                states[window.stop] = state
                for watcher in watchers:
                    watcher.update(self, update)
                if self._stopping:
                    return
            done += 1
        if done == 0:
            raise ValueError(
                f"data must give batches; got none in epoch {epoch}. Fix: see that it starts again."
            )

    def _update(self, window: Window, state: Any, epoch: int, batches: float) -> tuple[Any, Update]:
        """One step of training: the state after the window, and what there is to tell."""
        self.model.zero_grad()
        y, state, tape = self.model.forward(window.read.x, state, **window.read.options, **self._forward)
        own = self._layout.after(y, window)
        loss, dy = self.loss(own, cast("Any", window.own.target), self._layout.mask(window.own, own))
        if window.ahead:
            counted, dy = dy, np.zeros_like(y)
            self._layout.after(dy, window)[...] = counted
        self.model.backward(tape, dy, need_dx=False, **self._backward)
        if self.regularizer is not None:
            self.regularizer(tape)
        for watcher in self._watchers:
            watcher.backward(self, tape, dy)
        try:
            clipped = self.clip(self.model)
        except NonFiniteError as error:
            raise self._located(error, tape, window.start, epoch, loss) from None
        lr = self.optimizer.lr
        if clipped.update:
            self.optimizer.step(self.model)
        if not math.isfinite(clipped.norm) and not finite(state):
            state = None  # or it would spoil every window that follows
        update = Update(
            epoch=epoch,
            loss=loss,
            grad_norm=clipped.norm,
            clipped=clipped.clipped,
            lr=lr,
            tokens=self._layout.tokens(window.own),
            batches=batches,
        )
        self.history.add(update)
        return state, update

    def _located(
        self, error: NonFiniteError, tape: Tape, start: int, epoch: int, loss: float
    ) -> NonFiniteError:
        made = len(self.history["loss"])
        where = origin(tape, start)
        began = "" if where is None else f"; {where}"
        return NonFiniteError(
            f"update {made} of epoch {epoch}, loss {loss:.6g}{began}: {error}", error.parameter
        )


def _read_truncate(value: object) -> int | tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, (tuple, list)):
        return size(value, "truncate")
    if len(value) != 2:
        raise ValueError(
            f"truncate must be a number of steps or a pair (every, back); got {len(value)} numbers. "
            "Fix: truncate=(10, 30) updates every 10 steps with errors going back 30."
        )
    return size(value[0], "truncate[0]"), size(value[1], "truncate[1]")


def _check(value: object, name: str, kind: type, example: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be a bptt {kind.__name__}; got {value!r:.60} of type {type(value).__name__}. "
            f"Fix: pass {example}."
        )
