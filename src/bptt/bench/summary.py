"""Geometric means over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import geometric_mean
from typing import TypeAlias

from bptt.bench.measure import Row
from bptt.bench.shapes import Case

Figure: TypeAlias = Callable[[Row], float | None]
"""A figure of a row; None if the row has no such figure."""


def best_ratio(row: Row) -> float | None:
    """Return the time of the best competitor over the time of bptt."""
    return None if row.best_peer is None else row.ratio(row.best_peer)


def torch_ratio(row: Row) -> float | None:
    """Return the time of PyTorch over the time of bptt."""
    return row.ratio("torch") if "torch" in row.times else None


def share(row: Row) -> float | None:
    """Return the row's limit over the time of bptt."""
    return row.share


def mean(rows: Iterable[Row], figure: Figure) -> float | None:
    """Return the geometric mean of a figure, without denormal values, options and reduced precision."""
    values = [figure(row) for row in rows if _counts(row.case)]
    present = [value for value in values if value is not None]
    return geometric_mean(present) if present else None


def _counts(case: Case) -> bool:
    return not case.shape.denormal and case.mode != "variants" and case.precision == "highest"


def lines(rows: Sequence[Row]) -> list[str]:
    """Return lines with the means of each cell, mode and number of threads, and lines of disagreements."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.case}, {row.threads} thread(s)", []).append(row)
    texts = []
    for name, group in groups.items():
        ratio, part = mean(group, best_ratio), mean(group, share)
        if ratio is not None:
            text = "" if part is None else f", {part:.0%} of the limit"
            texts.append(f"{name}: {ratio:.2f} times as fast as the best competitor{text} (geometric means)")
    for row in rows:
        for peer, difference in row.disagreed.items():
            texts.append(f"DISAGREES, not timed: {peer}, {describe(row)}: {difference}")
    return texts


def describe(row: Row) -> str:
    """Return cell, mode, shape and threads of a row in words."""
    return f"{row.case}, {row.case.shape}, {row.threads} thread(s)"
