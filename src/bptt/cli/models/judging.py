"""Compare predictions with naive predictions that need no model, in numbers and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from bptt.metrics import Metric

Figures = dict[str, dict[str, dict[str, float]]]
"""Values by target, then by "model" or the name of a baseline, then by metric. In the units of the target."""
Predictions = Mapping[str, npt.NDArray[Any]]

_TITLES = {"rmse": "RMSE", "mae": "MAE"}
_NAMES = {
    "seasonal naive": "the seasonal naive forecast",
    "mean": "the mean",
    "most frequent class": "the most frequent class",
}
"""Names of baselines inside a sentence."""


def measure(
    batches: Iterable[tuple[Predictions, npt.NDArray[Any]]],
    columns: Sequence[str],
    metrics: Sequence[type[Metric]],
) -> Figures:
    """Compute metrics over all batches.

    Parameters
    ----------
    batches : iterable of (predictions, truth)
        Predictions by name, each (..., K) like the truth, where K is the number of `columns`. With a single
        column of classes, predictions are (B, C) and the truth is (B,).
    """
    sums: dict[str, dict[str, list[Metric]]] = {column: {} for column in columns}
    for predictions, truth in batches:
        for name, y in predictions.items():
            for k, column in enumerate(columns):
                index = (..., slice(k, k + 1)) if truth.ndim > 1 else ...
                for metric in sums[column].setdefault(name, [kind() for kind in metrics]):
                    metric.add(y[index], truth[index])
    return {
        column: {name: {metric.name: metric.value for metric in row} for name, row in rows.items()}
        for column, rows in sums.items()
    }


def beaten(figures: Figures, first: type[Metric]) -> bool:
    """Return whether the model is better than all baselines, by this metric, for every target."""
    sign = 1 if first.better == "higher" else -1
    return all(
        sign * rows["model"][first.name]
        > max(sign * row[first.name] for name, row in rows.items() if name != "model")
        for rows in figures.values()
    )


def verdicts(figures: Figures, first: type[Metric]) -> list[str]:
    """Return for every target one sentence that compares the model with the best baseline, by this metric."""
    sign = 1 if first.better == "higher" else -1
    title = _TITLES.get(first.name, first.name)
    sentences = []
    for column, rows in figures.items():
        values = {name: row[first.name] for name, row in rows.items()}
        model = values.pop("model")
        name, best = max(values.items(), key=lambda pair: sign * pair[1])
        if math.isfinite(model):
            compared = f"{_compared(model, best, sign)} of {_NAMES.get(name, name)}"
            sentences.append(f"{column}: {title} {model:.4g} {compared}.")
        else:
            sentences.append(f"{column}: the {title} of the model is not finite.")
    return sentences


def _compared(model: float, best: float, sign: int) -> str:
    if model == best:
        return f"equals the {best:.4g}"
    word = "above" if model > best else "below"
    if sign > 0:  # fractions, such as the accuracy
        return f"is {100 * abs(model - best):.3g} percentage points {word} the {best:.4g}"
    if best == 0:
        return f"is {word} the 0"
    return f"is {100 * abs(model / best - 1):.3g}% {word} the {best:.4g}"


def table(figures: Figures, model: str) -> str:
    """Return the figures as a text table. `model` is the name of the model."""
    first = next(iter(figures.values()))["model"]
    rows = [("", *(_TITLES.get(name, name) for name in first))]
    for column, row_figures in figures.items():
        rows.append((column, *("" for _ in first)))
        rows += [
            (f"  {model if name == 'model' else name}", *(f"{value:.5g}" for value in row.values()))
            for name, row in row_figures.items()
        ]
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        (f"{row[0]:<{width}}" + "".join(f"  {cell:>11}" for cell in row[1:])).rstrip() for row in rows
    )
