"""Goals of the rows: ratios to the best peer, shares of the machine's peak."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from bptt.bench.measure import Row
from bptt.bench.memory import Memory
from bptt.bench.peers import OURS

NEAR_PEAK = 0.6
"""Share of the peak above which a peer leaves little room: 1.1 times as fast is enough."""

MEANS = {
    ("training", "lstm"): 2.5,
    ("training", "gru"): 4.0,
    ("training", "rnn"): 3.0,
    ("inference", "lstm"): 2.0,
    ("inference", "gru"): 2.0,
    ("inference", "rnn"): 2.0,
}
RNN_MEAN_TWO_THREADS = 4.0

SCALING = 1.8
"""Times as fast as one thread two must be, where the batch is large enough."""

COSTS = {
    "peephole": 1.15,
    "coupled": 1.15,
    "cell clip": 1.15,
    "layer norm": 1.6,
    "zoneout": 1.25,
    "recurrent dropout": 1.25,
    "checkpoint": 1.4,
}
"""Times the training of the plain layer, at most."""

RAGGED_COST = 1.1
"""The same of a ragged batch, and of the share of its steps that are valid."""

CHECKPOINTED = 200.0
"""MB above x, y, dy and dx, at most."""

VARIANTS_AGAINST_TORCH = {"ragged": 50.0, "peephole": 5.0, "projection": 2.0}


@dataclass(frozen=True)
class Goal:
    """`value` is to be at least `limit`, or with `most` at most."""

    what: str
    value: float
    limit: float
    most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.most else self.value >= self.limit

    def __str__(self) -> str:
        return f"{self.what} {self.value:.3g} ({'<=' if self.most else '>='} {self.limit:g})"


def of_row(row: Row, isa: str = "") -> list[Goal]:
    """A row's goals; `isa` says that all keep to an instruction set, where a tie with PyTorch will do."""
    goals = []
    mode, shape = row.case.mode, row.case.shape
    best = row.best_peer
    if isa:
        return [Goal("x torch", row.ratio("torch"), 1.0)] if "torch" in row.times else []
    if mode == "variants":
        return _of_variant(row)
    if mode == "streaming" and row.case.cell != "rnn" and 32 <= shape.H <= 128:
        if "onnxruntime" in row.times:
            goals.append(Goal("x onnxruntime", row.ratio("onnxruntime"), 8.0))
        if row.case.cell == "lstm" and (shape.I, shape.H) == (1, 32):
            goals.append(Goal("us per step", row.times[OURS].median, 1.0, most=True))
    elif mode == "iteration":
        if "torch" in row.times:
            goals.append(Goal("x torch", row.ratio("torch"), 2.0))
    elif best is not None:
        near = mode != "training" or row.share(best) > NEAR_PEAK
        goals.append(Goal(f"x {best}", row.ratio(best), 1.1 if near else 1.3))
    if "one-thread" in row.times:
        goals.append(Goal("x one thread", row.ratio("one-thread"), SCALING))
    large = (row.case.cell, mode, row.threads, shape.T, shape.B, shape.I, shape.H)
    if large == ("lstm", "training", 1, 100, 64, 512, 512):
        goals.append(Goal("of peak", row.share(OURS), 0.75))
    return goals


def _of_variant(row: Row) -> list[Goal]:
    name = row.case.shape.name
    cost = row.times[OURS].median / row.times["plain"].median
    goals = []
    if name == "ragged":
        goals.append(Goal("x plain x valid steps", cost / row.valid, RAGGED_COST, most=True))
    elif name in COSTS:
        goals.append(Goal("x plain", cost, COSTS[name], most=True))
    if "torch" in row.times and name in VARIANTS_AGAINST_TORCH and row.threads == 1:
        # Packed sequences are slowest for an LSTM; for the others, never slower than PyTorch.
        limit = VARIANTS_AGAINST_TORCH[name] if row.case.cell == "lstm" else 1.0
        goals.append(Goal("x torch", row.ratio("torch"), limit))
    return goals


def of_memory(memory: Memory) -> Goal:
    """That a training step takes little more than it must keep."""
    if memory.case.checkpoint:
        return Goal("MB above the data", 1e-6 * (memory.rise - memory.result), CHECKPOINTED, most=True)
    return Goal("of what it may take", memory.rise / memory.allowed, 1.0, most=True)


Group: TypeAlias = tuple[int, str, str]
"""Threads, mode and cell."""


def means(rows: Iterable[Row]) -> dict[Group, float]:
    """Geometric means of the ratio to the best peer."""
    return _means(rows, lambda row, peer: row.ratio(peer))


def ceilings(rows: Iterable[Row]) -> dict[Group, float]:
    """What those means would be if all our rows ran at the machine's peak."""
    return _means(rows, lambda row, peer: 1 / row.share(peer))


def _means(rows: Iterable[Row], value: Callable[[Row, str], float]) -> dict[Group, float]:
    logs: dict[Group, list[float]] = {}
    for row in rows:
        if row.best_peer is not None and not row.case.shape.denormal and row.case.mode != "variants":
            key = (row.threads, row.case.mode, row.case.cell)
            logs.setdefault(key, []).append(math.log(value(row, row.best_peer)))
    return {key: math.exp(sum(values) / len(values)) for key, values in logs.items()}


def of_means(rows: Iterable[Row]) -> list[Goal]:
    """Goals of the geometric means; none where all keep to an instruction set."""
    goals = []
    for (threads, mode, cell), mean in means(rows).items():
        limit = MEANS.get((mode, cell))
        if limit is not None:
            if (mode, cell) == ("training", "rnn") and threads > 1:
                limit = RNN_MEAN_TWO_THREADS
            goals.append(Goal(f"{cell} {mode}, {threads} thread(s): geometric mean x best peer", mean, limit))
    return goals
