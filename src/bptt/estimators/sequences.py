"""What estimators read: arrays of sequences of one length, lists of sequences of any; checked, as batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_array, validate_data

from bptt.arrays import as_real
from bptt.train.data import Ragged
from bptt.train.horizons import Rows
from bptt.train.scaling import Standardize, scaled

FLOATS = (np.float64, np.float32)
Numbers = npt.NDArray[Any]
Target = npt.NDArray[Any]


class Sequences(ABC):
    """Sequences of F values a step, one or many lengths."""

    channels: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, rows: npt.NDArray[np.int64]) -> Sequences:
        """Some of them."""

    @abstractmethod
    def steps(self) -> Numbers:
        """Every step of every sequence, (N, F)."""

    @abstractmethod
    def scaled(self, mean: Numbers, scale: Numbers) -> Sequences:
        """(x - mean) / scale, in float32."""

    @abstractmethod
    def batches(
        self, targets: Target, batch_size: int, rng: np.random.Generator | None = None
    ) -> Iterable[tuple[Any, ...]]:
        """`(x, target)` or `(x, target, lengths)`, time first; with `rng`, in a new order every pass."""


class Dense(Sequences):
    """Sequences of one length.

    Parameters
    ----------
    x : ndarray (n, T, F)
    """

    def __init__(self, x: Numbers) -> None:
        self.x = x
        self.channels = x.shape[2]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: npt.NDArray[np.int64]) -> Dense:
        return Dense(self.x[rows])

    def steps(self) -> Numbers:
        return self.x.reshape(-1, self.channels)

    def scaled(self, mean: Numbers, scale: Numbers) -> Dense:
        return Dense(scaled(self.x, mean, scale, "X"))

    def batches(
        self, targets: Target, batch_size: int, rng: np.random.Generator | None = None
    ) -> Iterable[tuple[Any, ...]]:
        return Rows(self.x, targets, batch_size, shuffle=rng is not None, seed=rng)


class Uneven(Sequences):
    """Sequences of many lengths.

    Parameters
    ----------
    rows : list of ndarray (T_i, F)
    """

    def __init__(self, rows: list[Numbers]) -> None:
        self.rows = rows
        self.channels = rows[0].shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: npt.NDArray[np.int64]) -> Uneven:
        return Uneven([self.rows[row] for row in rows])

    def steps(self) -> Numbers:
        return np.concatenate(self.rows)

    def scaled(self, mean: Numbers, scale: Numbers) -> Uneven:
        return Uneven([scaled(row, mean, scale, "X") for row in self.rows])

    def batches(
        self, targets: Target, batch_size: int, rng: np.random.Generator | None = None
    ) -> Iterable[tuple[Any, ...]]:
        return Ragged(self.rows, list(targets), batch_size, shuffle=rng is not None, seed=rng)


def read_sequences(estimator: Any, X: Any, *, reset: bool) -> Sequences:
    """X as `fit`, `partial_fit` and `predict` take it.

    `reset` sets `n_features_in_`, `n_channels_` and, of a table with named columns, `feature_names_in_`;
    otherwise X must agree with them.
    """
    if is_list_of_arrays(X):
        found = one_length(read_list(X))
        table = False
    else:
        found, table = _read_array(estimator, X, reset)
    if reset:
        estimator.n_channels_ = found.channels
        estimator._table = table
        if not table:
            forget_table(estimator, found.channels)
    check_channels(estimator, found.channels)
    return found


def is_list_of_arrays(X: Any) -> bool:
    """A list of arrays is read as sequences, one by one; so are nested lists that are not rectangular."""
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and X.size:
        return all(np.iterable(row) and not isinstance(row, (str, dict)) for row in X)
    if not isinstance(X, (list, tuple)) or not X:
        return False
    if any(isinstance(row, (list, tuple)) for row in X):
        lengths = {len(row) if isinstance(row, (list, tuple)) else -1 for row in X}
        return len(lengths) > 1
    return all(getattr(row, "ndim", 0) > 0 for row in X)


def rank(X: Any) -> int:
    """How many axes X has: of arrays, tables and sparse matrices, or of what becomes an array."""
    return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim


def read_list(X: Any) -> list[Numbers]:
    """Arrays (T_i,) or (T_i, F), as (T_i, F)."""
    rows: list[Numbers] = []
    for i, value in enumerate(X):
        name = f"X[{i}]"
        row = as_real(value, name)
        if row.ndim not in (1, 2):
            raise ValueError(
                f"{name} must have shape (T, F) or (T,); got {row.shape}. "
                "Fix: one row a step, one column a value."
            )
        if 0 in row.shape:
            raise ValueError(
                f"{name} must have at least one step and one value a step; got shape {row.shape}. "
                "Fix: leave such sequences out."
            )
        row = row.reshape(len(row), -1)
        if rows and row.shape[1] != rows[0].shape[1]:
            raise ValueError(
                f"{name} must have as many values a step as X[0], {rows[0].shape[1]}; got {row.shape[1]}. "
                "Fix: give all sequences the same columns."
            )
        rows.append(check_finite(row if row.dtype in FLOATS else row.astype(np.float64), name))
    return rows


def one_length(rows: list[Numbers]) -> Sequences:
    """The cheaper kind, where it fits."""
    return Dense(np.stack(rows)) if len({len(row) for row in rows}) == 1 else Uneven(rows)


def check_finite(array: Numbers, name: str) -> Numbers:
    """The array, or ValueError for one that holds a NaN or an infinity."""
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        came = "NaN" if np.isnan(array[at]) else "inf (infinity)"
        raise ValueError(
            f"{name} must hold finite numbers; got {came} at {at}. Fix: impute or leave out what is missing."
        )
    return array


def check_channels(estimator: Any, channels: int) -> None:
    """Raise ValueError unless there are as many values a step as in training."""
    if channels != estimator.n_channels_:
        raise ValueError(
            f"X must have {estimator.n_channels_} values a step, as {type(estimator).__name__} was fitted "
            f"with; got {channels}. Fix: give the same columns in the same order."
        )


def forget_table(estimator: Any, features: int) -> None:
    """`n_features_in_` of what is no table, whose columns have no names."""
    estimator.n_features_in_ = features
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def fit_scale(steps: Numbers, standardize: bool) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of each column, 1 where it is constant; (0, 1) without `standardize`."""
    if not standardize:
        return np.zeros(steps.shape[1]), np.ones(steps.shape[1])
    scaling = Standardize.of(steps)
    return scaling.mean, scaling.scale


def _read_array(estimator: Any, X: Any, reset: bool) -> tuple[Sequences, bool]:
    """The sequences, and whether they came as a table (n, T)."""
    ndim = rank(X)
    options: dict[str, Any] = {"dtype": FLOATS, "ensure_all_finite": False}
    if ndim > 3:
        raise ValueError(
            f"X must have shape (n, T) or (n, T, F), or be a list of arrays; got {ndim} axes. "
            "Fix: join the axes of a step's values."
        )
    if ndim == 3:
        array = check_array(X, allow_nd=True, estimator=estimator, input_name="X", **options)
        if 0 in array.shape:
            raise ValueError(
                f"X must have at least one step and one value a step; got shape {array.shape}. "
                "Fix: T >= 1, F >= 1."
            )
    elif reset or estimator._table:
        array = validate_data(estimator, X, reset=reset, **options)[:, :, None]
    else:
        array = check_array(X, estimator=estimator, input_name="X", **options)[:, :, None]
    return Dense(check_finite(array, "X")), ndim != 3
