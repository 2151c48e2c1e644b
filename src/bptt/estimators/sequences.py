"""Parse and check the sequences of estimators: arrays of one length, and lists of any lengths."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_array, validate_data

from bptt.data.horizons import Rows
from bptt.data.ragged import Ragged
from bptt.data.scaling import Standardize, scaled
from bptt.data.tables import (
    check_columns,
    check_one_series,
    check_plain,
    common_labels,
    is_list_of_arrays,
    named,
    parse_real,
    width_error,
)

FLOATS = (np.float64, np.float32)
Numbers = npt.NDArray[Any]
Target = npt.NDArray[Any]


class Sequences(ABC):
    """Sequences with F values per step, of equal or unequal lengths."""

    channels: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, rows: npt.NDArray[np.int64]) -> Sequences:
        """Return the sequences at these rows."""

    @abstractmethod
    def steps(self) -> Numbers:
        """Return all steps of all sequences, (N, F)."""

    @abstractmethod
    def scaled(self, mean: Numbers, scale: Numbers) -> Sequences:
        """Return (x - mean) / scale in float32."""

    @abstractmethod
    def batches(
        self,
        targets: Target,
        batch_size: int,
        rng: np.random.Generator | None = None,
        weight: Numbers | None = None,
    ) -> Iterable[Any]:
        """Return batches `(x, target)` or `(x, target, lengths)`, time first; dicts if there are weights.

        With `rng`, every pass has a new random order.
        """


class Dense(Sequences):
    """Sequences of equal length.

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
        self,
        targets: Target,
        batch_size: int,
        rng: np.random.Generator | None = None,
        weight: Numbers | None = None,
    ) -> Iterable[Any]:
        return Rows(self.x, targets, batch_size=batch_size, weight=weight, shuffle=rng is not None, seed=rng)


class Uneven(Sequences):
    """Sequences of unequal lengths.

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
        self,
        targets: Target,
        batch_size: int,
        rng: np.random.Generator | None = None,
        weight: Numbers | None = None,
    ) -> Iterable[Any]:
        shuffled = rng is not None
        return Ragged(
            self.rows, list(targets), batch_size=batch_size, weight=weight, shuffle=shuffled, seed=rng
        )


def parse_sequences(estimator: Any, X: Any, *, reset: bool) -> Sequences:
    """Parse the argument X of `fit`, `partial_fit` and `predict`.

    `reset` sets `n_features_in_`, `n_channels_` and, for tables with named columns, `feature_names_in_`.
    Without `reset`, X must agree with these attributes.
    """
    check_plain(X, "X")
    sequences: Dense | Uneven
    fix, table = "X.transpose(0, 2, 1)", False
    if is_list_of_sequences(X):
        sequences = one_length(parse_list(X))
        fix = "[x.T for x in X]"
    else:
        sequences, table = _parse_array(estimator, X, reset)
    if reset:
        estimator.n_channels_ = sequences.channels
        estimator.fitted_on_table_ = table
        if not table:
            set_features(estimator, X, sequences.channels)
        if isinstance(sequences, Dense):
            warn_if_transposed(sequences.x.shape[1], sequences.channels, fix, stacklevel=6)
    elif not estimator.fitted_on_table_:
        check_labels(estimator, X)
    lengths = {sequences.x.shape[1]} if isinstance(sequences, Dense) else {len(row) for row in sequences.rows}
    check_channels(estimator, sequences.channels, lengths, fix)
    return sequences


def is_list_of_sequences(X: Any) -> bool:
    """Return whether X is a list of sequences: a list of arrays, or nested lists of unequal lengths.

    Nested lists of equal lengths are a table (n, T) or an array (n, T, F).
    """
    if not is_list_of_arrays(X):
        return False
    if isinstance(X, np.ndarray) or not any(isinstance(row, (list, tuple)) for row in X):
        return True
    return len({len(row) if isinstance(row, (list, tuple)) else -1 for row in X}) > 1


def rank(X: Any) -> int:
    """Return the number of axes of X: an array, a table, a sparse matrix, or nested lists."""
    return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim


def parse_list(X: Any, *, one_series: bool = False) -> list[Numbers]:
    """Parse a list of arrays (T_i,) or (T_i, F) as arrays (T_i, F).

    With `one_series`, raise ValueError for tables of several series below each other.
    """
    parts = named(X, "X")
    common_labels(parts)
    rows: list[Numbers] = []
    for name, value in parts:
        if one_series:
            check_one_series(value, name)
        row = parse_real(value, name)
        if row.ndim not in (1, 2):
            raise ValueError(
                f"{name} must have shape (T, F) or (T,); got {row.shape}. "
                "Fix: pass one row per step, one column per value."
            )
        if 0 in row.shape:
            raise ValueError(
                f"{name} must have at least one step and one value per step; got shape {row.shape}. "
                "Fix: leave empty sequences out."
            )
        row = row.reshape(len(row), -1)
        if rows and row.shape[1] != rows[0].shape[1]:
            raise width_error(name, "X[0]", row.shape, rows[0].shape, "X")
        rows.append(check_finite(row if row.dtype in FLOATS else row.astype(np.float64), name))
    return rows


def one_length(rows: list[Numbers]) -> Dense | Uneven:
    """Return `Dense` sequences if all lengths are equal, which is cheaper; otherwise `Uneven` sequences."""
    return Dense(np.stack(rows)) if len({len(row) for row in rows}) == 1 else Uneven(rows)


def check_finite(array: Numbers, name: str) -> Numbers:
    """Return the array; raise ValueError if the array holds a NaN or an infinity."""
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        actual = "NaN" if np.isnan(array[index]) else "inf (infinity)"
        raise ValueError(
            f"{name} must hold finite numbers; got {actual} at {index}. "
            "Fix: impute missing values, or leave them out."
        )
    return array


def check_channels(estimator: Any, channels: int, lengths: set[int], transpose: str) -> None:
    """Raise ValueError if the number of values per step differs from training.

    Parameters
    ----------
    lengths : set of int
        Lengths of the sequences. If all equal the number of channels in training, the axes are probably
        swapped.
    transpose : str
        Expression that swaps the axes, for the message.
    """
    if channels != estimator.n_channels_:
        swapped = channels > 1 and lengths == {estimator.n_channels_}
        fix = f"pass {transpose}" if swapped else "pass the same columns in the same order"
        raise ValueError(
            f"X must have {estimator.n_channels_} values per step, as {type(estimator).__name__} was fitted "
            f"with; got {channels}. Fix: {fix}."
        )


def set_features(estimator: Any, X: Any, features: int) -> None:
    """Set `n_features_in_`, and `feature_names_in_` if X is a list of tables with named columns."""
    estimator.n_features_in_ = features
    labels = common_labels(named(X, "X"))
    if labels is not None and all(isinstance(label, str) for label in labels):
        estimator.feature_names_in_ = np.array(labels, object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def check_labels(estimator: Any, X: Any) -> None:
    """Raise ValueError if a table of a list has other columns than the estimator was fitted with."""
    names = getattr(estimator, "feature_names_in_", None)
    for name, part in named(X, "X") if is_list_of_arrays(X) else []:
        check_columns(part, name, None if names is None else names.tolist(), "the data of the last fit")


def warn_if_transposed(steps: int, channels: int, fix: str, stacklevel: int) -> None:
    """Warn that the axes may be swapped, if there are fewer steps than channels."""
    if steps < channels:
        warnings.warn(
            f"X is read as sequences of {steps} steps with {channels} values per step. "
            f"If the axes are swapped and X has {steps} channels of {channels} steps, pass {fix}.",
            UserWarning,
            stacklevel=stacklevel,
        )


def fit_scale(steps: Numbers, standardize: bool) -> tuple[Numbers, Numbers]:
    """Return mean and scale of each column; 0 and 1 without `standardize`.

    The scale is the standard deviation, or 1 for a constant column.
    """
    if not standardize:
        return np.zeros(steps.shape[1]), np.ones(steps.shape[1])
    scaling = Standardize.fit(steps)
    return scaling.mean, scaling.scale


def _parse_array(estimator: Any, X: Any, reset: bool) -> tuple[Dense, bool]:
    """Return the sequences, and whether X is a table (n, T)."""
    ndim = rank(X)
    options: dict[str, Any] = {"dtype": FLOATS, "ensure_all_finite": False}
    if ndim > 3:
        raise ValueError(
            f"X must have shape (n, T) or (n, T, F), or be a list of arrays; got {ndim} axes. "
            "Fix: reshape the values of each step to one axis."
        )
    try:
        if ndim == 3:
            array = check_array(X, allow_nd=True, estimator=estimator, input_name="X", **options)
            if 0 in array.shape:
                raise ValueError(
                    f"X must have at least one step and one value per step; got shape {array.shape}. "
                    "Fix: pass an array with T >= 1 and F >= 1."
                )
        elif reset or estimator.fitted_on_table_:
            array = validate_data(estimator, X, reset=reset, **options)[:, :, None]
        else:
            array = check_array(X, estimator=estimator, input_name="X", **options)[:, :, None]
    except OverflowError as error:
        raise ValueError(
            f"X must hold numbers that float64 can hold; got: {error}. Fix: rescale X."
        ) from None
    return Dense(check_finite(array, "X")), ndim != 3
