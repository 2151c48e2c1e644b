"""Shared code of all estimators: the network, its training and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from bptt.arguments import choice, flag, real, size
from bptt.callbacks import EarlyStopping
from bptt.estimators.sequences import Sequences
from bptt.estimators.threads import share_cores
from bptt.layers import GRU, LSTM, MGU, RNN, Dropout, Ends, Last, Linear, Module, Sequential
from bptt.layers.passes.precision import OF_LAYERS
from bptt.losses import Loss
from bptt.optim import Adam, ClipNorm
from bptt.train import Trainer

CELLS: dict[str, Callable[..., Module]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN, "mgu": MGU}
PREDICTED_AT_ONCE = 512
"""Batch size of predictions. The bits of a row do not depend on the batch size."""


class SequenceEstimator(BaseEstimator):
    """Base class with parameters, network and training. Subclasses define targets and loss."""

    fitted_on_table_: bool
    _rng: np.random.Generator
    n_features_in_: int
    n_channels_: int
    n_iter_: int
    loss_curve_: list[float]

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
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.precision = precision
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.clip = clip
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _begin(self) -> None:
        """Check the parameters that the layers do not check, and seed the random generator."""
        size(self.epochs, "epochs")
        size(self.batch_size, "batch_size")
        flag(self.standardize, "standardize")
        if flag(self.early_stopping, "early_stopping"):
            real(self.validation_fraction, "validation_fraction", 0.0, 1.0, above=True)
        self._rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        if hasattr(self, "model_"):
            del self.model_  # if this fit fails, the estimator must not keep the old network
        self.n_iter_ = 0
        self.loss_curve_ = []
        if hasattr(self, "validation_loss_curve_"):
            del self.validation_loss_curve_

    def _build(self, outputs: int) -> None:
        """Make a new network and its optimizer."""
        kind = CELLS[choice(self.cell, "cell", tuple(CELLS))]
        precision = choice(self.precision, "precision", OF_LAYERS)
        recurrent = kind(
            self.n_channels_,
            self.hidden_size,
            self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout if self.num_layers > 1 else 0.0,
            precision=precision,
            seed=self._rng,
        )
        width = self.hidden_size * (2 if self.bidirectional else 1)
        drop = [Dropout(self.dropout, seed=self._rng)] if self.dropout else []
        last = Ends() if self.bidirectional else Last()
        linear = Linear(width, outputs, precision=precision, seed=self._rng)
        self.model_ = Sequential(recurrent, last, *drop, linear)
        self._optimizer = Adam(self.lr)

    def _train(
        self,
        loss: Loss,
        data: Iterable[Any],
        epochs: int,
        validation: Iterable[Any] | None = None,
    ) -> None:
        """Train; with validation data, stop early and restore the parameters of the best epoch."""
        share_cores()
        self._optimizer.lr = self.lr  # set_params may have changed lr since the last call
        stop = EarlyStopping(self.n_iter_no_change, restore_best=True)
        trainer = Trainer(
            self.model_,
            loss,
            self._optimizer,
            clip=None if self.clip is None else ClipNorm(self.clip),
            callbacks=() if validation is None else (stop,),
            progress=flag(self.verbose, "verbose"),
            seed=self._rng,
        )
        history = trainer.fit(data, epochs, validation)
        epoch = history["epoch"]
        curve = np.bincount(epoch, history["loss"]) / np.bincount(epoch)
        self.loss_curve_ = [*self.loss_curve_, *curve.tolist()]
        self.n_iter_ += len(curve)
        if validation is not None:
            self.validation_loss_curve_ = history["validation_loss"].tolist()

    def _outputs(self, sequences: Sequences) -> npt.NDArray[Any]:
        """Return the network's outputs (n, K) for scaled sequences."""
        share_cores()
        outputs = np.empty((len(sequences), self.model_[-1].out_features), np.float32)
        for x, rows, *lengths in sequences.batches(np.arange(len(sequences)), PREDICTED_AT_ONCE):
            outputs[rows] = self.model_(x, lengths=lengths[0] if lengths else None)[0]
        return outputs
