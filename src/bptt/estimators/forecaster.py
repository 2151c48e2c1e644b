"""Forecast the next values of a series, with prediction intervals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from bptt.arguments import choice, real, size
from bptt.data.horizons import Horizons
from bptt.data.scaling import scaled
from bptt.estimators.futures import ForecastingNetwork
from bptt.estimators.plan import LARGEST_DRAWN_COVERAGE, Plan
from bptt.estimators.sequences import fit_scale
from bptt.estimators.series import check_steps, parse_series, refuse_targets
from bptt.estimators.tables import Roles, Shape

if TYPE_CHECKING:
    from typing_extensions import Self


class Forecaster(ForecastingNetwork):
    """Forecast the next `horizon` values of a series from its last `window` values, with intervals.

    A series is (N,), or (N, F) with F values per step. Rows are time steps, so `TimeSeriesSplit` can split a
    series. For a table of pandas or polars, forecasts are a table with the next times. Several series are
    (n, N, F), or a list of arrays (N_i, F) or (N_i,) of equal or unequal lengths. One network learns from all
    series. With an int as `random_state`, results have the same bits for any number of threads.

    Parameters
    ----------
    horizon : int
        H: number of steps to forecast.
    window : int
        Number of steps that the network reads. If the longest series is too short, the window is shortened,
        with a warning.
    strategy : {"direct", "recursive"}
        "direct": the network outputs all H steps. "recursive": the network outputs only the next step. This
        step is appended to the window to forecast the step after.
    coverage : float or None
        Fraction of future values inside the intervals of `predict_interval`, in (0, 1), with "recursive" at
        most 0.999. The network learns quantiles, and `predict` returns medians. None: the network learns
        means, with the squared error, and there are no intervals.
    target : str or list of str, optional
        Columns of a table to forecast. Default: all columns.
    exogenous : str or list of str, optional
        Columns of a table that the network reads, but does not forecast. Default: all other columns; pass []
        to read only the targets. Future values are unknown, so `strategy` must be "direct".
    time : str, optional
        Column of a table that holds the times of the rows. Default: an index of dates.
    group : str, optional
        Column of a table that tells the series of a panel from each other, such as a store. No window reaches
        from one series into the next, and each series is forecast.
    cell, hidden_size, num_layers, bidirectional, dropout, precision, epochs, batch_size, lr, clip, \
n_iter_no_change, random_state, verbose
        As for `SequenceClassifier`.
    standardize : bool
        Whether to standardize each column of the series to mean 0 and standard deviation 1, with the mean and
        scale of the training data. Forecasts are scaled back.
    early_stopping : bool
        Whether to set the last part of each series aside for validation, stop when its loss no longer falls,
        and restore the parameters of the best epoch. The validation part gives no training targets and no
        scales.
    validation_fraction : float
        Fraction of each series in the validation part for `early_stopping`, in (0, 1).

    Attributes
    ----------
    model_ : bptt.Sequential
        The network. It reads scaled windows (window, B, F).
    mean_, scale_ : ndarray (F,)
        Mean and scale of each column of the training data; 0 and 1 without `standardize`.
    window_ : int
        Number of steps that the network reads.
    n_features_in_, n_channels_ : int
        F.
    n_targets_ : int
        K: number of columns that are forecast.
    feature_names_in_ : ndarray (F,)
        Names of the columns, if the series have names.
    n_iter_, loss_curve_, validation_loss_curve_
        As for `SequenceClassifier`.

    Raises
    ------
    TypeError, ValueError
        From `fit`: a parameter has the wrong type or is out of range. X has another form, is not longer than
        the horizon, or holds NaN or infinities. X is a table of several series below each other, or its dates
        are not in order. One of several series is shorter than window + horizon. y is not None.
    bptt.NonFiniteError
        From `fit`: training diverged.

    Notes
    -----
    With "direct", the intervals are quantiles that the network outputs for each step. With "recursive", they
    are quantiles of drawn futures: the value of each step is drawn from a distribution, independently for
    each column, and appended to the window. The distribution has 13 learned quantiles, from 1% to 99%, and
    exponential tails beyond them. The number of drawn futures grows with `coverage`, from 200 to 8,000.

    References
    ----------
    Quantiles: Koenker and Bassett (1978), Regression quantiles. Direct quantile forecasts with recurrent
    networks: Wen, Torkkola, Narayanaswamy and Madeka (2017), A multi-horizon quantile recurrent forecaster.
    Drawn futures: Salinas, Flunkert and Gasthaus (2017), DeepAR.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.estimators import Forecaster
    >>> series = np.sin(np.arange(400) / 5)
    >>> forecaster = Forecaster(horizon=10, window=20, epochs=5, random_state=0).fit(series)
    >>> bool(np.abs(forecaster.predict() - np.sin(np.arange(400, 410) / 5)).max() < 0.3)
    True
    """

    roles_: Roles | None

    def __init__(
        self,
        *,
        horizon: int = 1,
        window: int = 20,
        strategy: str = "direct",
        coverage: float | None = 0.9,
        target: str | Sequence[str] | None = None,
        exogenous: str | Sequence[str] | None = None,
        time: str | None = None,
        group: str | None = None,
        cell: str = "lstm",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        precision: str = "highest",
        epochs: int = 50,
        batch_size: int = 32,
        lr: float = 5e-3,
        clip: float | None = 1.0,
        standardize: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            cell,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            precision=precision,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            clip=clip,
            standardize=standardize,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            verbose=verbose,
        )
        self.horizon = horizon
        self.window = window
        self.strategy = strategy
        self.coverage = coverage
        self.target = target
        self.exogenous = exogenous
        self.time = time
        self.group = group

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array-like (N,), (N, F) or (n, N, F), or list of array-likes (N_i, F) or (N_i,)
            The series.
        y : None
            Must be None: the targets of a forecaster are the next values of X.

        Returns
        -------
        self
        """
        refuse_targets(self, y)
        self._begin()
        series, form = parse_series(self, X, reset=True)
        training = self._first_parts(series) if self.early_stopping else series
        self._start(training)
        data = self._windows(training, shuffle=True)
        validation = None
        if self.early_stopping:
            window = self._plan.window
            later = [whole[len(part) - window :] for whole, part in zip(series, training, strict=True)]
            validation = self._windows(later)
        self._train(self._loss(), data, self.epochs, validation)
        self._store_ends(series, form)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch on these series. The first call on a new estimator fixes the scales.

        No window reaches back into the series of an earlier call.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        """
        refuse_targets(self, y)
        first = not hasattr(self, "model_")
        if first:
            self._begin()
        series, form = parse_series(self, X, reset=first)
        if first:
            self._start(series)
        self._train(self._loss(), self._windows(series, shuffle=True), 1)
        self._store_ends(series, form)
        return self

    def predict(self, X: Any = None) -> Any:
        """Forecast the next H values: medians, or means if `coverage` is None.

        Parameters
        ----------
        X : optional
            As for `fit`, with at least `window` steps. Default: the series of the last training.

        Returns
        -------
        ndarray or table
            (H,) for a series (N,), (H, K) for (N, F), (n, H, K) for several series, (n, H) for a list of
            series (N_i,). A pandas Series or table of pandas or polars for one of these: its index, or its
            column `time`, has the next H times at the usual step. A panel has H rows for each group.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `fit` for X.
        """
        ends, form = self._ends(X)
        return form.shaped(self._unscaled(self._points(ends)))

    def predict_interval(self, X: Any = None) -> tuple[Any, Any]:
        """Forecast intervals: each of the next H values is inside with probability `coverage`.

        Parameters
        ----------
        X : optional
            As for `predict`.

        Returns
        -------
        lower, upper : ndarray or table
            Bounds of the intervals, each in the shape of `predict`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `predict`, or `coverage` was None in `fit`.
        """
        ends, form = self._ends(X)
        if self._plan.coverage is None:
            raise ValueError(
                "coverage must be a number in (0, 1) for intervals; got None. "
                "Fix: set coverage=0.9 and call fit."
            )
        lower, upper = self._bounds(ends)
        return form.shaped(self._unscaled(lower)), form.shaped(self._unscaled(upper))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the R^2 of the forecasts from every window of X that H values follow, mean over columns.

        Parameters
        ----------
        X, y
            As for `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `fit` for X.
        """
        check_is_fitted(self)
        refuse_targets(self, y)
        series, _ = parse_series(self, X, reset=False)
        windows = self._windows(series, self._plan.horizon)
        truth = windows.targets().reshape(-1, self.n_targets_)
        return float(r2_score(truth, self._points(windows.inputs()).reshape(truth.shape)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # Training

    def _begin(self) -> None:
        super()._begin()
        self._plan = Plan(
            size(self.horizon, "horizon"),
            size(self.window, "window"),
            choice(self.strategy, "strategy", ("direct", "recursive")),
            None if self.coverage is None else real(self.coverage, "coverage", 0.0, 1.0, above=True),
        )
        if self._plan.strategy == "recursive" and (self._plan.coverage or 0) > LARGEST_DRAWN_COVERAGE:
            raise ValueError(
                f'coverage must be at most {LARGEST_DRAWN_COVERAGE} with strategy="recursive"; got '
                f'{self._plan.coverage}. Fix: pass strategy="direct".'
            )
        self._path_seed = int(self._rng.integers(2**31))

    def _start(self, series: list[npt.NDArray[Any]]) -> None:
        name = "X without its validation part" if self.early_stopping else "X"
        longest = max(map(len, series)) - self._plan.steps
        if 0 < longest < self._plan.window:
            warnings.warn(
                f"{name} has fewer steps than a window of {self._plan.window} and {self._plan.steps} ahead; "
                f"the window is shortened to {longest}.",
                stacklevel=3,
            )
            self._plan = replace(self._plan, window=longest)
        check_steps(series, self._plan.window if longest > 0 else 1, self._plan.steps, name)
        self.window_ = self._plan.window
        self.mean_, self.scale_ = fit_scale(np.concatenate(series), self.standardize)
        roles = self.roles_
        self.n_targets_ = self.n_channels_ if roles is None else len(roles.targets)
        if self._plan.strategy == "recursive" and self.n_targets_ < self.n_channels_:
            raise ValueError(
                'strategy must be "direct" if there are exogenous columns, whose future is unknown; got '
                f'"recursive" with {roles.exogenous if roles else []!r:.90}. Fix: pass strategy="direct", '
                "or exogenous=[]."
            )
        self._build(self._plan.steps * self.n_targets_ * max(1, len(self._plan.levels)))

    def _first_parts(self, series: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Return each series without its validation part, which has at least as many steps as a target."""
        return [
            part[: max(0, len(part) - max(self._plan.steps, round(len(part) * self.validation_fraction)))]
            for part in series
        ]

    def _windows(
        self, series: list[npt.NDArray[Any]], steps: int | None = None, *, shuffle: bool = False
    ) -> Horizons:
        steps = steps or self._plan.steps
        check_steps(series, self._plan.window, steps)
        parts = [scaled(part, self.mean_, self.scale_, "X") for part in series]
        return Horizons(
            parts,
            target=[part[:, : self.n_targets_] for part in parts],
            window=self._plan.window,
            horizon=steps,
            batch_size=self.batch_size,
            shuffle=shuffle,
            seed=self._rng if shuffle else 0,
        )

    def _store_ends(self, series: list[npt.NDArray[Any]], form: Shape) -> None:
        self._last = np.stack([part[-self._plan.window :] for part in series]), form

    def _ends(self, X: Any) -> tuple[npt.NDArray[Any], Shape]:
        check_is_fitted(self)
        if X is None:
            ends, form = self._last
        else:
            series, form = parse_series(self, X, reset=False)
            shortest = min(map(len, series))
            if shortest < self._plan.window:
                raise ValueError(
                    f"X must hold at least window = {self._plan.window} steps; got n_samples={shortest}. "
                    "Fix: pass a longer series."
                )
            ends = np.stack([part[-self._plan.window :] for part in series])
        return scaled(ends, self.mean_, self.scale_, "X"), form
