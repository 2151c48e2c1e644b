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

_PER_UPDATE: dict[str, type[np.generic]] = {
    "loss": np.float64,
    "grad_norm": np.float64,
    "clipped": np.bool_,
    "lr": np.float64,
    "epoch": np.int64,
}
_PER_VALIDATION: dict[str, type[np.generic]] = {"validation_loss": np.float64, "validation_step": np.int64}


class History(Mapping[str, npt.NDArray[Any]]):
    """A mapping from names to arrays; `len(history["loss"])` updates were made.

    Per update: `loss` of that batch or window, `grad_norm`, `clipped`, `lr` and `epoch` (from 0). `grad_norm`
    is the 2-norm of the whole gradient before clipping; it is not finite if the gradient was not. `clipped`
    is True where clipping changed the gradient. Per validation: `validation_loss`, `validation_step`, and one
    column for each metric, such as `validation_accuracy`. `validation_step` is the number of updates made
    before.

    Parameters
    ----------
    metrics : iterable of str
        Names of the trainer's metrics.
    """

    def __init__(self, metrics: Iterable[str] = ()) -> None:
        columns = (*_PER_UPDATE, *_PER_VALIDATION, *(f"validation_{name}" for name in metrics))
        # Eight bytes a number: a long run makes millions.
        self._columns = {name: array("d") for name in columns}

    def add(self, update: Update) -> None:
        """Append one update."""
        for name in _PER_UPDATE:
            self._columns[name].append(getattr(update, name))

    def add_validation(self, loss: float, **metrics: float) -> None:
        """Append what one validation found, after the updates so far."""
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
        """Drop rows that were appended since then, parts of rows included."""
        for name, column in self._columns.items():
            del column[updates if name in _PER_UPDATE else validations :]

    def validation(self) -> dict[str, float]:
        """The last one: `validation_loss` and those of metrics."""
        validations = (name for name in self._columns if name not in (*_PER_UPDATE, "validation_step"))
        return {name: self._columns[name][-1] for name in validations}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        dtypes = {**_PER_UPDATE, **_PER_VALIDATION}
        # A copy of the column: training in another thread could not append to one that NumPy reads.
        return np.array(self._columns[name][:], dtype=dtypes.get(name, np.float64))

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists of Python numbers under the same names, for `json.dump` and the like."""
        return {name: values.tolist() for name, values in self.items()}

    def to_pandas(self) -> Any:
        """One table: a row per update, and what validation found in the row of the update before it.

        Returns
        -------
        pandas.DataFrame
            Its index "update" counts from 1, as `validation_step` does; columns `loss`, `grad_norm`,
            `clipped`, `lr`, `epoch`, `validation_loss` and those of metrics, which are NaN where nothing was
            validated.

        Raises
        ------
        ImportError
            Without pandas.
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

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw loss, gradient norm and learning rate, one above the other, over updates.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Write the picture there, as its ending says: .png or .svg.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError, OSError
            No update to draw; a path with another ending; a file that cannot be written.
        """
        from bptt.diagnose.pictures.history import plot_history

        return plot_history(self, path)

    def __repr__(self) -> str:
        updates, loss = len(self._columns["loss"]), self._columns["loss"]
        validations = self._columns["validation_loss"]
        last = f", last loss {loss[-1]:.4g}" if loss else ""
        valid = f", last validation loss {validations[-1]:.4g}" if validations else ""
        return f"History({quantity(updates, 'update')}{last}{valid})"
