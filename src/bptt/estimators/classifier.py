"""Classify sequences: one class per sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from bptt.arguments import choice, real, short
from bptt.data.tables import check_unmasked
from bptt.estimators.supervised import SupervisedEstimator
from bptt.losses import CrossEntropy, Loss

if TYPE_CHECKING:
    from typing_extensions import Self


class SequenceClassifier(ClassifierMixin, SupervisedEstimator):
    """Classify sequences with a recurrent network and a softmax over its output at the last step.

    X is a table (n, T) of n series with one value per step, or an array (n, T, F). X may also be a list of
    arrays (T_i, F) or (T_i,) of unequal lengths. With an int as `random_state`, results have the same bits
    for any number of threads.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn", "mgu"}
        Kind of the recurrent layers.
    hidden_size : int
        Number of hidden units of each layer and direction.
    num_layers : int
        Number of stacked recurrent layers.
    bidirectional : bool
        Whether a second direction reads from the end. The last output of each direction is used.
    dropout : float
        Fraction of outputs dropped in training, in [0, 1). Dropout acts between layers and after the last
        layer.
    precision : {"highest", "bfloat16"}
        "bfloat16": round the operands of products, for speed, as in `bptt.LSTM`.
    epochs : int
        Largest number of passes over the data in `fit`.
    batch_size : int
        Number of sequences per update.
    lr : float
        Learning rate of Adam.
    clip : float or None
        Largest 2-norm of the gradient. None: no clipping.
    standardize : bool
        Whether to standardize each channel of X to mean 0 and standard deviation 1, with the mean and scale
        of the training data.
    class_weight : dict, "balanced" or None
        Weight of each class in the loss, by class; 1 for classes that are missing. "balanced": n / (classes x
        number of sequences of the class), so that rare classes count as much as frequent ones. Weights of
        classes and of sequences (`sample_weight`) are multiplied.
    early_stopping : bool
        Whether to set a validation part aside, stop when its loss no longer falls, and restore the parameters
        of the best epoch. The validation part is used for nothing else, not even for scales.
    validation_fraction : float
        Fraction of sequences in the validation part for `early_stopping`, in (0, 1). The split keeps the
        proportions of the classes if each class has enough sequences.
    n_iter_no_change : int
        Number of epochs in a row without improvement after which `early_stopping` stops.
    random_state : int, numpy.random.RandomState or None
        Random seed of initial parameters, shuffling, dropout and the validation part.
    verbose : bool
        Whether to show a progress bar.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    model_ : bptt.Sequential
        The network. It reads scaled sequences (T, B, F).
    mean_, scale_ : ndarray (F,)
        Mean and scale of each channel of the training data; 0 and 1 without `standardize`.
    n_features_in_ : int
        T for a table (n, T), otherwise F.
    n_channels_ : int
        1 for a table (n, T), otherwise F.
    feature_names_in_ : ndarray (`n_features_in_`,)
        Names of the columns, if the table has names.
    n_iter_ : int
        Number of epochs trained.
    loss_curve_ : list of float
        Mean loss of the updates of each epoch, in nats.
    validation_loss_curve_ : list of float
        Loss of the validation part after each epoch, with `early_stopping`.

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
    >>> from bptt.estimators import SequenceClassifier
    >>> X = [np.full((length, 1), length % 2) for length in range(3, 40)]
    >>> y = ["odd" if len(x) % 2 else "even" for x in X]
    >>> SequenceClassifier(hidden_size=4, epochs=30, random_state=0).fit(X, y).score(X, y)
    1.0
    """

    classes_: npt.NDArray[Any]

    def __init__(
        self,
        cell: str = "lstm",
        *,
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
        class_weight: Mapping[Any, float] | str | None = None,
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
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array-like (n, T) or (n, T, F), or list of array-likes (T_i, F) or (T_i,)
        y : array-like (n,)
            Classes: ints or strings.
        sample_weight : array-like (n,), optional
            Weight of each sequence in the loss, at least 0.

        Returns
        -------
        self
        """
        self._all_classes: npt.NDArray[Any] | None = None
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch on these data. The first call fixes classes and scales.

        Parameters
        ----------
        X, y
            As for `fit`.
        classes : array-like (n_classes,), optional
            All classes that occur in this and later calls. Required in the first call.
        sample_weight : array-like (n,), optional
            Weight of each sequence in the loss, at least 0.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`. Or `classes` is missing in the first call, `classes` differs in a later call, or y has a
            class that is not in `classes`. Or `class_weight` is "balanced", which needs all data at once.
        """
        first = not hasattr(self, "model_")
        all_classes = None if classes is None else np.unique(column_or_1d(classes))
        if first and all_classes is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit; got none. "
                "Fix: pass classes=np.unique(y)."
            )
        if not first and all_classes is not None and not np.array_equal(all_classes, self.classes_):
            raise ValueError(
                f"classes must be the classes of the first call, {self.classes_}; got {all_classes}. "
                "Fix: leave classes out."
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight must be a dict or None for partial_fit; got {self.class_weight!r}. Fix: pass "
                'a dict of sklearn.utils.class_weight.compute_class_weight("balanced", classes=..., y=...).'
            )
        self._all_classes = self.classes_ if all_classes is None else all_classes
        self._partial_fit(X, y, sample_weight)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return probabilities (n, n_classes), in the order of `classes_`.

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
        proba: npt.NDArray[np.float64] = np.exp(self.predict_log_proba(X))
        proba /= proba.sum(axis=1, keepdims=True)
        return proba

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the logarithms of `predict_proba`, which do not underflow."""
        y = self._scaled_outputs(X).astype(np.float64)
        y -= y.max(axis=1, keepdims=True)
        log_p: npt.NDArray[np.float64] = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
        return log_p

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each sequence, (n,). X and errors as for `predict_proba`."""
        best = self._scaled_outputs(X).argmax(axis=1)
        classes: npt.NDArray[Any] = self.classes_[best]
        return classes

    def _check_targets(self, y: Any) -> None:
        check_unmasked(y, "y")

    def _parse_targets(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        check_classification_targets(y)
        column: npt.NDArray[Any] = column_or_1d(y, warn=True)
        return column

    def _learn_targets(self, values: npt.NDArray[Any]) -> None:
        self.classes_ = np.unique(values) if self._all_classes is None else self._all_classes

    def _learn_scale(self, values: npt.NDArray[Any]) -> int:
        return len(self.classes_)

    def _targets(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        unknown = ~np.isin(values, self.classes_)
        if unknown.any():
            raise ValueError(
                f"y must hold classes among {self.classes_}; got {values[unknown][0]!r}. "
                "Fix: pass all classes in the first call to partial_fit."
            )
        return np.searchsorted(self.classes_, values)

    def _weights(self, values: npt.NDArray[Any], sample_weight: Any) -> npt.NDArray[Any] | None:
        weights = super()._weights(values, sample_weight)
        if self.class_weight is None:
            return weights
        by_class = self._class_weights(values)
        return by_class if weights is None else by_class * weights

    def _class_weights(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the weight of each sequence's class."""
        given = self.class_weight
        if isinstance(given, str):
            choice(given, "class_weight", ("balanced",))
            balanced: npt.NDArray[Any] = compute_sample_weight(given, values)
            return balanced
        if not isinstance(given, Mapping):
            raise TypeError(
                f'class_weight must be a dict, "balanced" or None; got {short(given)} of type '
                f"{type(given).__name__}. Fix: pass a dict, with a weight for each class."
            )
        classes = np.unique(values) if self._all_classes is None else self._all_classes
        unknown = [label for label in given if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight must have classes of y as keys, {short(classes.tolist())}; got "
                f"{short(unknown[0])}. Fix: correct this key, or leave it out."
            )
        weights = {
            label: real(weight, f"class_weight[{label!r:.40}]", 0.0) for label, weight in given.items()
        }
        return np.array([weights.get(label, 1.0) for label in values.tolist()])

    def _strata(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        _, counts = np.unique(values, return_counts=True)
        fewest = min(self.validation_fraction, 1 - self.validation_fraction) * len(values)
        return values if counts.min() > 1 and fewest >= len(counts) else None

    def _loss(self) -> Loss:
        return CrossEntropy()
