"""Shared code of classifier and regressor: one target for each sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
)

from bptt.data.tables import check_unmasked
from bptt.estimators.base import SequenceEstimator
from bptt.estimators.sequences import Sequences, fit_scale, parse_sequences
from bptt.losses import Loss


class SupervisedEstimator(SequenceEstimator):
    """Base class of estimators with one target for each sequence."""

    mean_: npt.NDArray[Any]
    scale_: npt.NDArray[Any]

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        self._begin()
        sequences, values, weight = self._read(X, y, sample_weight, reset=True)
        self._learn_targets(values)
        training, held_out = self._split(values) if self.early_stopping else (np.arange(len(sequences)), None)
        self._start(sequences.take(training) if self.early_stopping else sequences, values[training])
        x, targets = sequences.scaled(self.mean_, self.scale_), self._targets(values)
        data, validation = x.batches(targets, self.batch_size, self._rng, weight), None
        if held_out is not None:
            data, validation = (
                x.take(rows).batches(
                    targets[rows], self.batch_size, rng, None if weight is None else weight[rows]
                )
                for rows, rng in ((training, self._rng), (held_out, None))
            )
        self._train(self._loss(), data, self.epochs, validation)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        first = not hasattr(self, "model_")
        if first:
            self._begin()
        sequences, values, weight = self._read(X, y, sample_weight, reset=first)
        if first:
            self._learn_targets(values)
            self._start(sequences, values)
        x, targets = sequences.scaled(self.mean_, self.scale_), self._targets(values)
        self._train(self._loss(), x.batches(targets, self.batch_size, self._rng, weight), 1)

    def _start(self, sequences: Sequences, values: npt.NDArray[Any]) -> None:
        """Learn the scales from the training part, and make a new network."""
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

    def _read(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[Sequences, npt.NDArray[Any], npt.NDArray[Any] | None]:
        """Return sequences, targets and weights. Sequences of weight 0 are left out."""
        sequences = parse_sequences(self, X, reset=reset)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        self._check_targets(y)
        values = self._parse_targets(check_array(y, ensure_2d=False, dtype=None, input_name="y"))
        check_consistent_length(range(len(sequences)), values)
        weight = self._weights(values, sample_weight)
        if weight is None:
            return sequences, values, None
        kept = np.flatnonzero(weight)
        if not len(kept):
            raise ValueError(
                "sample_weight must be above 0 for at least one sequence; got only zeros. "
                "Fix: leave sample_weight out, or correct class_weight."
            )
        if len(kept) < len(weight):
            sequences, values, weight = sequences.take(kept), values[kept], weight[kept]
        return sequences, values, weight

    def _weights(self, values: npt.NDArray[Any], sample_weight: Any) -> npt.NDArray[Any] | None:
        """Return one weight for each sequence; None if all are equal."""
        if sample_weight is None:
            return None
        check_unmasked(sample_weight, "sample_weight")
        parsed = _check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
        weights: npt.NDArray[Any] = parsed
        return weights

    def _scaled_outputs(self, X: Any) -> npt.NDArray[Any]:
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
        """Raise TypeError if scikit-learn would misread y."""

    @abstractmethod
    def _parse_targets(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Check y and return it as (n,) or (n, K)."""

    @abstractmethod
    def _learn_targets(self, values: npt.NDArray[Any]) -> None:
        """Learn the classes or the shape from all targets of `fit` or a first `partial_fit`."""

    @abstractmethod
    def _learn_scale(self, values: npt.NDArray[Any]) -> int:
        """Learn the scale from the targets of the training part. Return the number of outputs."""

    @abstractmethod
    def _targets(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert the targets for the loss."""

    @abstractmethod
    def _strata(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Return the classes whose proportions a split must keep; None if a split is not stratified."""

    @abstractmethod
    def _loss(self) -> Loss: ...
