"""The next values of a series, and intervals for them."""

from __future__ import annotations

import warnings
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
from bptt.estimators.series import Form, check_steps, parse_series, refuse_targets

if TYPE_CHECKING:
    from typing_extensions import Self


class Forecaster(ForecastingNetwork):
    """
    Forecast the next `horizon` values of a series from its last `window` values, with intervals.

    A series is (N,), or (N, F) with F values per step. Rows are time, so `TimeSeriesSplit` can split a
    series. Many series are (n, N, F), or a list of arrays (N_i, F) or (N_i,) of equal or unequal lengths. One
    network learns from all series. With an int as `random_state`, results have the same bits for any number
    of threads.

    Parameters
    ----------
    horizon : int
        H: how many steps ahead.
    window : int
        How many steps the network sees. If the longest series is too short, the window shrinks, with a
        warning.
    strategy : {"direct", "recursive"}
        "direct": the network outputs all H steps. "recursive": the network outputs only the next step. This
        step is appended to the window to forecast the step after.
    coverage : float or None
        In (0, 1), with "recursive" up to 0.999: fraction of future values that `predict_interval` should
        hold. The network learns quantiles, and `predict` returns medians. None: the network learns means, by
        the squared error, and there are no intervals.
    cell, hidden_size, num_layers, bidirectional, dropout, epochs, batch_size, lr, clip, n_iter_no_change, \
random_state, verbose
        As for `SequenceClassifier`.
    standardize : bool
        True: series are shifted and scaled to mean 0 and standard deviation 1, by column, as the training
        data were. Forecasts are scaled back.
    early_stopping : bool
        True: the last part of each series is set aside, training ends when its loss no longer falls, and the
        parameters of the best epoch are kept. No target in that part is trained on, and no scale learned
        from it.
    validation_fraction : float
        Of `early_stopping`, in (0, 1): the fraction set aside.

    Attributes
    ----------
    model_ : bptt.Sequential
        The network; it reads scaled windows (window, B, F).
    mean_, scale_ : ndarray (F,)
        Of the training data, by column; 0 and 1 without `standardize`.
    window_ : int
        The window in use.
    n_features_in_, n_channels_ : int
        F.
    feature_names_in_ : ndarray (F,)
        Names of the columns, where the series had names.
    n_iter_, loss_curve_, validation_loss_curve_
        As for `SequenceClassifier`.

    Raises
    ------
    TypeError, ValueError
        From `fit`: a parameter has the wrong type or is out of range. X is none of the above, not longer
        than the horizon, a table of several series below each other or of dates in another order, or holds
        NaN or infinities. One of many series is shorter than window and horizon together. y is not None.
    bptt.NonFiniteError
        From `fit`: training diverged.

    Notes
    -----
    The intervals of "direct" are quantiles that the network has for each step. Those of "recursive" are
    quantiles of drawn futures: each step's value is drawn from a distribution, columns independently, and
    appended to the window. The distribution has 13 learned quantiles, from 1% to 99%, and exponential tails
    beyond them. The number of drawn futures grows with `coverage`, from 200 to 8,000.

    Quantiles: Koenker and Bassett (1978), Regression quantiles; by recurrent networks, direct: Wen, Torkkola,
    Narayanaswamy and Madeka (2017), A multi-horizon quantile recurrent forecaster; drawn futures: Salinas,
    Flunkert and Gasthaus (2017), DeepAR.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.estimators import Forecaster
    >>> series = np.sin(np.arange(400) / 5)
    >>> forecaster = Forecaster(horizon=10, window=20, random_state=0).fit(series)
    >>> bool(np.abs(forecaster.predict() - np.sin(np.arange(400, 410) / 5)).max() < 0.3)
    True
    """

    def __init__(
        self,
        *,
        horizon: int = 1,
        window: int = 20,
        strategy: str = "direct",
        coverage: float | None = 0.9,
        cell: str = "lstm",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
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

    def fit(self, X: Any, y: Any = None) -> Self:
        """
        Train a new network.

        Parameters
        ----------
        X : array-like (N,), (N, F) or (n, N, F), or list of array-likes (N_i, F) or (N_i,)
            The series.
        y : None
            A forecaster has no other targets than the next values of X.

        Returns
        -------
        self
        """
        refuse_targets(self, y)
        self._begin()
        series, form = parse_series(self, X, reset=True)
        seen = self._first_parts(series) if self.early_stopping else series
        self._start(seen)
        data = self._windows(seen, shuffle=True)
        validation = None
        if self.early_stopping:
            later = [whole[len(part) - self._plan.window :] for whole, part in zip(series, seen, strict=True)]
            validation = self._windows(later)
        self._train(self._loss(), data, self.epochs, validation)
        self._keep_ends(series, form)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """
        One more epoch, over these series. The first call on a new estimator fixes the scales. No window
        reaches back into the series of an earlier call.

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
        self._keep_ends(series, form)
        return self

    def predict(self, X: Any = None) -> npt.NDArray[np.float64]:
        """
        The H values that follow: medians, or means where `coverage` is None.

        Parameters
        ----------
        X : optional
            As for `fit`, at least `window` steps. Default: the series that was last trained on.

        Returns
        -------
        ndarray
            (H,) after a series (N,), (H, F) after (N, F), (n, H, F) after many, (n, H) after a list of
            (N_i,).

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `fit` for X.
        """
        ends, form = self._ends(X)
        return form.shaped(self._unscaled(self._points(ends)))

    def predict_interval(self, X: Any = None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """
        Bounds between which each of the H values that follow lies with a probability of `coverage`.

        Parameters
        ----------
        X : optional
            As for `predict`.

        Returns
        -------
        lower, upper : ndarray
            Each of the shape of `predict`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `predict`; `coverage` was None.
        """
        ends, form = self._ends(X)
        if self._plan.coverage is None:
            raise ValueError(
                "coverage must be a number in (0, 1) for intervals; got None. Fix: coverage=0.9, and fit."
            )
        lower, upper = self._bounds(ends)
        return form.shaped(self._unscaled(lower)), form.shaped(self._unscaled(upper))

    def score(self, X: Any, y: Any = None) -> float:
        """
        R^2 of the forecasts from every window of X that the next H values follow, mean over columns.

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
        truth = windows.targets().reshape(-1, self.n_channels_)
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
                f'{self._plan.coverage}. Fix: strategy="direct".'
            )
        self._path_seed = int(self._rng.integers(2**31))

    def _start(self, series: list[npt.NDArray[Any]]) -> None:
        name = "X without the part set aside" if self.early_stopping else "X"
        longest = max(map(len, series)) - self._plan.steps
        if 0 < longest < self._plan.window:
            warnings.warn(
                f"{name} has fewer steps than a window of {self._plan.window} and {self._plan.steps} ahead; "
                f"the window is {longest}.",
                stacklevel=3,
            )
            self._plan = replace(self._plan, window=longest)
        check_steps(series, self._plan.window if longest > 0 else 1, self._plan.steps, name)
        self.window_ = self._plan.window
        self.mean_, self.scale_ = fit_scale(np.concatenate(series), self.standardize)
        self._build(self._plan.steps * self.n_channels_ * max(1, len(self._plan.levels)))

    def _first_parts(self, series: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Of each series, all but the fraction set aside, at least `horizon` steps."""
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
            window=self._plan.window,
            horizon=steps,
            batch_size=self.batch_size,
            shuffle=shuffle,
            seed=self._rng if shuffle else 0,
        )

    def _keep_ends(self, series: list[npt.NDArray[Any]], form: Form) -> None:
        self._last = np.stack([part[-self._plan.window :] for part in series]), form

    def _ends(self, X: Any) -> tuple[npt.NDArray[Any], Form]:
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
