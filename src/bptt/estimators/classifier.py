"""A class for each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from bptt.data.tables import check_unmasked
from bptt.estimators.supervised import SupervisedEstimator
from bptt.losses import CrossEntropy, Loss

if TYPE_CHECKING:
    from typing_extensions import Self


class SequenceClassifier(ClassifierMixin, SupervisedEstimator):
    """
    Classify sequences: a recurrent network, the last step of its outputs, and a softmax over the classes.

    X is a table (n, T) of n series with one value per step, or an array (n, T, F). X may also be a list of
    arrays (T_i, F) or (T_i,) of unequal lengths. With an int as `random_state`, results have the same bits
    for any number of threads.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn", "mgu"}
        Kind of the recurrent layers.
    hidden_size : int
        H of each layer.
    num_layers : int
        Layers on top of each other.
    bidirectional : bool
        True: a second direction reads from the end; each one's last output is used.
    dropout : float
        In [0, 1): fraction of outputs dropped in training, between layers and after the last.
    epochs : int
        Passes over the data in `fit`, at most.
    batch_size : int
        Sequences of one update.
    lr : float
        Learning rate of Adam.
    clip : float or None
        Largest 2-norm of the gradient. None: not clipped.
    standardize : bool
        True: X is shifted and scaled to mean 0 and standard deviation 1, by channel, as the training data
        were.
    early_stopping : bool
        True: a part of the data is set aside, training ends when its loss no longer falls, and the
        parameters of the best epoch are kept. Nothing else is learned from that part, scales included.
    validation_fraction : float
        Of `early_stopping`, in (0, 1): the fraction set aside. It keeps the classes' proportions if there is
        enough of each class.
    n_iter_no_change : int
        Of `early_stopping`: how many epochs in a row may fail to improve.
    random_state : int, numpy.random.RandomState or None
        Of initial parameters, shuffling, dropout and the part set aside.
    verbose : bool
        True: a progress bar.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    model_ : bptt.Sequential
        The network; it reads scaled sequences (T, B, F).
    mean_, scale_ : ndarray (F,)
        Of the training data, by channel; 0 and 1 without `standardize`.
    n_features_in_ : int
        T of a table (n, T), F of anything else.
    n_channels_ : int
        F; of a table, 1.
    feature_names_in_ : ndarray (n_features_in_,)
        Names of the columns, where the table had names.
    n_iter_ : int
        Epochs made.
    loss_curve_ : list of float
        Mean loss of each epoch's updates, in nats.
    validation_loss_curve_ : list of float
        Of `early_stopping`: the loss of the part set aside, after each epoch.

    Raises
    ------
    TypeError, ValueError
        From `fit`: a parameter has the wrong type or is out of range. X or y is none of the above, is empty,
        or holds NaN or infinities.
    bptt.NonFiniteError
        From `fit`: training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.estimators import SequenceClassifier
    >>> X = [np.full((length, 1), length % 2) for length in range(3, 40)]
    >>> y = ["odd" if len(x) % 2 else "even" for x in X]
    >>> SequenceClassifier(hidden_size=4, epochs=30, random_state=0).fit(X, y).score(X, y)
    1.0
    """

    classes_: npt.NDArray[Any]

    def fit(self, X: Any, y: Any) -> Self:
        """
        Train a new network.

        Parameters
        ----------
        X : array-like (n, T) or (n, T, F), or list of array-likes (T_i, F) or (T_i,)
        y : array-like (n,)
            Classes: ints or strings.

        Returns
        -------
        self
        """
        self._given_classes: npt.NDArray[Any] | None = None
        self._fit(X, y)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """
        One more epoch, over these data. The first call on a new estimator fixes classes and scales.

        Parameters
        ----------
        X, y
            As for `fit`.
        classes : array-like (n_classes,), optional
            All classes there will be: must be given to the first call.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`; no `classes` in the first call, or others later; classes in y that are not among them.
        """
        first = not hasattr(self, "model_")
        given = None if classes is None else np.unique(column_or_1d(classes))
        if first and given is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit; got none. "
                "Fix: classes=np.unique(y)."
            )
        if not first and given is not None and not np.array_equal(given, self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}; got {given}. "
                "Fix: leave classes out."
            )
        self._given_classes = given
        self._partial_fit(X, y)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """
        Probabilities (n, n_classes), in the order of `classes_`.

        Parameters
        ----------
        X
            As for `fit`: of the same number of values a step; a table, of as many columns.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            As `fit` for X.
        """
        proba: npt.NDArray[np.float64] = np.exp(self.predict_log_proba(X))
        proba /= proba.sum(axis=1, keepdims=True)
        return proba

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """The logarithms of `predict_proba`, which do not underflow."""
        y = self._predicted(X).astype(np.float64)
        y -= y.max(axis=1, keepdims=True)
        log_p: npt.NDArray[np.float64] = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
        return log_p

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable class of each sequence, (n,). X and errors as for `predict_proba`."""
        best = self._predicted(X).argmax(axis=1)
        classes: npt.NDArray[Any] = self.classes_[best]
        return classes

    def _check_targets(self, y: Any) -> None:
        check_unmasked(y, "y")

    def _parse_targets(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        check_classification_targets(y)
        column: npt.NDArray[Any] = column_or_1d(y, warn=True)
        return column

    def _learn_targets(self, values: npt.NDArray[Any]) -> None:
        self.classes_ = np.unique(values) if self._given_classes is None else self._given_classes

    def _learn_scale(self, values: npt.NDArray[Any]) -> int:
        return len(self.classes_)

    def _targets(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        unknown = ~np.isin(values, self.classes_)
        if unknown.any():
            raise ValueError(
                f"y must hold classes among {self.classes_}; got {values[unknown][0]!r}. "
                "Fix: name all classes in the first call to partial_fit."
            )
        return np.searchsorted(self.classes_, values)

    def _strata(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        _, counts = np.unique(values, return_counts=True)
        fewest = min(self.validation_fraction, 1 - self.validation_fraction) * len(values)
        return values if counts.min() > 1 and fewest >= len(counts) else None

    def _loss(self) -> Loss:
        return CrossEntropy()
