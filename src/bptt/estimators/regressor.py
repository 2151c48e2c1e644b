"""Predict one or more numbers for each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import MultiOutputMixin, RegressorMixin

from bptt.data.scaling import scaled
from bptt.data.tables import check_plain
from bptt.estimators.sequences import check_finite, fit_scale
from bptt.estimators.supervised import SupervisedEstimator
from bptt.losses import Loss, MeanSquaredError

if TYPE_CHECKING:
    from typing_extensions import Self


class SequenceRegressor(MultiOutputMixin, RegressorMixin, SupervisedEstimator):
    """Predict numbers with a recurrent network and a linear layer on its output at the last step.

    X is a table (n, T) of n series with one value per step, or an array (n, T, F). X may also be a list of
    arrays (T_i, F) or (T_i,) of unequal lengths. y is (n,) or (n, K). With an int as `random_state`, results
    have the same bits for any number of threads.

    Parameters
    ----------
    cell, hidden_size, num_layers, bidirectional, dropout, precision, epochs, batch_size, lr, clip, \
early_stopping, validation_fraction, n_iter_no_change, random_state, verbose
        As for `SequenceClassifier`, except that the loss is the mean squared error of scaled targets, and the
        validation part is drawn from all sequences.
    standardize : bool
        Whether to standardize each channel of X and each column of y to mean 0 and standard deviation 1, with
        the mean and scale of the training data. Predictions are scaled back.

    Attributes
    ----------
    model_, mean_, scale_, n_features_in_, n_channels_, feature_names_in_, n_iter_, loss_curve_, \
validation_loss_curve_
        As for `SequenceClassifier`. Losses are squared errors of the scaled targets.
    target_mean_, target_scale_ : ndarray (K,)
        Mean and scale of each column of y in the training data; 0 and 1 without `standardize`.

    Raises
    ------
    TypeError, ValueError
        From `fit`: a parameter has the wrong type or is out of range. X or y has another form, is empty, or
        holds NaN or infinities.
    bptt.NonFiniteError
        From `fit`: training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.estimators import SequenceRegressor
    >>> X = np.random.default_rng(0).standard_normal((200, 8))
    >>> SequenceRegressor(hidden_size=8, random_state=0).fit(X, X.mean(axis=1)).score(X, X.mean(axis=1)) > 0.9
    True
    """

    target_mean_: npt.NDArray[Any]
    target_scale_: npt.NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array-like (n, T) or (n, T, F), or list of array-likes (T_i, F) or (T_i,)
        y : array-like (n,) or (n, K)
        sample_weight : array-like (n,), optional
            Weight of each sequence in the loss, at least 0.

        Returns
        -------
        self
        """
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch on these data. The first call on a new estimator fixes the scales.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`, or y has another number of columns than before.
        """
        self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return predictions (n,) or (n, K), in the shape of y in `fit`.

        Parameters
        ----------
        X
            As for `fit`, with the same number of values per step. A table must have the same number of
            columns.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `fit` for X.
        """
        y: npt.NDArray[np.float64] = self._scaled_outputs(X) * self.target_scale_ + self.target_mean_
        return y[:, 0] if self._flat else y

    def _check_targets(self, y: Any) -> None:
        check_plain(y, "y")

    def _parse_targets(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if y.ndim not in (1, 2) or 0 in y.shape:
            raise ValueError(
                f"y must have shape (n,) or (n, K); got {y.shape}. Fix: pass one row for each sequence."
            )
        try:
            numbers = y.astype(np.float64, copy=False)
        except (TypeError, ValueError):
            raise ValueError(f"y must hold numbers; got dtype {y.dtype}. Fix: pass floats.") from None
        return check_finite(numbers, "y")

    def _learn_targets(self, values: npt.NDArray[Any]) -> None:
        self._flat = values.ndim == 1

    def _learn_scale(self, values: npt.NDArray[Any]) -> int:
        columns = values.reshape(len(values), -1)
        self.target_mean_, self.target_scale_ = fit_scale(columns, self.standardize)
        return columns.shape[1]

    def _targets(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        columns = values.reshape(len(values), -1)
        if columns.shape[1] != len(self.target_mean_):
            raise ValueError(
                f"y must have {len(self.target_mean_)} columns, as in the first call to partial_fit; got "
                f"{columns.shape[1]}. Fix: pass the same columns."
            )
        return scaled(columns, self.target_mean_, self.target_scale_, "y")

    def _strata(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        return None

    def _loss(self) -> Loss:
        return MeanSquaredError()
