"""Standardization of columns to mean 0 and standard deviation 1, and its inverse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import float_dtype, integer, quantity, short
from bptt.arrays import as_real, to_floats
from bptt.data.frames import check_names, is_frame, numbers
from bptt.data.tables import Label, check_columns, common_labels, named, parse_real, width_error

Numbers = npt.NDArray[Any]
FLOAT32 = np.dtype(np.float32)
EPSILON = float(np.finfo(np.float64).eps)
SQUARES_UNDERFLOW = 1e-150
"""Deviations below this lose digits when they are squared in float64."""


class Standardize:
    """Standardize columns: (x - mean) / scale. Learn mean and scale only from the training part.

    Parameters
    ----------
    mean, scale : array-like (F,)
        Mean and scale of each column; the scale is above 0.
    columns : sequence of str or int, optional
        Labels of the columns. Tables (DataFrames) with other columns, or another order of columns, are
        then refused.

    Attributes
    ----------
    mean, scale : ndarray of float64 (F,)
    columns : tuple of str or int, or None

    Raises
    ------
    TypeError, ValueError
        `mean` or `scale` does not hold real, finite numbers, has another shape than (F,), or a scale is not
        above 0. `columns` does not hold one label per column.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> training, validation, test = bptt.data.split(np.arange(100.0))
    >>> scaling = bptt.data.Standardize.fit(training)
    >>> scaling.mean
    array([39.5])
    >>> np.allclose(scaling.undo(scaling.apply(test)), test)
    True
    """

    def __init__(
        self, mean: npt.ArrayLike, scale: npt.ArrayLike, columns: Sequence[Label] | None = None
    ) -> None:
        self.mean = as_real(mean, "mean").astype(np.float64)
        self.scale = as_real(scale, "scale").astype(np.float64)
        if self.mean.ndim != 1 or self.scale.shape != self.mean.shape:
            raise ValueError(
                f"mean and scale must have one shape (F,); got {self.mean.shape} and {self.scale.shape}. "
                "Fix: pass one number for each column."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise ValueError(
                "mean and scale must be finite, and scale must be above 0; got other values. "
                "Fix: use Standardize.fit(training)."
            )
        self.columns = None if columns is None else _labels(columns, len(self.mean))

    @classmethod
    def fit(
        cls, values: npt.ArrayLike | Sequence[npt.ArrayLike], columns: Iterable[Label] | None = None
    ) -> Standardize:
        """Learn mean and standard deviation of each column. The scale of a constant column is 1.

        A column counts as constant if its values differ by no more than rounding in float64.

        Parameters
        ----------
        values : array-like (N,) or (..., F), table, or list of them
            Real numbers. A list of arrays is taken as one array of all their steps; a list of sequences
            (N_i,) is one column. Column labels of a table are kept.
        columns : iterable of str, optional
            Columns of a table of pandas or polars. Default: all columns.

        Raises
        ------
        TypeError, ValueError
            `values` does not hold real numbers, or holds no step. Arrays have different widths, or tables
            have different columns. A number is not finite, or too large to be squared.
        """
        arrays = named(values, "values")
        if columns is None:
            labels = common_labels(arrays)
        else:
            if not isinstance(columns, int) and not np.iterable(columns):
                raise TypeError(
                    f"columns must be a name or a list of names; got {short(columns)}. "
                    'Fix: pass columns=["a", "b"].'
                )
            labels = [columns] if isinstance(columns, (str, int)) else list(columns)
            arrays = [(name, _named_columns(part, labels, name)) for name, part in arrays]
        parts = [_columns(part, name) for name, part in arrays]
        for (name, _), part in zip(arrays, parts, strict=True):
            if part.shape[1] != parts[0].shape[1]:
                raise width_error(name, "values[0]", part.shape, parts[0].shape, "values")
        steps = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if len(steps) == 0:
            raise ValueError("values must hold at least one step; got none. Fix: pass the training part.")
        mean, scale = _moments(steps)
        wrong = np.flatnonzero(~(np.isfinite(mean) & np.isfinite(scale)))
        if len(wrong):
            first = labels[wrong[0]] if labels else int(wrong[0])
            raise ValueError(
                f"values must have a finite variance in every column; column {first!r} has none. "
                "Fix: fill or leave out missing values, and rescale huge values."
            )
        return cls(mean, scale, labels)

    def apply(self, x: npt.ArrayLike, dtype: str = "float32") -> Numbers:
        """Standardize x. The computation is in float64; the result has the type `dtype`.

        Parameters
        ----------
        x : array-like or table (..., F), or (N,) if F is 1
        dtype : {"float32", "float64"}

        Raises
        ------
        TypeError, ValueError
            `x` does not hold real numbers, or has another number of columns. It is a table with other columns
            or another order of columns. `dtype` cannot hold one of its values.
        """
        array = self._read(x, "x")
        F = len(self.mean)
        if array.ndim == 0 or (array.shape[-1] != F and not (F == 1 and array.ndim == 1)):
            raise ValueError(
                f"x must have {F} columns, like the data that the scale was learned from; got shape "
                f"{array.shape}. Fix: pass the same columns in the same order."
            )
        return scaled(array, self.mean, self.scale, "x", float_dtype(dtype))

    def undo(
        self, y: npt.ArrayLike, columns: Label | Iterable[Label] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return y * scale + mean in float64: the inverse of `apply`.

        Parameters
        ----------
        y : array-like or table
            (..., F), or with `columns` (..., K) or (..., horizon * K). Any shape if there is one column.
        columns : K labels or indices, optional
            The columns that y holds: the targets of a model. An int is always an index. In forecasts
            (..., horizon * K), the K columns of the first step come first, as in the targets of `Horizons`.
            Default: all F columns.

        Returns
        -------
        ndarray of float64
            The shape of y.

        Raises
        ------
        TypeError, ValueError
            `y` does not hold real numbers, its last axis has another size, or `columns` names an unknown
            column.
        """
        scaling = self if columns is None else self.take(columns)
        array = self._read(y, "y") if columns is None else parse_real(y, "y")
        K = len(scaling.mean)
        if K == 1:
            flat: npt.NDArray[np.float64] = np.multiply(array, scaling.scale[0], dtype=np.float64)
            flat += scaling.mean[0]
            return flat
        width = array.shape[-1] if array.ndim else 0
        if columns is None and width != K:
            raise ValueError(
                f"y must have {K} columns, like the data that the scale was learned from; got shape "
                f"{array.shape}. Fix: name the columns that y holds, undo(y, columns=...); pass "
                f"columns=range({K}) if y holds several steps of all columns."
            )
        if width == 0 or width % K:
            raise ValueError(
                f"y must have a last axis of {K} columns, or of horizon x {K}; got shape {array.shape}. "
                "Fix: name exactly the columns that y holds."
            )
        steps = array.reshape(*array.shape[:-1], width // K, K) * scaling.scale + scaling.mean
        values: npt.NDArray[np.float64] = steps.reshape(array.shape)
        return values

    def take(self, columns: Label | Iterable[Label]) -> Standardize:
        """Return the scaling of some columns, for instance of the targets.

        Parameters
        ----------
        columns : int or str, or iterable of them
            Indices, or str labels if the scaling was learned from a table. An int is always an index, even if
            the table's labels are numbers.

        Raises
        ------
        TypeError, ValueError
            There are no columns, a label is unknown or belongs to several columns, or an index is out of
            range.
        """
        labels_or_indices = (columns,) if isinstance(columns, (str, int, np.integer)) else columns
        indices = [self._index(column) for column in labels_or_indices]
        if not indices:
            raise ValueError("columns must name at least one column; got none. Fix: pass indices or labels.")
        labels = None if self.columns is None else [self.columns[i] for i in indices]
        return Standardize(self.mean[indices], self.scale[indices], labels)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return mean, scale and the labels of the columns, if there are any, as JSON values without loss."""
        arguments: dict[str, list[Any]] = {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        if self.columns is not None:
            arguments["columns"] = list(self.columns)
        return arguments

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Standardize:
        """Return the scaling that `to_dict` described.

        Raises
        ------
        TypeError, ValueError
            `values` is not what `to_dict` returns.
        """
        if not isinstance(values, Mapping) or set(values) - {"columns"} != {"mean", "scale"}:
            actual = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
            raise TypeError(
                f"values must be a mapping with mean, scale and perhaps columns; got {actual!s:.100}. "
                "Fix: pass what to_dict() returned."
            )
        return cls(**values)

    def _index(self, column: Label) -> int:
        if not isinstance(column, str):
            return integer(column, "each index in columns", -len(self.mean), len(self.mean) - 1)
        if self.columns is None:
            raise ValueError(
                f"columns must be indices, because the scaling has no column labels; got {column!r}. "
                "Fix: pass indices, or learn the scaling from a table."
            )
        if column not in self.columns:
            raise ValueError(
                f"columns must be among {list(self.columns)!s:.200}; got {column!r}. "
                "Fix: pass labels or indices."
            )
        if self.columns.count(column) > 1:
            raise ValueError(
                f"columns must name one column each; got {column!r}, the label of several columns. "
                "Fix: pass indices."
            )
        return self.columns.index(column)

    def _read(self, values: npt.ArrayLike, name: str) -> Numbers:
        check_columns(values, name, self.columns, "the data that the scale was learned from")
        return parse_real(values, name)

    def __repr__(self) -> str:
        return f"Standardize({quantity(len(self.mean), 'column')})"


def scaled(x: Numbers, mean: Numbers, scale: Numbers, name: str, dtype: np.dtype[Any] = FLOAT32) -> Numbers:
    """Return (x - mean) / scale as `dtype`, computed in float64. Error messages call x `name`."""
    return to_floats((x - mean) / scale, name, dtype)


def _named_columns(frame: Any, columns: Sequence[Label], name: str) -> Numbers:
    if not is_frame(frame):
        raise TypeError(
            f"{name} must be a table of pandas or polars if columns are named; got {short(frame)}. "
            "Fix: leave columns out, and pass an array of these columns."
        )
    check_names(frame, columns, "columns", name)
    return numbers(frame, columns, name)


def _labels(columns: Sequence[Label], count: int) -> tuple[Label, ...]:
    labels = tuple(columns)
    if isinstance(columns, str) or not all(isinstance(label, (str, int)) for label in labels):
        raise TypeError(
            f"columns must be a list of str or int; got {columns!r:.80}. Fix: pass list(frame.columns)."
        )
    if len(labels) != count:
        raise ValueError(
            f"columns must hold {count} labels, one for each column; got {len(labels)}. "
            "Fix: leave columns out, or pass one label for each mean."
        )
    return labels


def _columns(values: npt.ArrayLike, name: str) -> Numbers:
    """Reshape (..., F) to (N, F), and (N,) to (N, 1)."""
    array = parse_real(values, name)
    if array.ndim == 0 or (array.ndim > 1 and array.shape[-1] == 0):
        raise ValueError(
            f"{name} must have shape (N,) or (..., F), F >= 1; got {array.shape}. Fix: pass one row per step."
        )
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)


def _moments(steps: Numbers) -> tuple[Numbers, Numbers]:
    """Return mean and standard deviation of each column of (N, F); the latter is 1 for a constant."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = steps.mean(axis=0, dtype=np.float64)
        scale = steps.std(axis=0, dtype=np.float64)
    # Rounding changes the mean of N values by up to N epsilons. A small deviation may be only this error, and
    # squares of tiny deviations underflow. In these cases, use the differences to one value: they are exact.
    doubtful = scale <= np.maximum(100 * len(steps) * EPSILON * np.abs(mean), SQUARES_UNDERFLOW)
    for column in np.flatnonzero(doubtful):
        mean[column], scale[column] = _narrow_moments(steps[:, column].astype(np.float64))
    return mean, scale


def _narrow_moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation of values that are nearly or exactly equal."""
    first = values[0]
    differences = values - first
    largest = np.abs(differences).max()
    if largest == 0:
        return float(first), 1.0
    differences /= largest
    mean = first + largest * differences.mean()
    scale = largest * differences.std()
    return float(mean), float(scale) if scale > 10 * EPSILON * abs(mean) else 1.0
