"""History of a training run: one number per update and per validation, as arrays."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity
from bptt.optim.update import Update

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bptt.diagnose.pictures.sheets import SomeAxes

_PER_UPDATE: dict[str, type[np.generic]] = {
    "loss": np.float64,
    "grad_norm": np.float64,
    "clipped": np.bool_,
    "lr": np.float64,
    "epoch": np.int64,
}
_PER_VALIDATION: dict[str, type[np.generic]] = {"validation_loss": np.float64, "validation_step": np.int64}


class History(Mapping[str, npt.NDArray[Any]]):
    """A mapping from names to arrays. `len(history["loss"])` is the number of updates.

    Columns per update: `loss` of the batch or window, `grad_norm`, `clipped`, `lr` and `epoch` (from 0).
    `grad_norm` is the 2-norm of the whole gradient before clipping. A gradient with NaN or infinity has a
    norm that is not finite. `clipped` is True if clipping changed the gradient.

    Columns per validation: `validation_loss`, `validation_step`, and one column for each metric, such as
    `validation_accuracy`. `validation_step` is the number of updates before the validation.

    Parameters
    ----------
    metrics : iterable of str
        Names of the trainer's metrics.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> trainer = bptt.Trainer(bptt.GRU(3, 8), bptt.MeanSquaredError(), bptt.Adam(0.01))
    >>> history = trainer.fit(data, epochs=3)
    >>> list(history)
    ['loss', 'grad_norm', 'clipped', 'lr', 'epoch', 'validation_loss', 'validation_step']
    >>> history["lr"]
    array([0.01, 0.01, 0.01])
    """

    def __init__(self, metrics: Iterable[str] = ()) -> None:
        columns = (*_PER_UPDATE, *_PER_VALIDATION, *(f"validation_{name}" for name in metrics))
        # An array needs eight bytes per number, and a long run has millions of numbers.
        self._columns = {name: array("d") for name in columns}

    def add(self, update: Update) -> None:
        """Append one update."""
        for name in _PER_UPDATE:
            self._columns[name].append(getattr(update, name))

    def add_validation(self, loss: float, **metrics: float) -> None:
        """Append the loss and the metrics of a validation."""
        self._columns["validation_loss"].append(loss)
        self._columns["validation_step"].append(len(self._columns["loss"]))
        for name, value in metrics.items():
            self._columns[f"validation_{name}"].append(value)

    def columns(self, updates: int, validations: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return every column up to a number of updates and validations, for a file."""
        return {
            name: np.array(column[: updates if name in _PER_UPDATE else validations])
            for name, column in self._columns.items()
        }

    def load(self, columns: Mapping[str, npt.ArrayLike]) -> None:
        """Append saved columns."""
        for name, values in columns.items():
            self._columns.setdefault(name, array("d")).extend(np.asarray(values, np.float64).tolist())

    def cut(self, updates: int, validations: int) -> None:
        """Drop all rows, and parts of rows, after these numbers of updates and validations."""
        for name, column in self._columns.items():
            del column[updates if name in _PER_UPDATE else validations :]

    def validation(self) -> dict[str, float]:
        """Return the results of the last validation: `validation_loss` and the columns of the metrics."""
        validations = (name for name in self._columns if name not in (*_PER_UPDATE, "validation_step"))
        return {name: self._columns[name][-1] for name in validations}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        dtypes = {**_PER_UPDATE, **_PER_VALIDATION}
        # Copy the column: while NumPy reads an array, training in another thread cannot append to it.
        return np.array(self._columns[name][:], dtype=dtypes.get(name, np.float64))

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return lists of Python numbers under the same names, for example for `json.dump`."""
        return {name: values.tolist() for name, values in self.items()}

    def to_pandas(self) -> Any:
        """Return one table with a row per update.

        The results of a validation are in the row of the last update before the validation.

        Returns
        -------
        pandas.DataFrame
            The index "update" counts from 1, as `validation_step` does. The columns are `loss`, `grad_norm`,
            `clipped`, `lr`, `epoch`, `validation_loss` and one column per metric. Columns of validations are
            NaN in rows without a validation.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise ImportError("to_pandas needs pandas: pip install pandas") from None
        updates = {name: self[name] for name in _PER_UPDATE}
        index = pandas.RangeIndex(1, len(updates["loss"]) + 1, name="update")
        steps = self["validation_step"]
        metrics = {name: self[name] for name in self if name not in updates and name != "validation_step"}
        # Two validations without an update in between: the later one counts.
        last = np.flatnonzero(np.append(np.diff(steps) != 0, True)) if steps.size else steps
        validations = {
            name: pandas.Series(values[last], steps[last]).reindex(index) for name, values in metrics.items()
        }
        return pandas.DataFrame(updates, index=index).assign(**validations)

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: SomeAxes | None = None) -> Figure:
        """Plot loss, gradient norm and learning rate over updates, one above the other.

        Parameters
        ----------
        path : str or os.PathLike, optional
            File for the picture. The suffix sets the format: .png or .svg.
        ax : matplotlib.axes.Axes or sequence of three of them, optional
            Where to draw. A single Axes shows the loss only. Default: a new figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed.
        TypeError, ValueError, OSError
            There is no update, `path` has another suffix, or the file cannot be written.
        """
        from bptt.diagnose.pictures.history import plot_history

        return plot_history(self, path, ax)

    def _repr_html_(self) -> str:
        from bptt.diagnose.pictures.report import history_html

        return history_html(self, repr(self))

    def __repr__(self) -> str:
        updates, loss = len(self._columns["loss"]), self._columns["loss"]
        validations = self._columns["validation_loss"]
        last = f", last loss {loss[-1]:.4g}" if loss else ""
        valid = f", last validation loss {validations[-1]:.4g}" if validations else ""
        return f"History({quantity(updates, 'update')}{last}{valid})"
