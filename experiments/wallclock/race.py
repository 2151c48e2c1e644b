"""Train the same network in bptt and in PyTorch on the same batches, in turns, and time both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from experiments.wallclock.peers import Ours, Peer, Torch
from experiments.wallclock.recipes import Batch, Recipe

TURN = 25
"""Updates of one network until it is the turn of the other one."""
CHECK = 500
"""Updates between two looks at the criterion."""
SAME_LOSSES = 10
"""Updates at the start whose losses must agree. Later, rounding errors make the runs differ."""
TOLERANCE = 1e-4
"""Largest relative difference of these losses."""


@dataclass(frozen=True)
class Finish:
    """What one race showed: seconds include the data, which both networks share."""

    recipe: Recipe
    updates: int
    data: float
    ours: float
    torch: float
    our_result: str
    torch_result: str


def race(recipe: Recipe, seed: int, updates: int | None = None) -> Finish:
    """Train both networks until the end of the budget, or until ours reaches the criterion.

    Parameters
    ----------
    updates : int, optional
        A smaller budget.

    Raises
    ------
    RuntimeError
        The first losses disagree, so the networks are not the same.
    """
    ours = Ours(recipe, seed)
    peers: list[Peer] = [ours, Torch(recipe, ours)]
    seconds, data = [0.0, 0.0], 0.0
    losses: tuple[list[float], list[float]] = ([], [])
    stream = recipe.batches(np.random.default_rng(seed))
    budget, done = updates or recipe.updates, 0
    while done < budget:
        begin = time.perf_counter()
        turn = list(islice(stream, min(TURN, budget - done)))
        data += time.perf_counter() - begin
        for k in (0, 1) if (done // TURN) % 2 == 0 else (1, 0):
            spent, values = _turn(peers[k], turn)
            seconds[k] += spent
            losses[k].extend(values)
        if done == 0:
            _check(recipe, *losses)
        done += len(turn)
        if recipe.reached is not None and done % CHECK == 0 and recipe.reached(ours.outputs):
            break
    results = [recipe.judge(peer.outputs) for peer in peers]
    return Finish(recipe, done, data, data + seconds[0], data + seconds[1], *results)


def _turn(peer: Peer, batches: Sequence[Batch]) -> tuple[float, list[float]]:
    begin = time.perf_counter()
    values = [peer.update(batch) for batch in batches]
    return time.perf_counter() - begin, values


def _check(recipe: Recipe, ours: list[float], torch: list[float]) -> None:
    first, second = (np.array(losses[:SAME_LOSSES]) for losses in (ours, torch))
    apart = np.abs(first - second) / np.maximum(np.abs(first), 1e-6)
    if apart.max() > TOLERANCE:
        step = int(apart.argmax())
        raise RuntimeError(
            f"{recipe.name}: the losses of update {step} are {first[step]:.6g} and {second[step]:.6g}, so "
            "the networks are not the same"
        )
