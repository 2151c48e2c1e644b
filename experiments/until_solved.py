"""Train in rounds until a network solves its task, or until the budget of updates is spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

import bptt

MakeBatch: TypeAlias = Callable[[np.random.Generator], tuple[Any, ...]]
"""Draws one batch: x, target and optionally lengths."""


@dataclass
class Course:
    """How a training run went.

    Attributes
    ----------
    solved : bool
    updates : int
        Number of updates up to the check that ended the run.
    curve : list of (int, float)
        Number of updates and the value that was measured, for each check.
    diverged : bool
        Whether a gradient was not finite.
    """

    solved: bool = False
    updates: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    diverged: bool = False


def train_until(
    trainer: bptt.Trainer,
    draw: MakeBatch,
    measure: Callable[[], float],
    *,
    below: float | None,
    every: int,
    most: int,
    rng: np.random.Generator,
) -> Course:
    """Train on fresh batches, and measure after every round.

    Parameters
    ----------
    trainer : bptt.Trainer
    draw : callable
        `draw(rng)` returns one batch.
    measure : callable
        Returns the error on fresh sequences.
    below : float, optional
        The task is solved if the measured error is below this number. None: train for the whole budget.
    every, most : int
        Updates per round, and in all.
    rng : numpy.random.Generator
        Source of the training data.
    """
    course = Course()
    data = bptt.data.Batches(lambda epoch, rng: (draw(rng) for _ in range(every)), seed=rng)
    while course.updates < most and not course.solved:
        try:
            trainer.fit(data, epochs=1)
        except bptt.NonFiniteError:
            course.diverged = True
            break
        course.updates += every
        error = measure()
        course.curve.append((course.updates, error))
        course.solved = below is not None and error < below
    return course
