"""The recipes, and how the table shows their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True)
class Job:
    """A recipe, and how its result is shown."""

    name: str
    title: str
    figure: str
    """Variable of the script that holds its result."""
    unit: str
    shown: str = ".2f"
    lower_is_better: bool = False
    not_beaten: tuple[str, ...] = ()
    """Baselines in the table that the network need not beat."""

    def format(self, values: Sequence[float]) -> str:
        """Return the mean of the results of all seeds."""
        return f"{mean(values):{self.shown}}"

    def beats(self, ours: float, baseline: float) -> bool:
        return ours < baseline if self.lower_is_better else ours > baseline


JOBS = (
    Job(
        "forecast_frame",
        "forecast from a table with gaps",
        "rmse",
        "RMSE, ppm",
        lower_is_better=True,
    ),
    Job("imbalanced", "a rare class", "f1", "F1"),
    Job("labelling", "a label for each character", "accuracy", "accuracy", ".1%"),
    Job(
        "anomalies",
        "anomalies by autoencoder",
        "auc",
        "AUC",
        ".3f",
        not_beaten=("PCA, 99.9% of the variance",),
    ),
    Job("dates", "dates, encoder and decoder", "exact", "exact", ".1%"),
    Job("tied_words", "words, tied weights", "perplexity", "perplexity", ".1f", lower_is_better=True),
    Job(
        "static_inputs",
        "sequence and static input",
        "rmse",
        "RMSE, °C",
        lower_is_better=True,
        not_beaten=("linear regression",),
    ),
    Job("streaming", "one character at a time", "microseconds", "time of a step", lower_is_better=True),
    Job("from_pytorch", "transfer from PyTorch", "accuracy", "accuracy", ".1%"),
)
