"""Models of whole sequences: their data, classes and scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.cli.models.judging import Figures, measure
from bptt.cli.models.sequence_files import Data, Numbers
from bptt.cli.options import CommandError
from bptt.data import Ragged, Standardize
from bptt.data.preprocessing import preprocessing_of
from bptt.files.checkpoint import Saved
from bptt.losses import CrossEntropy, Loss, MeanSquaredError
from bptt.metrics import MAE, RMSE, Accuracy, Metric

AT_ONCE = 512
"""Batch size of predictions. The bits of a row do not depend on the batch size."""


@dataclass(frozen=True)
class Task:
    """Target of a sequence: one of `classes`, or numbers scaled by `target_scaling`.

    `naive` is the prediction of a baseline that ignores the sequence: the index of the most frequent class,
    or the mean.
    """

    scaling: Standardize
    classes: list[int] | None
    target_scaling: Standardize | None
    naive: int | list[float]

    @classmethod
    def of(cls, training: Data, classes: Numbers) -> Task:
        """Return the task for a training part. `classes` are the classes of all parts."""
        scaling = Standardize.fit(training.x)
        if training.classified:
            counts = [int(np.count_nonzero(training.y == label)) for label in classes]
            return cls(scaling, classes.tolist(), None, int(np.argmax(counts)))
        target_scaling = Standardize.fit(training.y)
        return cls(scaling, None, target_scaling, target_scaling.mean.tolist())

    @property
    def outputs(self) -> int:
        """Number of outputs of the network."""
        return len(self.classes) if self.classes is not None else len(self._numbers.mean)

    @property
    def loss(self) -> Loss:
        """The training loss."""
        return MeanSquaredError() if self.classes is None else CrossEntropy()

    @property
    def metrics(self) -> tuple[type[Metric], ...]:
        """The evaluation metrics, most important first."""
        return (RMSE, MAE) if self.classes is None else (Accuracy,)

    @property
    def _numbers(self) -> Standardize:
        if self.target_scaling is None:
            raise ValueError("numbers need a scale")
        return self.target_scaling

    def batches(self, data: Data, batch_size: int, **order: Any) -> Ragged:
        """Return scaled batches for the Trainer. `order` holds arguments of `Ragged`."""
        targets = self._numbers.apply(data.y) if self.classes is None else self._indices(data.y)
        return Ragged([self.scaling.apply(x) for x in data.x], list(targets), batch_size=batch_size, **order)

    def check_x(self, x: list[Numbers], ndim: int, path: Path) -> None:
        """Raise CommandError if sequences have another width than in training. `ndim` is that of the file."""
        features = len(self.scaling.mean)
        if x[0].shape[1] != features:
            fix = "pass data with the same features"
            if {len(sequence) for sequence in x} == {features}:
                fix = f"save {'x.swapaxes(1, 2)' if ndim == 3 else 'x[:, None]'}"
            raise CommandError(
                f"{path}: x must have {features} values per step, as in training; got {x[0].shape[1]}."
                f" Fix: {fix}."
            )

    def check(self, data: Data, path: Path) -> None:
        """Raise CommandError if the data differ in kind from the training data of the model."""
        self.check_x(data.x, len(data.shape), path)
        if data.classified != (self.classes is not None):
            expected = "numbers" if self.classes is None else "classes, integers"
            raise CommandError(
                f"{path}: y must hold {expected}, as in training; got {data.y.dtype}. Fix: save y as"
                " in training."
            )
        if self.classes is None and data.y.shape[1] != self.outputs:
            raise CommandError(
                f"{path}: y must have {self.outputs} columns, as in training; got {data.y.shape[1]}. Fix:"
                " save y as in training."
            )
        unknown = [] if self.classes is None else sorted({*data.y.tolist()} - {*self.classes})
        if unknown:
            raise CommandError(
                f"{path}: y must hold classes of the training data; got the class {unknown[0]}. Fix: leave"
                " such sequences out, or train on all classes."
            )

    def predict(self, model: bptt.Module, x: list[Numbers]) -> dict[str, Numbers]:
        """Return predictions for sequences that `check_x` accepts.

        Returns
        -------
        dict
            `y`: the most probable class of each sequence (N,), with the probabilities (N, C) of the `classes`
            (C,). Or the predicted numbers, (N,) or (N, K), in the units of the training data.
        """
        outputs = np.empty((len(x), self.outputs))
        # The targets are the positions of the sequences: batches have another order.
        scaled = [self.scaling.apply(sequence) for sequence in x]
        for batch, rows, lengths in Ragged(scaled, list(range(len(x))), batch_size=AT_ONCE):
            outputs[rows] = model(batch, lengths=lengths)[0]  # type: ignore[call-arg]
        if self.classes is None:
            y = self._numbers.undo(outputs)
            return {"y": y[:, 0] if self.outputs == 1 else y}
        mass = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        classes = np.asarray(self.classes)
        probabilities = mass / mass.sum(axis=1, keepdims=True)
        return {"y": classes[outputs.argmax(axis=1)], "probabilities": probabilities, "classes": classes}

    def judge(self, model: bptt.Module, data: Data) -> Figures:
        """Measure the model and the baseline on data that `check` accepts."""

        def batches() -> Iterator[tuple[dict[str, Numbers], Numbers]]:
            for x, target, lengths in self.batches(data, AT_ONCE, seed=0):
                y: Numbers = model(x, lengths=lengths)[0]  # type: ignore[call-arg]
                if self.classes is None:
                    mean = np.broadcast_to(np.asarray(self.naive), y.shape)
                    yield {"model": self._numbers.undo(y), "mean": mean}, self._numbers.undo(target)
                else:
                    most = np.arange(len(self.classes)) == self.naive
                    yield {"model": y, "most frequent class": np.tile(most * 1.0, (len(y), 1))}, target

        several = self.classes is None and self.outputs > 1
        columns = [f"y[{k}]" for k in range(self.outputs)] if several else ["y"]
        return measure(batches(), columns, self.metrics)

    def _indices(self, y: Numbers) -> npt.NDArray[np.int64]:
        return np.searchsorted(np.asarray(self.classes), y)

    @property
    def preprocessing(self) -> dict[str, Standardize]:
        """The preprocessing in the model file."""
        targets = {} if self.target_scaling is None else {"y": self.target_scaling}
        return {"x": self.scaling, **targets}

    def about(self) -> dict[str, Any]:
        """Return extra values of the model file, as JSON values."""
        return {"sequences": {"classes": self.classes, "naive": self.naive}}


def of(saved: Saved) -> tuple[bptt.Module, Task] | None:
    """Return the model and its task; None if it is not a model of sequences."""
    about, model = saved.extra.get("sequences"), saved.model
    if not isinstance(about, dict):
        return None
    try:
        scalings = preprocessing_of(saved)
        if not all(isinstance(scaling, Standardize) for scaling in scalings.values()):
            return None
        task = Task(**{**about, "scaling": scalings["x"], "target_scaling": scalings.get("y")})
        outputs = model(np.zeros((1, 1, len(task.scaling.mean))))[0]
        fits = outputs.shape == (1, task.outputs)
    except (LookupError, TypeError, ValueError):
        return None
    return (model, task) if fits else None
