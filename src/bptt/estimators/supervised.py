"""One target for each sequence: what classifier and regressor share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from bptt.estimators.base import SequenceEstimator
from bptt.estimators.sequences import Sequences, fit_scale, parse_sequences
from bptt.losses import Loss


class SupervisedEstimator(SequenceEstimator):
    """Sequences, and a target for each."""

    mean_: npt.NDArray[Any]
    scale_: npt.NDArray[Any]

    def _fit(self, X: Any, y: Any) -> None:
        self._begin()
        sequences, values = self._read(X, y, reset=True)
        self._learn_targets(values)
        parts = self._split(values) if self.early_stopping else (np.arange(len(sequences)), None)
        self._start(sequences.take(parts[0]) if self.early_stopping else sequences, values[parts[0]])
        x, targets = sequences.scaled(self.mean_, self.scale_), self._targets(values)
        data, validation = x.batches(targets, self.batch_size, self._rng), None
        if parts[1] is not None:
            data = x.take(parts[0]).batches(targets[parts[0]], self.batch_size, self._rng)
            validation = x.take(parts[1]).batches(targets[parts[1]], self.batch_size)
        self._train(self._loss(), data, self.epochs, validation)

    def _partial_fit(self, X: Any, y: Any) -> None:
        first = not hasattr(self, "model_")
        if first:
            self._begin()
        sequences, values = self._read(X, y, reset=first)
        if first:
            self._learn_targets(values)
            self._start(sequences, values)
        x, targets = sequences.scaled(self.mean_, self.scale_), self._targets(values)
        self._train(self._loss(), x.batches(targets, self.batch_size, self._rng), 1)

    def _start(self, sequences: Sequences, values: npt.NDArray[Any]) -> None:
        """Scales, from the training part, and a new network."""
        self.mean_, self.scale_ = fit_scale(sequences.steps(), self.standardize)
        self._build(self._learn_scale(values))

    def _split(self, values: npt.NDArray[Any]) -> list[npt.NDArray[np.int64]]:
        seed = int(self._rng.integers(2**31))
        parts: list[npt.NDArray[np.int64]] = train_test_split(
            np.arange(len(values)),
            test_size=self.validation_fraction,
            random_state=seed,
            stratify=self._strata(values),
        )
        return parts

    def _read(self, X: Any, y: Any, reset: bool) -> tuple[Sequences, npt.NDArray[Any]]:
        sequences = parse_sequences(self, X, reset=reset)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        self._check_targets(y)
        values = self._parse_targets(check_array(y, ensure_2d=False, dtype=None, input_name="y"))
        check_consistent_length(range(len(sequences)), values)
        return sequences, values

    def _predicted(self, X: Any) -> npt.NDArray[Any]:
        check_is_fitted(self)
        sequences = parse_sequences(self, X, reset=False)
        return self._outputs(sequences.scaled(self.mean_, self.scale_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        return tags

    @abstractmethod
    def _check_targets(self, y: Any) -> None:
        """Raise TypeError for a y that scikit-learn would misread."""

    @abstractmethod
    def _parse_targets(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """y checked, (n,) or (n, K)."""

    @abstractmethod
    def _learn_targets(self, values: npt.NDArray[Any]) -> None:
        """What `fit`, or a first `partial_fit`, learns of the targets as a whole."""

    @abstractmethod
    def _learn_scale(self, values: npt.NDArray[Any]) -> int:
        """What is learned of the training part's targets, and how many outputs they need."""

    @abstractmethod
    def _targets(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Targets as the loss takes them."""

    @abstractmethod
    def _strata(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Classes whose proportions a split keeps."""

    @abstractmethod
    def _loss(self) -> Loss: ...
