"""Parse and check the series of a forecaster: one series or several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from bptt.arrays import as_real
from bptt.data.tables import check_one_series, check_plain, is_list_of_arrays
from bptt.estimators.sequences import (
    FLOATS,
    Numbers,
    check_channels,
    check_finite,
    check_labels,
    parse_list,
    rank,
    set_features,
    warn_if_transposed,
)
from bptt.estimators.tables import Roles, Shape, parse_roles, read_tables, shape_of


@dataclass(frozen=True)
class Form:
    """The form of the input series, which forecasts take, too.

    `many`: there is a list or an array of series. `flat`: a step is a number, not a row of numbers.
    """

    many: bool
    flat: bool

    def shaped(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Remove from values (n, H, F) the axes that the input series do not have."""
        if self.flat:
            values = values[..., 0]
        return values if self.many else values[0]


def parse_series(estimator: Any, X: Any, *, reset: bool) -> tuple[list[Numbers], Shape]:
    """Parse the argument X of `fit` as series (N_i, F). `reset` is as for `parse_sequences`.

    `reset` also sets `roles_`: the columns of a table that the parameters name, or None.
    """
    if reset:
        estimator.roles_ = parse_roles(estimator, X)
    if estimator.roles_ is not None:
        return _parse_tables(estimator, X, estimator.roles_, reset)
    series, form = _parse_values(estimator, X, reset=reset)
    return series, shape_of(X) or form


def _parse_tables(estimator: Any, X: Any, roles: Roles, reset: bool) -> tuple[list[Numbers], Shape]:
    series, form = read_tables(X, roles)
    if reset:
        estimator.n_channels_ = estimator.n_features_in_ = len(roles.inputs)
        estimator.feature_names_in_ = np.array(roles.inputs, object)
    return series, form or Form(many=True, flat=False)


def _parse_values(estimator: Any, X: Any, *, reset: bool) -> tuple[list[Numbers], Form]:
    """Parse series of which every column is forecast."""
    options: dict[str, Any] = {"dtype": FLOATS, "ensure_all_finite": False}
    check_plain(X, "X")
    # A sparse array in DOK format is a dict. scikit-learn raises an error below, as for all sparse arrays.
    if X is None or (isinstance(X, (Mapping, Iterator)) and not issparse(X)):
        raise TypeError(
            f"X must be a series or a list of series; got {type(X).__name__}. Fix: pass list(X), or "
            "list(X.values()) for a dict."
        )
    check_one_series(X, "X")
    fix, table = "X.T", False
    if is_list_of_arrays(X):
        series, form = parse_list(X, one_series=True), Form(many=True, flat=all(rank(row) == 1 for row in X))
        fix = "[x.T for x in X]"
    elif (ndim := rank(X)) == 1:
        if not reset and estimator.n_channels_ > 1:
            raise ValueError(
                f"X must have {estimator.n_channels_} values per step, as {type(estimator).__name__} was "
                f"fitted with; got a series (N,). Fix: Reshape your data to (N, {estimator.n_channels_})."
            )
        column = as_real(X, "X").reshape(-1, 1)
        if len(column) == 0:
            raise ValueError("X must have at least one step; got none. Fix: pass a longer series.")
        series, form = [check_finite(column.astype(np.float64), "X")], Form(many=False, flat=True)
    elif ndim == 3:
        array = check_finite(check_array(X, allow_nd=True, estimator=estimator, **options), "X")
        if 0 in array.shape:
            raise ValueError(
                f"X must have no empty axis; got shape {array.shape}. "
                "Fix: pass at least one step with one value."
            )
        series, form = list(array), Form(many=True, flat=False)
        fix = "X.transpose(0, 2, 1)"
    else:
        array = validate_data(estimator, X, reset=reset, **options)
        series, form, table = [check_finite(array, "X")], Form(many=False, flat=False), True
    channels = series[0].shape[1]
    if reset:
        estimator.n_channels_ = channels
        if not table:
            set_features(estimator, X, channels)
        warn_if_transposed(max(map(len, series)), channels, fix, stacklevel=5)
    else:
        check_labels(estimator, X)
    check_channels(estimator, channels, set(map(len, series)), fix)
    return series, form


def refuse_targets(estimator: Any, y: Any) -> None:
    """Raise ValueError if y is not None: the targets of a forecaster are the next values of X."""
    if y is None:
        return
    name = type(estimator).__name__
    raise ValueError(
        f"y must be None, because {name} forecasts the next values of X itself; got {type(y).__name__}. "
        f"Fix: call {name}(...).fit(X), with the values to forecast as columns of X. For one target per "
        "sequence, use SequenceRegressor."
    )


def check_steps(series: list[Numbers], window: int, steps: int, name: str = "X") -> None:
    """Raise ValueError if a series is too short for a window and the steps after it."""
    shortest = min(range(len(series)), key=lambda i: len(series[i]))
    if len(series[shortest]) < window + steps:
        label = f"series {shortest} of {name}" if len(series) > 1 else name
        raise ValueError(
            f"{label} must hold at least {window + steps} steps, a window of {window} and {steps} ahead; "
            f"got n_samples={len(series[shortest])}. Fix: pass a smaller window, or a longer series."
        )
