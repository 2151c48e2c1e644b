"""The training loop over batches or windows: forward, loss, backward through time, clip, update."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bptt.arguments import Seed, flag, size
from bptt.callbacks.callback import Callback
from bptt.callbacks.watchers import Watchers
from bptt.files.checkpoint import write
from bptt.layers import Module
from bptt.layers.passes.clip_state import ClipsState, parse_clip_state
from bptt.losses.function import LossFunction
from bptt.losses.loss import Loss
from bptt.metrics.metric import Metric
from bptt.optim.clip import Clip, NoClip
from bptt.optim.optimizer import Optimizer
from bptt.optim.regularizers import PascanuRegularizer
from bptt.ranks.communicator import Comm
from bptt.ranks.ranks import Ranks
from bptt.train import setup
from bptt.train.budget import parse_budget
from bptt.train.evaluation import Evaluator
from bptt.train.feed import Feed
from bptt.train.generators import first_states
from bptt.train.history import History
from bptt.train.loop import Loop
from bptt.train.passes import parse_passes
from bptt.train.record import Record
from bptt.train.resuming import read_training, restore, training_state
from bptt.train.run import Run
from bptt.train.settings import fit_settings
from bptt.train.step import Step

if TYPE_CHECKING:
    from typing_extensions import Self


class Trainer(Evaluator):
    """Train a model by backpropagation through time, full or truncated.

    Parameters
    ----------
    model : Module
        A layer or a Sequential. The Trainer changes its parameters in place.
    loss : Loss or callable
        For example `CrossEntropy()`. Or a function `f(y, target, mask) -> (value, dy)`, see `FunctionLoss`.
    optimizer : Optimizer
        For example `Adam(1e-3)`.
    clip : ClipNorm, ClipValue or Clip, optional
        Clips each gradient before the update. None: no clipping; a non-finite gradient raises an error.
    clip_state : float, ClipValue or ClipNorm, optional
        Clips errors at each time step of the backward pass, in all recurrent layers: see `LSTM.backward`.
    truncate : int or pair of int, optional
        `truncate=k`: cut each batch into windows of k time steps. The state is carried from one window to the
        next, gradients stop between windows, and each window makes an update. `truncate=(k1, k2)`: update
        every k1 steps, and backpropagate k2 steps; earlier windows are read again with the new weights. None,
        or k >= T: full backpropagation through time.
    checkpoint : int or "auto", optional
        Keep every `checkpoint`-th state only, and recompute others in the backward pass. See `LSTM.forward`.
    regularizer : PascanuRegularizer, optional
        Adds its gradient before clipping. The loss in `history` does not include this term.
    accumulate : int
        Number of batches (or truncation windows) per update. Gradients are averaged over all rows that count,
        as if they were one large batch. With `reduction="sum"` in the loss, they are added up. `clip_state`
        applies to the errors of this average or sum. An incomplete group still makes an update.
    metrics : iterable of Metric
        Metrics of the validation data, measured after each epoch together with the loss.
    callbacks : iterable of Callback
        Called in this order.
    progress : bool
        Whether to show a ProgressBar.
    comm : mpi4py.MPI.Comm, optional
        Data-parallel training over MPI: see docs/howto/distributed.md. `fit`, `evaluate` and `save` are
        collective.
    seed : int, numpy.random.Generator or None
        Random seed of the model's dropout masks. None keeps the seeds of the layers.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range. Or backpropagation is truncated in a bidirectional
        model, whose reverse direction has no state to carry forward.

    Notes
    -----
    A batch or window makes no update if none of its rows counts.

    References
    ----------
    Werbos (1990), Backpropagation through time. Truncated: Williams and Peng (1990), An efficient
    gradient-based algorithm for on-line training of recurrent network trajectories.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x = np.random.default_rng(0).standard_normal((200, 20, 3))  # (N, T, F)
    >>> y = (x.mean(axis=(1, 2)) > 0).astype(int)
    >>> data = bptt.data.Arrays(x, y, shuffle=True, seed=0)
    >>> model = bptt.Sequential(bptt.LSTM(3, 16), bptt.Last(), bptt.Linear(16, 2), seed=0)
    >>> optimizer, clip = bptt.Adam(0.01), bptt.ClipNorm(1.0)
    >>> trainer = bptt.Trainer(model, bptt.CrossEntropy(), optimizer, clip=clip)
    >>> history = trainer.fit(data, epochs=10)
    >>> trainer.evaluate(data) < 0.3
    True
    """

    def __init__(
        self,
        model: Module,
        loss: Loss | LossFunction,
        optimizer: Optimizer,
        *,
        clip: Clip | None = None,
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
        setup.check_parts(model, optimizer, clip, regularizer)
        self.model = model
        self.loss = setup.parse_loss(loss)
        self.optimizer = optimizer
        self.clip = NoClip() if clip is None else clip
        self.truncate = setup.parse_truncate(truncate)
        self.clip_state = parse_clip_state(clip_state)
        self.checkpoint = checkpoint
        self.regularizer = regularizer
        self.accumulate = size(accumulate, "accumulate")
        self.metrics = setup.parse_metrics(metrics)
        self._passes = parse_passes(model, self.truncate, checkpoint, self.clip_state, regularizer)
        self._axes = self._passes.axes
        self.callbacks = setup.parse_callbacks(callbacks)
        self.progress = flag(progress, "progress")
        self._feed: Feed | None = None
        self._record = Record(self)
        self._begin(Run(generators=first_states(model, seed, self._ranks)))

    @property
    def run(self) -> Run:
        """Position of the training after the last complete update."""
        return self._record.run

    @property
    def history(self) -> History:
        """Updates and validations of the last or current `fit`, also after an interrupt."""
        return self._record.history

    @property
    def epochs_done(self) -> int:
        """Number of complete epochs of the last or current `fit`, including the run that it resumed."""
        return self.run.epoch

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this update: `stop` was called, or a limit of `fit` is reached."""
        return self._record.ending

    def stop(self) -> None:
        """End the epoch after the current update; `fit` then validates and returns. For callbacks."""
        self._record.stopping = True

    def fit(
        self,
        data: Iterable[Any],
        epochs: int | None = None,
        validation: Iterable[Any] | None = None,
        *,
        max_updates: int | None = None,
        max_seconds: float | None = None,
    ) -> History:
        """Train the model. The first `fit` after `resume` continues the saved run, up to `epochs` in total.

        After Ctrl-C (KeyboardInterrupt), model, optimizer and `history` are in the state of the last complete
        update, and gradients are zero. `Checkpoint` callbacks save this state, and you can call `save`.

        Parameters
        ----------
        data : iterable of batches
            `(x, target)`, `(x, target, lengths)`, or dicts with keys x, target and optionally mask, weight,
            lengths, reset and skip. `data` is iterated once per epoch. Arrays have the model's order of axes,
            (T, B, ...) or, with `batch_first=True`, (B, T, ...). x may be a mapping from names of layers to
            arrays, see `Parallel`. `bptt.data` objects serve both orders of axes. If data have the attribute
            `carries_state = True`, a batch starts from the final state of the batch before it.
        epochs : int, optional
            Number of passes over the data. Default: 1, or no limit if another limit is given.
        validation : iterable of batches, optional
            Validation data, measured after each epoch and at the end of the run.
        max_updates : int, optional
            End the run after this number of updates, also inside an epoch. Updates of a resumed run count.
        max_seconds : float, optional
            End the run after the update during which this call of `fit` has taken so long.

        Raises
        ------
        TypeError, ValueError
            The batches are not as described above, do not fit the model, or are missing. Or there are metrics
            or callbacks that need validation data, but no validation data. Or no row counts in an epoch of a
            run without `epochs`, which would not end.
        NonFiniteError
            A gradient is not finite, and the policy is "raise". The message says where the first NaN or
            infinity occurred. This update is not made.

        Warns
        -----
        UserWarning
            An epoch has no row that counts, or all parameters of the model are fixed.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
        >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), bptt.Adam())
        >>> history = trainer.fit(data, epochs=3, validation=data)
        >>> history["loss"].shape, history["validation_loss"].shape
        ((3,), (3,))
        """
        with self._ranks.all_or_none():
            setup.refuse_arrays(data, epochs, validation)
            budget = parse_budget(epochs, max_updates, max_seconds)
            watchers = Watchers(
                self.callbacks, self.optimizer.schedule, progress=self.progress, rank=self.rank
            )
            feed = Feed(
                self.model,
                self._passes,
                data,
                validation,
                epochs=budget.epochs,
                accumulate=self.accumulate,
                padding=self.ranks > 1,
            )
            watchers.ask("fit_begin", self, budget.epochs, validation is not None)
            setup.check_validation(validation, self.metrics)
            start = self.run if self._record.resumed else Run()
            shared = fit_settings(self, start, budget, data, validation)
            self._ranks.begin(self.model, self.optimizer, self.clip, shared)
            setup.check_batches(validation, self._ranks)
            setup.warn_if_all_is_fixed(self.model, self.optimizer)
            if self._record.resumed:
                feed.resume(self.run)
            else:
                self._begin(Run(generators=feed.generators.get(), **feed.state()))
            self._feed = feed
            step = Step.of(self, self._passes, self._ranks, feed, watchers)
            measured = partial(self.measure, validation) if validation is not None else lambda: None
            Loop(self, self._record, feed, step, self._ranks, watchers, measured).run(budget)
            return self.history

    def _begin(self, run: Run) -> None:
        """Start a new run, with an empty history."""
        run = replace(run, optimizer_steps=self.optimizer.steps, clip=self.clip.state_dict())
        self._record.begin(run, [metric.name for metric in self.metrics])

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        extra: Mapping[str, Any] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> None:
        """Save the model and the training run to one file, for `Trainer.resume` and `bptt.load`.

        The file holds the state after the last complete update. As `bptt.save`, this method writes the whole
        file or nothing. With several ranks, call this method on all of them; the first rank writes the file.

        Parameters
        ----------
        path, extra, preprocessing
            As for `bptt.save`.

        Raises
        ------
        TypeError, ValueError, CheckpointError
            As `bptt.save`. Or a `state_dict` of data or callbacks, or a random generator, cannot be saved.
        OSError
            The file cannot be written.
        """
        with self._ranks.all_or_none():
            run = self.run
            checksum = run.checksum if self._feed is None else self._feed.checksum(run)
            state = training_state(self, run, self._record.stopping, self._ranks, checksum)
            if self.rank == 0:
                write(path, self.model, self.optimizer, extra, state, preprocessing)
            self._ranks.wait()

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], loss: Loss | LossFunction, optimizer: Optimizer, **options: Any
    ) -> Self:
        """Make a trainer whose next `fit` continues a saved run at the saved position.

        `Trainer.resume("run.safetensors", CrossEntropy(), Adam(1e-3)).fit(data, epochs=20)` trains until 20
        epochs are done, including those of the saved run.

        With the same data on the same kind of machine, weights, optimizer and history have the bits of a run
        that never stopped. A run may continue in the middle of an epoch. On another number of ranks, sums are
        rounded differently and dropout masks are drawn again. docs/guide/training.md says which data can be
        restored.

        Parameters
        ----------
        path : str or os.PathLike
            File that `save` or a `Checkpoint` has written.
        loss, optimizer, **options
            As for Trainer, with the settings of the saved run. `checkpoint`, `progress` and `callbacks` may
            differ. A `seed` has no effect, because the random state comes from the file.

        Raises
        ------
        CheckpointError
            As `bptt.load`, or the file holds only a model.
        TypeError, ValueError
            As Trainer. Or settings differ from the saved ones. From `fit`: the data differ from the run's.
        OSError
            The file cannot be read.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
        >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), bptt.Adam())
        >>> history = trainer.fit(data, epochs=1)
        >>> trainer.save("run.safetensors")
        >>> trainer = bptt.Trainer.resume("run.safetensors", bptt.MeanSquaredError(), bptt.Adam())
        >>> history = trainer.fit(data, epochs=3)
        >>> history["epoch"].tolist()
        [0, 1, 2]
        """
        with Ranks(options.get("comm")).all_or_none():
            saved = read_training(path)
            trainer = cls(saved.model, loss, optimizer, **options)
            trainer._record.resume(*restore(path, saved, trainer, trainer._ranks))
            return trainer
