"""Settings of a `Trainer` that a resumed run, and every rank of a run, must share."""

from __future__ import annotations

from typing import Any

from bptt.callbacks.callback import TrainerView
from bptt.data.batches import batch_count
from bptt.files.settings import describe
from bptt.train.budget import Budget
from bptt.train.run import Run

_NAMES = ("loss", "optimizer", "clip", "clip_state", "truncate", "regularizer", "accumulate", "metrics")
"""Settings that affect the bits of the weights or the columns of the history. `checkpoint` does not."""


def settings(trainer: TrainerView) -> dict[str, Any]:
    """Describe the settings that must stay the same when a run is resumed."""
    return {name: describe(getattr(trainer, name)) for name in _NAMES}


def fit_settings(
    trainer: TrainerView, run: Run, budget: Budget, data: object, validation: object
) -> dict[str, Any]:
    """Describe the settings that all ranks must share when `fit` starts at the position of `run`."""
    return {
        **settings(trainer),
        **budget.shared(),
        "batches": batch_count(data),
        "validation": validation is not None,
        "position": [run.epoch, run.batches, run.step],
    }
