"""The training data of a run: batches in their order, cut into windows and grouped into updates."""

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
    Window,
    batch_count,
    check_iterable,
    is_restorable,
    parse_batch,
)
from bptt.data.model_axes import ModelAxes
from bptt.data.order import FIX_DATA, check_data, data_state, load_data
from bptt.layers import Module
from bptt.layers.containers.inputs import arrays_of
from bptt.train.generators import Generators, GeneratorStates
from bptt.train.passes import Passes
from bptt.train.run import Run


class Feed:
    """Read the training data of one `fit`, from the position of the run.

    Parameters
    ----------
    model : Module
        The model in training. The generators of its layers are saved with the generators of the data.
    passes : Passes
        Axes of the model's data, and the length of a window.
    data : iterable of batches
    validation : iterable of batches or None
        `Feed` never reads these data. It only saves and restores the position of their random order.
    epochs : int
        How often `data` and `validation` are read.
    accumulate : int
        Windows per update.
    padding : bool
        Whether windows that only hold padding are kept.

    Attributes
    ----------
    carries : bool
        Whether each batch continues the rows of the previous batch.

    Raises
    ------
    TypeError, ValueError
        `data` or `validation` is not an iterable of batches. Or the data carry the state from batch to batch
        and the model is bidirectional.
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
        """Number of batches per epoch; None if the data have no length."""
        return batch_count(self._data)

    def complete(self, run: Run) -> bool:
        """Return whether the run has read all batches of its epoch. False if the data have no length."""
        return self.batches is not None and run.batches >= self.batches

    def state(self) -> dict[str, Any]:
        """Return the states of data and validation data at the start of an epoch, for `Run`."""
        return {"data": data_state(self._data), "validation": data_state(self._validation)}

    def resume(self, run: Run) -> None:
        """Restore the states of data, validation data and generators at the start of the run's epoch.

        Warn if the data cannot be restored.

        Raises
        ------
        ValueError
            The data differ from the data of the run.
        """
        check_data(self._data, run.data, "data")
        check_data(self._validation, run.validation, "validation")
        self.generators = self.generators.replace(run.generators)
        if self._validation is not self._data:
            load_data(self._validation, run.validation, "validation")
        # Restore the data last: the validation data may use the same generator.
        load_data(self._data, run.data, "data")
        if not is_restorable(self._data):
            warnings.warn(
                f"data of type {type(self._data).__name__} cannot be restored to the position of the saved "
                "run: if they draw random numbers, the resumed run gets other batches. Fix: use "
                "bptt.data.Batches(make) with def make(epoch, rng), or define state_dict and "
                "load_state_dict.",
                UserWarning,
                stacklevel=3,  # the line that calls Trainer.fit
            )

    def groups(self, run: Run) -> Iterator[list[Window]]:
        """Yield the windows of each update that the run has not yet made in its current epoch.

        Batches that the run has already processed are read again and skipped. Then the layers' generators get
        their saved states, before the next batch is drawn.

        Raises
        ------
        TypeError, ValueError
            A batch does not fit the model, there is no batch, or the batches differ from those of the run.
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
                else f"data must give more than {run.last} batches, because the saved run has read them; got "
                f"{index + 1}. {FIX_DATA}"
            )

    def _draw(self, run: Run) -> Iterator[tuple[Batch, GeneratorStates | None]]:
        """Yield each batch and the generators' states before it, if the data share a layer's generator."""
        batches = read_batches(self._data, self._axes, need_target=True)
        for index in itertools.count():
            # Dropout masks were drawn between the earlier batches, too.
            if index == run.last and run.generators_before is not None:
                self.generators.set_layers(run.generators_before)
            before = self.generators.get() if self.generators.shared_with_data else None
            batch = next(batches, None)
            if batch is None:
                return
            yield batch, before

    def checksum(self, run: Run) -> int | None:
        """Return the checksum of the batch of the run's last update; None if the batch is gone."""
        index, batch = self._batch
        return run.checksum if batch is None or index != run.last else checksum(batch)


def read_batches(data: Iterable[Any], axes: ModelAxes, *, need_target: bool) -> Iterator[Batch]:
    """Yield batches in the model's order of axes.

    Objects of `bptt.data` always give (T, B, ...), and have the attribute `time_first`.

    Raises
    ------
    TypeError, ValueError
        `data` is not an iterable of batches.
    """
    check_iterable(data, "data")
    swap = axes.batch_first and getattr(data, "time_first", False)
    if swap and not hasattr(data, "per_step"):
        raise TypeError(
            "data with time_first must have an attribute per_step, True if targets have a time axis; got "
            f"{type(data).__name__} without per_step. Fix: set per_step to True or False."
        )
    for item in data:
        batch = parse_batch(item, need_target=need_target)
        yield axes.with_batch_first(batch, per_step=data.per_step) if swap else batch  # type: ignore[attr-defined]


def carries_state(data: Iterable[Any], axes: ModelAxes) -> bool:
    """Return whether each batch continues the rows of the previous batch.

    Raises
    ------
    ValueError
        The batches continue each other, and the model has a reverse direction.
    """
    carries = bool(getattr(data, "carries_state", False))
    if carries:
        axes.refuse_uncarried("data that carries state")
    return carries


def checksum(batch: Batch) -> int:
    """Return a checksum of all arrays of a batch."""
    total = 0
    for entry in fields(batch):
        for path, array in arrays_of(getattr(batch, entry.name)).items():
            if array is None:
                continue
            name = ".".join((entry.name, *path))
            total = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), total)
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return total


def _check_same(batch: Batch, index: int, run: Run) -> None:
    if run.checksum is not None and checksum(batch) != run.checksum:
        raise ValueError(
            f"data must give the same batches as in the saved run; got another batch {index} of epoch "
            f"{run.epoch}. Fix: pass the data of the saved run; a seed or state_dict must fix their order."
        )
