"""Learning-rate schedules with the definitions of PyTorch: exponential, at milestones, one cycle."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bptt.arguments import choice, flag, integer, real, size, store
from bptt.optim.schedules import Schedule, factor_below_one


@dataclass(frozen=True)
class Exponential(Schedule):
    """Exponential decay: lr factor^n after n updates.

    Parameters
    ----------
    lr : float
        Initial learning rate, at least 0.
    factor : float
        Factor of the rate at each update, in (0, 1). To divide the rate by 10 in n updates, pass
        0.1 ** (1 / n).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> import bptt
    >>> schedule = bptt.schedules.Exponential(0.1, factor=0.5)
    >>> [schedule(n) for n in (0, 1, 2)]
    [0.1, 0.05, 0.025]
    """

    lr: float
    factor: float

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0), factor=factor_below_one(self.factor))

    def rate(self, step: int) -> float:
        return self.lr * self.factor**step


@dataclass(frozen=True)
class MultiStep(Schedule):
    """Multiply the learning rate by `factor` at each milestone.

    Parameters
    ----------
    lr : float
        Initial learning rate, at least 0.
    milestones : sequence of int
        Numbers of updates, at least 1 and in increasing order. A number that occurs twice counts twice.
    factor : float
        In (0, 1).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> import bptt
    >>> schedule = bptt.schedules.MultiStep(0.1, milestones=[10, 15])
    >>> [round(schedule(n), 6) for n in (9, 10, 15)]
    [0.1, 0.01, 0.001]
    """

    lr: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.milestones, (str, bytes)) or not np.iterable(self.milestones):
            raise TypeError(
                f"milestones must be a list of numbers of updates; got {self.milestones!r:.60}. Fix: pass "
                "[1000, 2000], for example."
            )
        updates = tuple(integer(entry, f"milestones[{i}]", 1) for i, entry in enumerate(self.milestones))
        if list(updates) != sorted(updates):
            raise ValueError(
                f"milestones must be in increasing order; got {list(updates)!s:.60}. Fix: pass "
                "sorted(milestones)."
            )
        store(self, lr=real(self.lr, "lr", 0.0), milestones=updates, factor=factor_below_one(self.factor))

    def rate(self, step: int) -> float:
        return self.lr * self.factor ** bisect_right(self.milestones, step)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One cycle: rise from lr / div_factor to lr, then fall far below the initial rate.

    Parameters
    ----------
    lr : float
        Highest learning rate, at least 0.
    steps : int
        Number of updates of the cycle, for example epochs times batches. The rate is constant after that.
    pct_start : float
        Fraction of the cycle in which the rate rises, in [0, 1).
    anneal_strategy : {"cos", "linear"}
        Whether the rate follows a cosine or a straight line.
    div_factor : float
        The cycle starts at lr / div_factor.
    final_div_factor : float
        The cycle ends at lr / div_factor / final_div_factor.
    three_phase : bool
        Whether the rate falls to its initial value in as many updates as it has risen, and then falls to the
        final value. `pct_start` must be at most 1/2. False: one fall to the final value.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    References
    ----------
    Smith and Topin 2017, Super-convergence: very fast training of neural networks using large learning rates,
    arXiv:1708.07120. The phases and parameters are those of PyTorch's `OneCycleLR`, which also cycles the
    momentum; this schedule does not.

    Examples
    --------
    >>> import bptt
    >>> schedule = bptt.schedules.OneCycle(0.1, steps=100)
    >>> [round(schedule(n), 6) for n in (0, 29, 65, 99)]
    [0.004, 0.1, 0.047757, 0.0]
    """

    lr: float
    steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0), steps=size(self.steps, "steps"))
        store(self, three_phase=flag(self.three_phase, "three_phase"))
        store(self, pct_start=real(self.pct_start, "pct_start", 0.0, 1.0))
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(
                f"pct_start must be at most 0.5 with three_phase=True; got {self.pct_start}. Fix: pass "
                "pct_start=0.3."
            )
        store(self, anneal_strategy=choice(self.anneal_strategy, "anneal_strategy", ("cos", "linear")))
        store(self, div_factor=real(self.div_factor, "div_factor", 0.0, above=True))
        store(self, final_div_factor=real(self.final_div_factor, "final_div_factor", 0.0, above=True))

    def rate(self, step: int) -> float:
        begin = 0.0
        for end, first, last in self._phases():
            if step <= end:
                done = (step - begin) / (end - begin) if end > begin else 1.0
                return self._between(first, last, done)
            begin = end
        return last

    def _phases(self) -> list[tuple[float, float, float]]:
        """Return the last update of each phase, and the rates at its begin and end."""
        lowest = self.lr / self.div_factor
        final = lowest / self.final_div_factor
        top = self.pct_start * self.steps - 1
        if self.three_phase:
            bottom = 2 * self.pct_start * self.steps - 2
            return [
                (top, lowest, self.lr),
                (bottom, self.lr, lowest),
                (self.steps - 1, lowest, final),
            ]
        return [(top, lowest, self.lr), (self.steps - 1, self.lr, final)]

    def _between(self, first: float, last: float, done: float) -> float:
        """Return the rate when a fraction of a phase is done."""
        if self.anneal_strategy == "linear":
            return first + (last - first) * done
        return last + (first - last) / 2 * (1 + math.cos(math.pi * done))
