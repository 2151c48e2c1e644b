"""The training loop: forward, loss, backward through time, clip, update, over batches or windows of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from bptt.arguments import Seed, flag, generator, size
from bptt.arrays import Floats
from bptt.layers import Module, Recurrent
from bptt.layers.checkpointed import read_checkpoint
from bptt.layers.clip_state import ClipsState, read_clip_state
from bptt.train.batches import Batch, Layout, Window, batch_count, check_iterable, leaves, read_batch
from bptt.train.callbacks import Callback, Update
from bptt.train.checkpoint import write
from bptt.train.clip import Guard
from bptt.train.communicator import Comm
from bptt.train.distributed import Ranks, together
from bptt.train.history import History
from bptt.train.losses import Loss
from bptt.train.metrics import Metric
from bptt.train.optim import Optimizer
from bptt.train.position import (
    Generators,
    Position,
    by_rank,
    check_data,
    checksum,
    cut,
    data_state,
    guard_state,
    load_data,
)
from bptt.train.progress import ProgressBar
from bptt.train.regularizers import PascanuRegularizer
from bptt.train.resuming import resumed, training_state
from bptt.train.step import Step, counted, prepare

if TYPE_CHECKING:
    from typing_extensions import Self


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
    accumulate : int
        Make an update from so many batches, or windows of them, one after the other: from the mean of their
        gradients, each by the rows that count, as one batch of them all would give. What is left at the end
        of an epoch makes an update, too. `clip_state` bounds errors at the size that they have in the mean
        over the first of them.
    metrics : iterable of Metric
        `bptt.metrics.Accuracy()`, for one: measured on the validation data after each epoch, beside the loss.
    callbacks : iterable of Callback
        Called in order.
    progress : bool
        Show a ProgressBar.
    comm : mpi4py.MPI.Comm, optional
        Data-parallel training: each rank makes this trainer, with data of its own (`bptt.data.Shard`), and
        all make the updates that one would make with the rows of all; see docs/distributed.md. Then `fit`,
        `evaluate` and `save` are for all ranks to call.
    seed : int, numpy.random.Generator or None
        Reseeds the model's dropout masks, so that a run can be repeated; None leaves the layers' own seeds.

    Attributes
    ----------
    history : History
        Of the last or current `fit`, also after it was interrupted.
    rank, ranks : int
        Which one this is, of how many; 0 and 1 without `comm`.

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
        pair = self.truncate if isinstance(self.truncate, tuple) else (self.truncate, None)
        self._every: int | None = pair[0]
        self._back: int | None = pair[1]
        self.clip_state = read_clip_state(clip_state)
        self.checkpoint = checkpoint
        self.regularizer = regularizer
        self.accumulate = size(accumulate, "accumulate")
        self.metrics = _read_metrics(metrics)
        self._layout = Layout(model)
        self._forward, self._backward = self._passes()
        self.callbacks = tuple(callbacks)
        for callback in self.callbacks:
            _check(callback, "callbacks", Callback, "a list of Callback objects")
        self.progress = flag(progress, "progress")
        self.history = self._new_history()
        self._stopping = False
        self._watchers: tuple[Callback, ...] = ()
        # Which batch of the epoch is being read, until the next is asked for.
        self._batch: tuple[int, Batch | None] = (-1, None)
        # Of a resumed run, until it has passed by the batches that were done:
        self._going_on = False
        self._shared: list[int | None] = []
        self._sum: int | None = None
        if self.truncate is not None:
            self._refuse_bidirectional("truncate")
        if seed is not None:
            shared = generator(seed)
            for layer in leaves(model):
                layer.rng = shared
        self._generators = Generators(model)
        if self.ranks > 1:  # or all would drop the same units
            own = by_rank(self._generators.shared, self._generators.get(), self.rank)
            self._generators = self._generators.replace(*own)
        self._position = Position(generators=self._generators.get(), clip=guard_state(self.clip))

    @property
    def rank(self) -> int:
        return self._ranks.rank

    @property
    def ranks(self) -> int:
        return self._ranks.size

    @together
    def fit(self, data: Iterable[Any], epochs: int = 1, validation: Iterable[Any] | None = None) -> History:
        """Train.

        Ctrl-C (KeyboardInterrupt) goes through; model and optimiser are then as after the last whole
        update, gradients zero, and `history` holds the updates made. `Checkpoint` callbacks save that, and
        `save` can.

        The first `fit` of a trainer that `resume` made goes on where the saved run stood, up to `epochs` in
        all.

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
        watchers = (*self.callbacks, *self._listening_schedules())
        if self.progress:
            watchers = (*watchers, ProgressBar())
        watchers = tuple(watcher for watcher in watchers if watcher.every_rank or self.rank == 0)
        self._watchers = watchers
        self._ranks.begin(self, epochs, data, validation)
        self._begin(data, validation)
        try:
            while self._position.epoch < epochs and not (self._stopping and not self._position.inside):
                epoch = self._position.epoch
                batches = batch_count(data)
                for watcher in watchers:
                    watcher.epoch_begin(self, epoch, epochs, batches)
                if not self._stopping:
                    self._train_epoch(data, validation, epoch, watchers)
                self._ranks.end_epoch(self.model)
                self._arrive(data, validation)
                found = None if validation is None else self.measure(validation)
                self._end_epoch(data, validation, found)
                if found is not None:
                    for watcher in watchers:
                        watcher.validation(self, epoch, found["loss"])
                for watcher in watchers:
                    watcher.epoch_end(self, epoch)
        except KeyboardInterrupt:
            self.model.zero_grad()
            cut(self.history, self._position)
            for watcher in watchers:
                watcher.interrupted(self)
            raise
        finally:
            for watcher in watchers:
                watcher.fit_end(self)
        return self.history

    @together
    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write all that `Trainer.resume` needs to one file, whole or not at all, as `bptt.save` does.

        That is: the model; the optimiser's state and its schedule's; the random generators of the layers and
        of the data; the position in the data, the state carried from window to window included; what the
        clip has learnt; `history`; what callbacks keep; and the settings, to compare. It stands between two
        updates: in `Callback.backward` before the one that is being made, after Ctrl-C behind the last whole
        one. `bptt.load` reads the model of the same file. Of several ranks all call it, and the first writes.

        Parameters
        ----------
        path : str or os.PathLike
        extra : mapping of str to JSON values, optional
            Comes back from `bptt.train.read_checkpoint`.

        Raises
        ------
        TypeError, ValueError
            As `bptt.save`; a `state_dict` of data or callbacks that holds what no file can; a random
            generator that is none of NumPy's.
        CheckpointError
            A model that could not be loaded again.
        OSError
            The file cannot be written.
        """
        state = training_state(self)
        if self.rank == 0:
            write(path, self.model, self.optimizer, extra, state)
        self._ranks.wait()

    @classmethod
    def resume(cls, path: str | os.PathLike[str], loss: Loss, optimizer: Optimizer, **options: Any) -> Self:
        """A trainer that stands where the one stood that saved the file; its next `fit` goes on from there::

            trainer = bptt.Trainer.resume("run.safetensors", bptt.CrossEntropy(), bptt.Adam(1e-3), clip=...)
            trainer.fit(data, epochs=20)  # 20 in all

        With the same data, the same epochs and on the same kind of machine, weights, optimiser and history
        come out with the same bits as from a run that never stopped, from the middle of an epoch or of a
        truncated batch, too. Batches that were done are read again, and dropped. A run over several ranks may
        go on with more or fewer: then the bits are others, since sums are rounded otherwise and dropout masks
        drawn anew.

        The model comes from the file. Loss, optimizer and options are made by you, as for the constructor,
        and compared with what was saved. Data with a `state_dict` are put back to where the epoch began by
        their `load_state_dict`; others must give the same batches in the same order as then. Callbacks with a
        `state_dict` find what theirs was, by kind and order.

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
            return resumed(cls, path, loss, optimizer, options)

    @property
    def epochs_done(self) -> int:
        """Of the last or current `fit`, and of the run that it resumed."""
        return self._position.epoch

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called: this epoch is the last."""
        return self._stopping

    def stop(self) -> None:
        """For callbacks: let `fit` end its epoch after the current update, validate and return."""
        self._stopping = True

    def evaluate(self, data: Iterable[Any]) -> float:
        """The mean loss over all rows, of all ranks, that are not masked.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; nothing to average over.
        """
        return self._measure(data, ())["loss"]

    def measure(self, data: Iterable[Any]) -> dict[str, float]:
        """The mean loss, as `evaluate` has it, under the name "loss", and the trainer's metrics under theirs.

        Parameters
        ----------
        data : iterable of batches
            As for `fit`.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; nothing to average over; outputs or targets that a metric refuses.
        """
        return self._measure(data, self.metrics)

    @together
    def _measure(self, data: Iterable[Any], metrics: tuple[Metric, ...]) -> dict[str, float]:
        total, count = 0.0, 0
        for metric in metrics:
            metric.reset()
        state: Any = None
        for batch in self._batches(data, need_target=True):
            y, state = self.model(batch.x, state if self._carries(data) else None, **batch.options)
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
            raise ValueError("data must hold a row that is not masked, to average over; got none.")
        return {"loss": total / count} | {metric.name: metric.value for metric in metrics}

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

    def _new_history(self) -> History:
        return History(metric.name for metric in self.metrics)

    def _listening_schedules(self) -> list[Callback]:
        """Schedules of the optimiser that follow the validation and are not among the callbacks."""
        found: list[Callback] = []
        schedule: Any = self.optimizer.schedule
        while schedule is not None:
            if isinstance(schedule, Callback) and not any(schedule is own for own in self.callbacks):
                found.append(schedule)
            schedule = getattr(schedule, "then", None)
        return found

    def _refuse_bidirectional(self, what: str) -> None:
        if not self._layout.forward_only:
            raise ValueError(
                f"{what} needs a model that reads forward only; got a bidirectional layer, whose reverse "
                "direction starts at the end. Fix: bidirectional=False, or whole sequences without it."
            )

    def _begin(self, data: object, validation: object) -> None:
        """Stand at the begin of a run, or where the saved one stood."""
        if self._going_on:
            at = self._position
            check_data(data, at.data, "data")
            check_data(validation, at.validation, "validation")
            generators = Generators(self.model, data, validation)
            self._generators = generators.replace(self._shared, at.generators)
            load_data(data, at.data, "data")
            return
        self.history = self._new_history()
        self._stopping = False
        self._batch = (-1, None)
        self._generators = Generators(self.model, data, validation)
        self._position = Position(
            generators=self._generators.get(),
            clip=guard_state(self.clip),
            data=data_state(data),
            validation=data_state(validation),
        )

    def _arrive(self, data: object, validation: object) -> None:
        """The batches done before the run was saved have been passed by: from here on it is new."""
        if not self._going_on:
            return
        if validation is not data:
            load_data(validation, self._position.validation, "validation")
        if self._position.inside:  # at an epoch's begin they are in this state
            self._generators.set(self._position.generators)
        self._going_on, self._sum = False, None

    def _end_epoch(self, data: object, validation: object, found: dict[str, float] | None) -> None:
        reached = replace(
            self._position,
            epoch=self._position.epoch + 1,
            batches=0,
            step=0,
            states={0: None},
            validations=self._position.validations + (found is not None),
            generators=self._generators.get(),
            data=data_state(data),
            validation=data_state(validation),
        )
        if found is not None:
            self.history.add_validation(**found)
        self._position = reached

    def _train_epoch(
        self, data: Iterable[Any], validation: object, epoch: int, watchers: tuple[Callback, ...]
    ) -> None:
        carries = self._carries(data)
        begin = self._position  # of a resumed run in the middle of the epoch
        if not begin.inside:
            self._arrive(data, validation)
        count = 0
        waiting: list[Window] = []
        for batch in self._batches(data, need_target=True):
            count += 1
            if self._going_on:
                self._check_same(batch, count - 1, begin)
                if count <= begin.batches:
                    continue
                self._arrive(data, validation)
            self._batch = (count - 1, batch)
            for window in self._layout.windows(batch, self._every, self._back):
                if count == begin.batches + 1 and window.stop <= begin.step and begin.step:
                    continue
                waiting.append(window)
                if len(waiting) < self.accumulate:
                    continue
                self._make_update(waiting, carries, watchers)
                waiting = []
                if self._stopping:
                    return
            if not waiting:
                self._batch = (-1, None)
        if waiting:
            self._make_update(waiting, carries, watchers)
            self._batch = (-1, None)
        if count == 0:
            raise ValueError(
                f"data must give batches; got none in epoch {epoch}. Fix: see that it starts again."
            )
        if self._going_on and count < begin.batches + (begin.step > 0):
            raise ValueError(
                f"data must give more than {begin.batches} batches, where the saved run stood; got {count}. "
                "Fix: make them as they were, or begin a new run with bptt.load(path), the model alone."
            )

    def _check_same(self, batch: Batch, index: int, at: Position) -> None:
        if index == at.last and self._sum is not None and checksum(batch) != self._sum:
            raise ValueError(
                f"data must give the same batches as in the saved run; got another batch {index} of epoch "
                f"{at.epoch}. Fix: make them as they were, in an order that a seed or their state_dict fixes."
            )

    def _make_update(self, windows: list[Window], carries: bool, watchers: tuple[Callback, ...]) -> None:
        update = self._update(windows, carries)
        for watcher in watchers:
            watcher.update(self, update)
        for watcher in watchers:
            watcher.settled(self)

    def _update(self, windows: list[Window], carries: bool) -> Update:
        """One step of training. Whatever interrupts it, it was made or it was not: model, optimiser, history
        and position, which has the states of clip and generators, say the same."""
        made = self.optimizer.steps
        step: Step | None = None
        try:
            step = prepare(self, windows, carries)
            if step.changes:
                self.optimizer.step(self.model)
            self.history.add(step.update)
            self._position = step.position
        except BaseException:
            if step is not None and (not step.changes or self.optimizer.steps > made):
                cut(self.history, replace(step.position, updates=step.position.updates - 1))
                self.history.add(step.update)
                self._position = step.position
            raise
        return step.update


def _read_metrics(value: Iterable[Metric]) -> tuple[Metric, ...]:
    metrics = (value,) if isinstance(value, Metric) else tuple(value)
    for metric in metrics:
        _check(metric, "metrics", Metric, "[bptt.metrics.Accuracy()]")
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
