"""The training loop: forward, loss, backward through time, clip, update, over batches or windows of them."""

from __future__ import annotations

import functools
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

import numpy as np

from bptt.arguments import Seed, flag, generator, short, size
from bptt.arrays import Floats
from bptt.layers import Module, Recurrent
from bptt.layers.checkpointed import read_checkpoint
from bptt.layers.clip_state import ClipsState, read_clip_state
from bptt.layers.sequential import iter_layers
from bptt.layers.tape import Tape
from bptt.train.batches import Batch, Layout, batch_count, check_iterable
from bptt.train.callbacks import Callback
from bptt.train.checkpoint import CheckpointError, write
from bptt.train.checkpoint import read_checkpoint as read_file
from bptt.train.clip import Guard
from bptt.train.communicator import Comm
from bptt.train.distributed import Ranks
from bptt.train.feed import Feed, carries_state, read_batches
from bptt.train.generators import Generators
from bptt.train.history import History
from bptt.train.interrupts import interrupts_ignored
from bptt.train.losses import Loss
from bptt.train.metrics import Metric
from bptt.train.optim import Optimizer
from bptt.train.progress import ProgressBar
from bptt.train.regularizers import PascanuRegularizer
from bptt.train.resuming import restore, training_state
from bptt.train.run import Run
from bptt.train.settings import describe
from bptt.train.step import Pending, Step, counted

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
R = TypeVar("R")

_SETTINGS = ("loss", "optimizer", "clip", "clip_state", "truncate", "regularizer", "accumulate", "metrics")
"""What decides the bits, and the columns of the history; `checkpoint` does not."""


def collective(method: Callable[P, R]) -> Callable[P, R]:
    """For a method that all ranks call: an exception on one of them ends the job, unless all raise it."""

    @functools.wraps(method)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        trainer = cast("Trainer", args[0])
        with trainer._ranks.all_or_none():
            return method(*args, **kwargs)

    return called


class Trainer:
    """Train a model by backpropagation through time, full or truncated.

    Parameters
    ----------
    model : Module
        A layer or a Sequential. It is trained in place.
    loss : Loss
        For example `CrossEntropy()`.
    optimizer : Optimizer
        For example `Adam(1e-3)`.
    clip : ClipNorm, ClipValue or Guard, optional
        How each gradient is clipped before the update. None: nothing is clipped, and a non-finite gradient
        raises.
    clip_state : float, ClipValue or ClipNorm, optional
        Clipping inside the recursion, in all recurrent layers: see `LSTM.backward`.
    truncate : int or pair of int, optional
        `truncate=k` cuts each batch into windows of k time steps. The state is carried from one window to the
        next, gradients stop between windows, and each window makes an update. None, or at least T: full
        backpropagation through time. `truncate=(k1, k2)`: windows of k1 steps whose errors go back k2 steps
        from their ends, into earlier windows of the same batch. These are read again with the new weights,
        from the state in which they started before.
    checkpoint : int or "auto", optional
        Less memory for long sequences: recurrent layers keep every `checkpoint`-th state and recompute the
        others during the backward pass. See `LSTM.forward`.
    regularizer : PascanuRegularizer, optional
        Adds its term to the gradient after each backward pass, before clipping. `history` has the loss alone.
    accumulate : int
        Number of batches (or truncation windows) per update. Gradients are averaged over all rows that count,
        as if they were one large batch. A partial group at the end of an epoch still makes an update.
        `clip_state` bounds errors at their size in this average.
    metrics : iterable of Metric
        For example `bptt.metrics.Accuracy()`. Measured on the validation data after each epoch, besides the
        loss.
    callbacks : iterable of Callback
        Called in order.
    progress : bool
        Show a ProgressBar.
    comm : mpi4py.MPI.Comm, optional
        Data-parallel training over MPI. Every rank builds the same Trainer on its own shard of the data
        (`bptt.data.Shard`); updates equal those of one process that sees all rows. `fit`, `evaluate` and
        `save` are collective: call them on every rank. See docs/distributed.md.
    seed : int, numpy.random.Generator or None
        Reseeds the model's dropout masks, so that a run can be repeated. None keeps the layers' own seeds.

    Attributes
    ----------
    rank, ranks : int
        Number of this rank, and how many there are; 0 and 1 without `comm`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of range; truncation of a bidirectional model, whose reverse
        direction has no state to carry forward.

    Notes
    -----
    A batch or window in which no row counts makes no update: weights, optimizer and history stay as they are.
    No row counts where all are masked or beyond the end of their sequence.

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
        accumulate: int = 1,
        metrics: Iterable[Metric] = (),
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        comm: Comm | None = None,
        seed: Seed = None,
    ) -> None:
        self._ranks = Ranks(comm)
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
        self.clip_state = read_clip_state(clip_state)
        self.checkpoint = checkpoint
        self.regularizer = regularizer
        self.accumulate = size(accumulate, "accumulate")
        self.metrics = _read_metrics(metrics)
        self._layout = Layout(model)
        self._windows = self.truncate if isinstance(self.truncate, tuple) else (self.truncate, None)
        self._forward, self._backward = self._passes()
        self.callbacks = _several(callbacks, "callbacks", Callback, "[bptt.EarlyStopping()]")
        self.progress = flag(progress, "progress")
        if self.truncate is not None:
            self._layout.refuse_bidirectional("truncate")
        if seed is not None:
            shared = generator(seed)
            for layer in iter_layers(model):
                layer.rng = shared
        generators = Generators(model)
        if self.ranks > 1:  # or all would drop the same units
            generators = generators.replace(generators.get().by_rank(self.rank))
        self._feed: Feed | None = None
        self._resumed = False  # the next fit goes on with a saved run
        self._fitting: int | None = None  # the thread that runs `fit`
        self._begin(Run(generators=generators.get()))

    @property
    def rank(self) -> int:
        return self._ranks.rank

    @property
    def ranks(self) -> int:
        return self._ranks.size

    @property
    def run(self) -> Run:
        """Where training stands: after the last complete update.

        The optimizer changes weights and its step count in one call, which no signal divides. The count says
        whether the update that was under way has been made.
        """
        return self._next if self.optimizer.steps == self._next.optimizer_steps else self._run

    @property
    def history(self) -> History:
        """Updates and validations of the last or current `fit`, also after it was interrupted."""
        # A row that an interrupt left behind goes. Other threads may look on, but only this one knows which
        # row is being added.
        if self._fitting in (None, threading.get_ident()):
            run = self.run
            self._history.cut(run.updates, run.validations)
        return self._history

    @collective
    def fit(self, data: Iterable[Any], epochs: int = 1, validation: Iterable[Any] | None = None) -> History:
        """Train.

        After Ctrl-C (KeyboardInterrupt), model, optimizer and `history` are as after the last whole update,
        and gradients are zero. `Checkpoint` callbacks save that, and so can `save`.

        The first `fit` of a trainer that `resume` made continues the saved run, up to `epochs` in total.

        Parameters
        ----------
        data : iterable of batches
            `(x, target)`, `(x, target, lengths)`, or dicts with keys x, target and optionally mask, lengths
            and reset; iterable once per epoch. Arrays have the model's order of axes, (T, B, ...) or, with
            `batch_first=True`, (B, T, ...). `bptt.data` objects serve models of both orders. Time steps after
            a row's end do not count. If the data have the attribute `carries_state = True`, each batch starts
            from the state in which the batch before it ended.
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
            Batches that are not as above or do not fit the model; no batches at all; metrics, or callbacks
            that watch the validation, without validation data.
        NonFiniteError
            A gradient is not finite, with the policy "raise". The message gives the update, the loss, and
            where the first NaN or infinity arose. The model is as before that update.
        """
        _refuse_arrays(data, epochs)
        epochs = size(epochs, "epochs")
        check_iterable(data, "data", passes=epochs)
        if validation is not None:
            check_iterable(validation, "validation", passes=epochs)
        watchers = self._watchers()
        feed = Feed(
            self.model,
            self._layout,
            data,
            validation,
            truncate=self._windows,
            accumulate=self.accumulate,
            padding=self._ranks.size > 1,
        )
        for watcher in watchers:
            watcher.fit_begin(self, epochs, validation is not None)
        if self.metrics and validation is None:
            raise ValueError(
                f"validation must be given where the Trainer has metrics ({self.metrics[0].name}, ...); got "
                "none. Fix: fit(data, validation=...), or leave metrics out and call measure(data)."
            )
        self._ranks.begin(self.model, self.optimizer, self.clip, self._setup(epochs, data, validation))
        if validation is not None and self._ranks.holds(batch_count(validation) == 0):
            raise ValueError(
                "validation must give batches; got none. Fix: pass at least one batch, or validation=None."
            )
        if self._resumed:
            feed.resume(self.run)
        else:
            self._begin(Run(generators=feed.generators.get(), **feed.state()))
        self._feed = feed
        step = self._step(feed, watchers)
        self._fitting = threading.get_ident()
        try:
            while self.run.epoch < epochs and not (self.stopping and not self.run.inside):
                epoch, began, made = self.run.epoch, not self.run.inside, self.run.updates
                for watcher in watchers:
                    watcher.epoch_begin(self, epoch, epochs, batch_count(data))
                for group in () if self.stopping else feed.groups(self.run):
                    self._commit(step.prepare(self.run, group), watchers)
                    if self.stopping:
                        break
                self._ranks.end_epoch(self.model)
                if began and self.run.updates == made and not self.stopping:
                    _warn_of_nothing(epoch)
                found = None if validation is None else self.measure(validation)
                self._close_epoch(feed, found)
                if found is not None:
                    _tell(watchers, "validation", self, epoch, found["loss"])
                _tell(watchers, "epoch_end", self, epoch)
        except KeyboardInterrupt:
            with interrupts_ignored():
                self.model.zero_grad()
                _tell(watchers, "interrupted", self)
            raise
        finally:
            self._fitting = None
            _tell(watchers, "fit_end", self)
        return self.history

    def _begin(self, run: Run) -> None:
        """Start a new run, with an empty history."""
        self._stopping = False
        self._run = self._next = replace(
            run, optimizer_steps=self.optimizer.steps, clip=self.clip.state_dict()
        )
        self._history = History(metric.name for metric in self.metrics)

    def _commit(self, pending: Pending, watchers: tuple[Callback, ...]) -> None:
        """Make an update. Wherever a signal interrupts this, `run` and `history` agree with the weights."""
        if pending.update is not None:
            self.history.add(pending.update)  # counts from the moment at which `run` is the next one
        self._run, self._next = self.run, pending.run
        if pending.changes:
            self.optimizer.step(self.model)
        self._run = pending.run
        self._resumed = False
        if pending.update is not None:
            _tell(watchers, "update", self, pending.update)
            _tell(watchers, "settled", self)

    def _close_epoch(self, feed: Feed, found: dict[str, float] | None) -> None:
        """Go on to the next epoch, with what the validation found."""
        reached = self.run.after_epoch(
            validated=found is not None, generators=feed.generators.get(), **feed.state()
        )
        if found is not None:
            self.history.add_validation(**found)
        self._next = reached
        self._run = reached
        self._resumed = False

    def _step(self, feed: Feed, watchers: tuple[Callback, ...]) -> Step:
        def watch(tape: Tape, dy: Floats) -> None:
            for watcher in watchers:
                watcher.backward(self, tape, dy)

        return Step(
            model=self.model,
            loss=self.loss,
            optimizer=self.optimizer,
            clip=self.clip,
            regularizer=self.regularizer,
            layout=self._layout,
            ranks=self._ranks,
            generators=feed.generators,
            forward=self._forward,
            backward=self._backward,
            shared_base=self.clip_state is not None,
            carries=feed.carries,
            watch=watch,
        )

    @collective
    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write all that `Trainer.resume` needs to one file, whole or not at all, as `bptt.save` does.

        The file holds the model; the states of the optimizer, its schedule and the clip; the random
        generators of layers and data; the position in the data and the state carried between windows;
        `history`; what callbacks keep; and the settings, to compare. It describes the moment between two
        updates: called from `Callback.backward`, before the update under way; after Ctrl-C, after the last
        whole update. `bptt.load` reads the model from the same file. With several ranks, call it on all of
        them; the first one writes.

        Parameters
        ----------
        path : str or os.PathLike
        extra : mapping of str to JSON values, optional
            Returned by `bptt.train.read_checkpoint`.

        Raises
        ------
        TypeError, ValueError
            As `bptt.save`; a `state_dict` of data or callbacks that no file can hold; a random generator that
            is none of NumPy's.
        CheckpointError
            A model that could not be loaded again.
        OSError
            The file cannot be written.
        """
        run = self.run
        state = training_state(
            run,
            ranks=self._ranks,
            checksum=run.checksum if self._feed is None else self._feed.checksum(run),
            settings=self._settings(),
            optimizer=self.optimizer,
            history=self.history,
            stopping=self.stopping,
            callbacks=self.callbacks,
        )
        if self.rank == 0:
            write(path, self.model, self.optimizer, extra, state)
        self._ranks.wait()

    @classmethod
    def resume(cls, path: str | os.PathLike[str], loss: Loss, optimizer: Optimizer, **options: Any) -> Self:
        """Make a trainer that continues the run in a file; its next `fit` goes on from there::

            trainer = bptt.Trainer.resume("run.safetensors", bptt.CrossEntropy(), bptt.Adam(1e-3), clip=...)
            trainer.fit(data, epochs=20)  # 20 in total

        With the same data, the same epochs and on the same kind of machine, weights, optimizer and history
        have the same bits as those of a run that never stopped, also from the middle of an epoch or of a
        truncated batch. Batches already processed are read again and skipped. A run over several ranks may
        continue on more or fewer. The bits then differ: sums are rounded differently, and dropout masks are
        drawn again.

        The model comes from the file. You make loss, optimizer and options, as for the constructor; they are
        compared with what was saved. Data with a `state_dict` are put back to the start of the epoch by their
        `load_state_dict`, and data with a `numpy.random.Generator` named `rng` by its state. Other data must
        give the same batches in the same order as before; a warning says so unless they are a list. Callbacks
        with a `state_dict` get their saved state back, by kind and order.

        Parameters
        ----------
        path : str or os.PathLike
            Written by `save` or a `Checkpoint`.
        loss, optimizer, **options
            As for Trainer, with the same settings; a fresh optimizer. `checkpoint`, `progress` and
            `callbacks` may differ. A `seed` has no effect: the random state is the file's.

        Returns
        -------
        Trainer
            Its `model` has the saved parameters, its `history` the updates made.

        Raises
        ------
        CheckpointError
            As `bptt.load`; a file that holds a model alone.
        TypeError, ValueError
            As Trainer; settings that differ from the saved ones, all of them named. Nothing was changed then.
            From `fit`: data that are not those of the run.
        OSError
            The file cannot be read.
        """
        with Ranks(options.get("comm")).all_or_none():
            saved = read_file(path)
            if saved.training is None:
                raise CheckpointError(
                    f"{path} holds a model alone, without the state of a training run. Fix: take a file that "
                    "Trainer.save or bptt.Checkpoint wrote, or begin a new run with bptt.load(path)."
                )
            trainer = cls(saved.model, loss, optimizer, **options)
            run, history, stopping = restore(
                path,
                saved,
                ranks=trainer._ranks,
                settings=trainer._settings(),
                optimizer=optimizer,
                clip=trainer.clip,
                callbacks=trainer.callbacks,
            )
            trainer._run = trainer._next = run
            trainer._history.load(history)
            trainer._stopping, trainer._resumed = stopping, True
            return trainer

    @property
    def epochs_done(self) -> int:
        """Epochs of the last or current `fit`, and of the run that it resumed."""
        return self.run.epoch

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called: this epoch is the last."""
        return self._stopping

    def stop(self) -> None:
        """For callbacks: let `fit` end its epoch after the current update, validate and return."""
        self._stopping = True

    def evaluate(self, data: Iterable[Any]) -> float:
        """Return the mean loss over all rows that count, of all ranks.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; no row that counts.
        """
        return self._measure(data, ())["loss"]

    def measure(self, data: Iterable[Any]) -> dict[str, float]:
        """Return the mean loss under the name "loss", and the trainer's metrics under theirs.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; no row that counts; outputs or targets that a metric refuses.
        """
        return self._measure(data, self.metrics)

    @collective
    def _measure(self, data: Iterable[Any], metrics: tuple[Metric, ...]) -> dict[str, float]:
        total, count = 0.0, 0
        for metric in metrics:
            metric.reset()
        for batch, y in self._outputs(data, need_target=True):
            mask = self._layout.mask(batch, y)
            rows = counted(y, mask)
            target = cast("Any", batch.target)
            total += rows * self.loss.value(y, target, mask)
            count += rows
            for metric in metrics:
                metric.add(y, target, mask)
        total, count = self._ranks.total(total, count)
        for metric in metrics:
            metric.total, metric.count = self._ranks.total(metric.total, metric.count)
        if count == 0:
            raise ValueError(
                "data must hold at least one row that counts; got none. Fix: pass at least one batch, and "
                "check its mask and lengths."
            )
        return {"loss": total / count} | {metric.name: metric.value for metric in metrics}

    def predict(self, data: Iterable[Any]) -> list[Floats]:
        """Return the model's outputs, one array per batch.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`, or of x alone; targets are ignored.

        Returns
        -------
        list of ndarray

        Raises
        ------
        TypeError, ValueError
            Data that is no iterable of batches; arrays that the model refuses; data that carries state
            through a bidirectional layer.
        """
        return [y for _, y in self._outputs(data, need_target=False)]

    def _outputs(self, data: Iterable[Any], *, need_target: bool) -> Iterator[tuple[Batch, Floats]]:
        carries = carries_state(data, self._layout)
        state: Any = None
        for batch in read_batches(data, self._layout, need_target=need_target):
            y, state = self.model(batch.x, state if carries else None, **batch.options)
            yield batch, y

    def _passes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the model's forward and backward pass take besides their arrays."""
        forward = {} if self.checkpoint is None else {"checkpoint": self.checkpoint}
        backward = {"clip_state": self.clip_state, "steps": self._windows[1]}
        if forward:
            read_checkpoint(self.checkpoint, 1)
            self._layout.refuse_bidirectional("checkpoint")
        if any(isinstance(layer, Recurrent) for layer in iter_layers(self.model)):
            return forward, backward | {"keep_errors": self.regularizer is not None}
        for name, value in (forward | backward).items():
            if value is not None and name != "steps":
                raise ValueError(
                    f"{name} needs a recurrent layer; got {self.model!r}, which has none. Fix: leave it out."
                )
        return {}, {}

    def _settings(self) -> dict[str, Any]:
        """What must be the same when a run goes on, and on every rank."""
        return {name: describe(getattr(self, name)) for name in _SETTINGS}

    def _setup(self, epochs: int, data: object, validation: object) -> dict[str, Any]:
        """What must be the same on every rank when `fit` begins."""
        run = self.run if self._resumed else Run()
        return {
            **self._settings(),
            "epochs": epochs,
            "batches": batch_count(data),
            "validation": validation is not None,
            "position": [run.epoch, run.batches, run.step],
        }

    def _watchers(self) -> tuple[Callback, ...]:
        """The callbacks of this rank: those given, schedules that follow the validation, the progress bar."""
        watchers = [*self.callbacks]
        schedule: Any = self.optimizer.schedule
        while schedule is not None:
            if isinstance(schedule, Callback) and not any(schedule is own for own in watchers):
                watchers.append(schedule)
            schedule = getattr(schedule, "then", None)
        if self.progress:
            watchers.append(ProgressBar())
        return tuple(watcher for watcher in watchers if watcher.every_rank or self.rank == 0)


def _several(value: Any, name: str, kind: type[Any], example: str) -> tuple[Any, ...]:
    """The objects of a list, or one object alone."""
    if isinstance(value, kind):
        return (value,)
    if not np.iterable(value) or isinstance(value, (str, bytes, Mapping)):
        raise TypeError(
            f"{name} must be a list of bptt {kind.__name__} objects; got {short(value)} of type "
            f"{type(value).__name__}. Fix: pass {example}."
        )
    objects = tuple(value)
    for entry in objects:
        _check(entry, name, kind, example)
    return objects


def _read_metrics(value: Iterable[Metric]) -> tuple[Metric, ...]:
    metrics = _several(value, "metrics", Metric, "[bptt.metrics.Accuracy()]")
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1 or name in ("loss", "step"):
            raise ValueError(
                f"metrics must have names of their own beside loss and step; got {', '.join(names)}. "
                f"Fix: leave one {name} out."
            )
    return metrics


def _read_truncate(value: object) -> int | tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, (tuple, list)):
        return size(value, "truncate")
    if len(value) != 2:
        raise ValueError(
            f"truncate must be a number of steps or a pair (k1, k2); got {len(value)} numbers. "
            "Fix: truncate=(10, 30) updates every 10 steps with errors going back 30."
        )
    return size(value[0], "truncate[0]"), size(value[1], "truncate[1]")


_BY_NAME = {
    "loss": {
        "mse": "MeanSquaredError()",
        "mean_squared_error": "MeanSquaredError()",
        "cross_entropy": "CrossEntropy()",
        "crossentropy": "CrossEntropy()",
        "categorical_crossentropy": "CrossEntropy()",
        "sparse_categorical_crossentropy": "CrossEntropy()",
        "bce": "BinaryCrossEntropy()",
        "binary_cross_entropy": "BinaryCrossEntropy()",
        "binary_crossentropy": "BinaryCrossEntropy()",
    },
    "optimizer": {
        "sgd": "SGD(0.01)",
        "rmsprop": "RMSProp(1e-3)",
        "adam": "Adam(1e-3)",
        "adamw": "AdamW(1e-3)",
    },
}
"""The classes that other libraries call by these names, for each argument of `Trainer`."""


def _check(value: object, name: str, kind: type, example: str) -> None:
    if isinstance(value, kind):
        return
    known = _BY_NAME.get(name, {})
    if isinstance(value, str):
        example = f"bptt.{known[value.lower()]}" if value.lower() in known else example
    elif isinstance(value, type) and issubclass(value, kind):
        example = f"an object, {value.__name__}(...)"
    elif name == "clip" and isinstance(value, (int, float)) and 0 < value < math.inf and value is not True:
        example = f"bptt.ClipNorm({value})"
    raise TypeError(
        f"{name} must be a bptt {kind.__name__}; got {short(value)} of type {type(value).__name__}. "
        f"Fix: pass {example}."
    )


def _tell(watchers: Iterable[Callback], event: str, *details: Any) -> None:
    """Call a method of every callback, even if one raises, so that all know of the same updates."""
    raised: BaseException | None = None
    for watcher in watchers:
        try:
            getattr(watcher, event)(*details)
        except BaseException as error:
            raised = raised or error
    if raised is not None:
        raise raised


def _warn_of_nothing(epoch: int) -> None:
    warnings.warn(
        f"data of epoch {epoch} have no row that counts, so there was no update. "
        "Fix: check mask and lengths.",
        UserWarning,
        stacklevel=4,  # the line that calls fit
    )


def _refuse_arrays(data: object, epochs: object) -> None:
    """Raise TypeError for fit(x, target), as other libraries have it."""
    if getattr(epochs, "ndim", 0) or isinstance(epochs, (list, tuple)):
        raise TypeError(
            f"epochs must be an int; got {type(epochs).__name__}, perhaps the target. Fix: pass batches, "
            "fit([(x, target)]), with x (T, B, features), or (B, T, features) for layers with "
            "batch_first=True."
        )
    if hasattr(data, "__array__"):
        raise TypeError(
            f"data must be an iterable of batches; got one {type(data).__name__}. Fix: fit([(x, target)]), "
            "with x (T, B, features), or (B, T, features) for layers with batch_first=True."
        )
