"""Models of whole sequences: their data, classes and scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.cli import npz
from bptt.cli.models.judging import Figures, measure
from bptt.cli.options import CommandError, note
from bptt.data import Ragged, Standardize
from bptt.files.checkpoint import Saved
from bptt.losses import CrossEntropy, Loss, MeanSquaredError
from bptt.metrics import MAE, RMSE, Accuracy, Metric

Numbers = npt.NDArray[Any]
AT_ONCE = 512
"""Batch size of predictions. The bits of a row do not depend on the batch size."""


@dataclass(frozen=True)
class Data:
    """Sequences x, each (T_i, F), and a target for each: classes (N,) of integers, or numbers (N, K).

    `shape` is the shape of the array x in the file.
    """

    x: list[Numbers]
    y: Numbers
    shape: tuple[int, ...]

    @property
    def classified(self) -> bool:
        """Whether the targets are classes."""
        return self.y.ndim == 1

    def take(self, rows: npt.NDArray[np.int64]) -> Data:
        """Return the sequences and targets at these rows."""
        return Data([self.x[row] for row in rows], self.y[rows], self.shape)


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

    def check(self, data: Data, path: Path) -> None:
        """Raise CommandError if the data differ in kind from the training data of the model."""
        features = len(self.scaling.mean)
        if data.x[0].shape[1] != features:
            fix = ""
            if {len(x) for x in data.x} == {features}:
                fix = f" Fix: save {'x.swapaxes(1, 2)' if len(data.shape) == 3 else 'x[:, None]'}."
            raise CommandError(
                f"{path}: x must have {features} values per step, as in training; got"
                f" {data.x[0].shape[1]}.{fix}"
            )
        if data.classified != (self.classes is not None):
            expected = "numbers" if self.classes is None else "classes, integers"
            raise CommandError(f"{path}: y must hold {expected}, as in training; got {data.y.dtype}")
        if self.classes is None and data.y.shape[1] != self.outputs:
            raise CommandError(
                f"{path}: y must have {self.outputs} columns, as in training; got {data.y.shape[1]}"
            )
        unknown = [] if self.classes is None else sorted({*data.y.tolist()} - {*self.classes})
        if unknown:
            raise CommandError(
                f"{path}: y must hold classes of the training data; got the class {unknown[0]}"
            )

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

    def about(self) -> dict[str, Any]:
        """Return extra values of the model file, as JSON values."""
        target_scaling = self.target_scaling
        return {
            "sequences": {
                "scaling": self.scaling.to_dict(),
                "classes": self.classes,
                "target_scaling": None if target_scaling is None else target_scaling.to_dict(),
                "naive": self.naive,
            }
        }


def of(saved: Saved) -> tuple[bptt.Module, Task] | None:
    """Return the model and its task; None if it is not a model of sequences."""
    about, model = saved.extra.get("sequences"), saved.model
    if not isinstance(about, dict):
        return None
    try:
        target_scaling = about["target_scaling"]
        task = Task(
            **{
                **about,
                "scaling": Standardize.from_dict(about["scaling"]),
                "target_scaling": None if target_scaling is None else Standardize.from_dict(target_scaling),
            }
        )
        outputs = model(np.zeros((1, 1, len(task.scaling.mean))))[0]
        fits = outputs.shape == (1, task.outputs)
    except (LookupError, TypeError, ValueError):
        return None
    return (model, task) if fits else None


def read(path: Path) -> Data:
    """Read the arrays x and y of an .npz file, and lengths if the file has lengths.

    Raises
    ------
    CommandError
        As `npz.read`. Or an array is missing, has the wrong type or shape, or is not finite.
    """
    arrays = npz.read(path)
    for name in ("x", "y"):
        if name not in arrays:
            raise CommandError(
                f"{path} must hold the arrays x and y; got {', '.join(arrays)[:80] or 'no array'}"
            )
    for name, array in arrays.items():
        if name in ("x", "y", "lengths") and array.dtype.kind not in "biuf":
            raise CommandError(f"{path}: {name} must be an array of numbers; got {array.dtype}")
    x, y = _sequences(path, arrays["x"], arrays.get("lengths")), arrays["y"]
    for n, sequence in enumerate(x):
        _check_finite(path, "x", sequence, (n,))
    _check_finite(path, "y", y, ())
    if y.dtype.kind == "f" and y.ndim == 1:
        y = y[:, None]
    if y.ndim != (2 if y.dtype.kind == "f" else 1):
        raise CommandError(
            f"{path}: y must be integers (N,) for classes, or floats (N,) or (N, K); got {y.dtype} {y.shape}"
        )
    if len(x) != len(y) or 0 in y.shape:
        raise CommandError(
            f"{path}: y must have a row for each of the {len(x)} sequences of x; got shape {y.shape}"
        )
    return Data(x, y if y.dtype.kind == "f" else y.astype(np.int64), arrays["x"].shape)


def _check_finite(path: Path, name: str, array: Numbers, position: tuple[int, ...]) -> None:
    """Raise CommandError for an entry that is not finite. `position` is the array's index in x or y."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        first = tuple(bad[0].tolist())
        raise CommandError(f"{path}: {name} must be finite; got {array[first]} at {(*position, *first)}")


def _sequences(path: Path, x: Numbers, lengths: Numbers | None) -> list[Numbers]:
    """Split x into sequences (T_i, F).

    x is padded at the end, (N, T) or (N, T, F), or concatenated, (sum of T_i, F).
    """
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise CommandError(f"{path}: x must be (N, T) or (N, T, F), none of them 0; got {x.shape}")
    if lengths is None:
        return list(x if x.ndim == 3 else x[:, :, None])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or lengths.min() < 1:
        raise CommandError(f"{path}: lengths must be integers (N,), each at least 1")
    # If all lengths are 1, x is padded sequences (N, T).
    if x.ndim == 2 and lengths.sum() == len(x) != len(lengths):
        return np.split(x, np.cumsum(lengths)[:-1])
    if len(lengths) != len(x) or lengths.max() > x.shape[1]:
        raise CommandError(
            f"{path}: lengths must have an entry for each sequence of x {x.shape}, none above {x.shape[1]};"
            f" got {len(lengths)}, up to {lengths.max()}, {lengths.sum()} steps in total"
        )
    padded = x if x.ndim == 3 else x[:, :, None]
    if lengths.max() == 1 < padded.shape[1]:
        advice = " If x is (N, features), one step per sequence, save x[:, None]." if x.ndim == 2 else ""
        note(
            f"{path}: all lengths are 1, so only the first of the {padded.shape[1]} steps of each sequence is"
            f" read.{advice}"
        )
    return [row[:length] for row, length in zip(padded, lengths.tolist(), strict=True)]
