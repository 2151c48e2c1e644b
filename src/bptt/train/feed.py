"""The data of a run: which batches come, in which order, cut into windows and grouped into updates."""

from __future__ import annotations

import itertools
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bptt.data.batches import (
    Batch,
    ModelAxes,
    Window,
    batch_count,
    check_iterable,
    is_restorable,
    parse_batch,
)
from bptt.data.order import FIX_DATA, check_data, data_state, load_data
from bptt.layers import Module
from bptt.train.generators import Generators, GeneratorStates
from bptt.train.passes import Passes
from bptt.train.run import Run


class Feed:
    """Read the training data of one `fit`, from the position of the run.

    Parameters
    ----------
    model : Module
        Its layers' generators are saved with those of the data.
    passes : Passes
        Axes of the model's data, and the length of a window.
    data : iterable of batches
    validation : iterable of batches or None
        Never read here: only the position of its random order is kept.
    epochs : int
        How often `data` and `validation` are read.
    accumulate : int
        Windows per update.
    padding : bool
        Whether windows that only hold padding are kept.

    Attributes
    ----------
    carries : bool
        Each batch continues the rows of the batch before.

    Raises
    ------
    TypeError, ValueError
        Data that are no iterable of batches; data that carry state through a bidirectional model.
    """

    def __init__(
        self,
        model: Module,
        passes: Passes,
        data: Iterable[Any],
        validation: Iterable[Any] | None,
        *,
        epochs: int,
        accumulate: int,
        padding: bool,
    ) -> None:
        check_iterable(data, "data", passes=epochs)
        if validation is not None:
            check_iterable(validation, "validation", passes=epochs)
        self.carries = carries_state(data, passes.axes)
        self.generators = Generators(model, data, validation)
        self._axes, self._windows = passes.axes, passes.windows
        self._accumulate, self._padding = accumulate, padding
        self._data, self._validation = data, validation
        self._batch: tuple[int, Batch | None] = (-1, None)

    @property
    def batches(self) -> int | None:
        """How many batches the data say that they give; None where they do not say."""
        return batch_count(self._data)

    def state(self) -> dict[str, Any]:
        """Where the order of the data stands when an epoch begins, for `Run`."""
        return {"data": data_state(self._data), "validation": data_state(self._validation)}

    def resume(self, run: Run) -> None:
        """Put data, validation data and all generators where they stood when the run's epoch began.

        Warns where that cannot be done.

        Raises
        ------
        ValueError
            Data other than those of the run.
        """
        check_data(self._data, run.data, "data")
        check_data(self._validation, run.validation, "validation")
        self.generators = self.generators.replace(run.generators)
        if self._validation is not self._data:
            load_data(self._validation, run.validation, "validation")
        # The data come last: their generator may be that of the validation data, too.
        load_data(self._data, run.data, "data")
        if not is_restorable(self._data):
            warnings.warn(
                f"data of type {type(self._data).__name__} cannot be put back to where the run stopped: if "
                "they draw random numbers, the resumed run sees other batches. Fix: bptt.data.Batches(make) "
                "with def make(epoch, rng), or give them state_dict and load_state_dict.",
                UserWarning,
                stacklevel=3,  # the line that calls Trainer.fit
            )

    def groups(self, run: Run) -> Iterator[list[Window]]:
        """The windows of each update of the run's epoch that the run has not made yet.

        Batches that the run has read are read again and dropped. Then the layers' generators are set to where
        they stood, before the next batch is drawn.

        Raises
        ------
        TypeError, ValueError
            Batches that do not fit; no batch at all; other batches than the run has read.
        """
        group: list[Window] = []
        index = -1
        for index, (batch, before) in enumerate(self._draw(run)):
            if index == run.last:
                _check_same(batch, index, run)
                self.generators.set_layers(run.generators)
            if index < run.batches:
                continue
            self._batch = (index, batch)
            for window in self._axes.windows(batch, *self._windows, padding=self._padding):
                if index == run.batches and window.stop <= run.step:
                    continue
                group.append(window if before is None else replace(window, generators_before=before))
                if len(group) == self._accumulate:
                    yield group
                    group = []
        if group:
            yield group
        self._batch = (-1, None)
        if index < max(0, run.last):
            fix = "pass an object whose __iter__ starts again" if run.epoch else "pass at least one batch"
            raise ValueError(
                f"data must give batches; got none in epoch {run.epoch}. Fix: {fix}."
                if index < 0
                else f"data must give more than {run.last} batches, where the saved run stood; got "
                f"{index + 1}. {FIX_DATA}"
            )

    def _draw(self, run: Run) -> Iterator[tuple[Batch, GeneratorStates | None]]:
        """Each batch, and the generators' states before it, where the data share a layer's generator."""
        batches = read_batches(self._data, self._axes, need_target=True)
        for index in itertools.count():
            # Dropout masks were drawn between the batches before, too.
            if index == run.last and run.generators_before is not None:
                self.generators.set_layers(run.generators_before)
            before = self.generators.get() if self.generators.shared_with_data else None
            batch = next(batches, None)
            if batch is None:
                return
            yield batch, before

    def checksum(self, run: Run) -> int | None:
        """Return the checksum of the batch that the run's last update read; None where that batch is gone."""
        index, batch = self._batch
        return run.checksum if batch is None or index != run.last else checksum(batch)


def read_batches(data: Iterable[Any], axes: ModelAxes, *, need_target: bool) -> Iterator[Batch]:
    """Batches in the model's order of axes. Objects of `bptt.data` give (T, B, ...) and say so: `time_first`.

    Raises
    ------
    TypeError, ValueError
        Data that are no iterable of batches.
    """
    check_iterable(data, "data")
    swap = axes.batch_first and getattr(data, "time_first", False)
    if swap and not hasattr(data, "per_step"):
        raise TypeError(
            f"data with time_first must have per_step, which says whether targets have a time axis; got "
            f"{type(data).__name__} without it. Fix: per_step = True, or False."
        )
    for item in data:
        batch = parse_batch(item, need_target=need_target)
        yield axes.with_batch_first(batch, per_step=data.per_step) if swap else batch  # type: ignore[attr-defined]


def carries_state(data: Iterable[Any], axes: ModelAxes) -> bool:
    """Whether each batch continues the rows of the batch before.

    Raises
    ------
    ValueError
        They do, and the model has a reverse direction.
    """
    carries = bool(getattr(data, "carries_state", False))
    if carries:
        axes.refuse_bidirectional("data that carries state")
    return carries


def checksum(batch: Batch) -> int:
    """A checksum of everything in a batch."""
    total = 0
    for entry in fields(batch):
        array = getattr(batch, entry.name)
        if array is not None:
            total = zlib.crc32(f"{entry.name} {array.dtype} {array.shape}".encode(), total)
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return total


def _check_same(batch: Batch, index: int, run: Run) -> None:
    if run.checksum is not None and checksum(batch) != run.checksum:
        raise ValueError(
            f"data must give the same batches as in the saved run; got another batch {index} of epoch "
            f"{run.epoch}. Fix: pass the data of the saved run; a seed or state_dict must fix their order."
        )
