"""Experiments 4 and 5: the adding problem and the multiplication problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict
from experiments.papers.lstm1997 import net
from experiments.papers.lstm1997.paper import PAPER, TEST, TEST_SEED, by_both, drawing, means, shares
from experiments.table import number
from experiments.tasks.marked_pairs import TOLERANCE, Pairs, marked_pairs
from experiments.training import Batch, Recent, one_by_one, online


def batches(rng: np.random.Generator, steps: int, batch: int, product: bool) -> Iterator[Pairs]:
    """Yield new sequences forever."""
    while True:
        yield marked_pairs(rng, steps, batch, product=product)


def added(recent: Recent) -> bool:
    """The criterion of the paper for the adding problem."""
    return recent.full and recent.wrong == 0 and recent.error < 0.01


def multiplied(recent: Recent, wrong: int = 13) -> bool:
    """The criterion of the paper for the multiplication problem."""
    return recent.full and recent.wrong < wrong


def tested(model: bptt.Sequential, seed: int, steps: int, product: bool) -> dict[str, Any]:
    """Return the figures of new test sequences."""
    test = marked_pairs(np.random.default_rng(TEST_SEED + seed), steps, TEST, product=product)
    errors = np.abs(model(test.x, lengths=test.lengths)[0] - test.target)
    return {
        "wrong of 2560": int((errors >= TOLERANCE).sum()),
        "mean error": float(errors.mean()),
        "mean squared error": float((errors**2).mean()),
    }


def train(
    model: bptt.Sequential,
    updates: Iterable[tuple[npt.NDArray[Any], Batch]],
    seed: int,
    *,
    steps: int,
    limit: int,
    product: bool,
) -> Figures:
    """Train until the criterion of the paper holds, or `limit` sequences were read. Return the figures."""
    done: Callable[[Recent], bool] = multiplied if product else added
    recent, coarse = Recent(), 0
    for y, pairs in updates:
        errors = np.abs(y - pairs.target)[:, 0]
        recent.add(errors, errors >= TOLERANCE)
        if product and not coarse and multiplied(recent, 140):
            coarse = recent.sequences
        if done(recent) or recent.sequences >= limit:
            break
    figures: dict[str, Any] = {"solved": done(recent), "sequences": recent.sequences}
    if product:
        figures["sequences until 140 wrong"] = coarse or None
    return {**figures, **tested(model, seed, steps, product), "weights": model.parameter_count}


def today(
    seed: int, quick: bool, *, steps: int, limit: int, product: bool = False, batch: int = 32
) -> Figures:
    """Train an LSTM with forget gates, Adam and clipping."""
    rng = np.random.default_rng(seed)
    init = bptt.init.chrono(longest=steps)
    lstm, linear = bptt.LSTM(2, 8, init=init, seed=rng), bptt.Linear(8, 1, seed=rng)
    model = bptt.Sequential(lstm, bptt.Last(), linear)
    data = batches(rng, steps, batch, product)
    updates = online(model, bptt.MeanSquaredError(), bptt.Adam(5e-3), data, max_norm=1.0)
    return train(model, updates, seed, steps=steps, limit=limit, product=product)


def of_1997(seed: int, quick: bool, *, steps: int, limit: int, rate: float, product: bool = False) -> Figures:
    """Train the net of the paper as the paper says."""
    rng = np.random.default_rng(seed)
    bias = None if product else (-3.0, -6.0)
    model = net.blocks(rng, 2, 2, 2, 1, scale=0.1, input_bias=bias, weights=93)
    data = one_by_one(batches(rng, steps, 100, product))
    updates = online(model, net.half_squared_error, bptt.SGD(rate), data)
    return train(model, updates, seed, steps=steps, limit=limit, product=product)


TODAY = (
    "LSTM(2, 8) with chrono initialisation for T steps, last step, Linear(8, 1); mean squared error, "
    "Adam(5e-3), norm clipped at 1, 32 sequences an update, at most {limit:,} sequences"
)
OLD = (
    "MemoryBlocks(2, 2, 2), 93 weights in [-0.1, 0.1]{bias}, sigmoid output; squared error, SGD({rate}), "
    "1 sequence an update, at most {limit:,} sequences"
)


def case_today(steps: int, published: str, limit: int, quick_seeds: int, seconds: float) -> Case:
    """Return the adding problem of one length for today's LSTM."""
    return Case(
        f"T = {steps}, LSTM of today",
        TODAY.format(limit=limit),
        published,
        partial(today, steps=steps, limit=limit),
        quick_seeds,
        10,
        seconds,
        seconds,
    )


def case_1997(steps: int, published: str, limit: int, quick_seeds: int, seconds: float) -> Case:
    """Return the adding problem of one length for the net of the paper."""
    return Case(
        f"T = {steps}, net of 1997",
        OLD.format(bias=", input-gate biases -3 and -6", rate=0.5, limit=limit),
        published,
        partial(of_1997, steps=steps, limit=limit, rate=0.5),
        quick_seeds,
        10,
        seconds,
        seconds,
        needed=False,
    )


LEAST = {
    "T = 100, LSTM of today": 1.0,
    "T = 400, LSTM of today": 1.0,
    "T = 1000, LSTM of today": 0.7,
    "T = 100, net of 1997": 0.9,
    "T = 500, net of 1997": 0.9,
    "T = 1000, net of 1997": 0.7,
}
"""The fraction of runs that must be solved. The paper solved all, with at most 2,020,000 sequences."""


def adding_verdict(runs: Runs) -> Verdict:
    """The fraction of solved runs of each case."""
    enough = {name: share >= LEAST[name] for name, share in shares(runs).items()}
    today = [name for name in enough if name.endswith("today")]
    old = [name for name in enough if name not in today]
    return by_both(all(enough[name] for name in today), all(enough[name] for name in old)), means(runs)


ADDING = Experiment(
    name="adding",
    title="The adding problem, up to 1,000 steps",
    paper=f"{PAPER}, experiment 4.",
    claim="LSTM adds two marked numbers that it read at least T / 2 steps before the end. Every run "
    "succeeds, for T = 100, 500 and 1,000.",
    criterion="A sequence is right if the error at its end is below 0.04. A run is solved when the last "
    "2,000 training sequences were right, with a mean error below 0.01. Reproduced: today's LSTM solves all "
    "runs at T = 100 and 400, and 70 percent at T = 1,000. The net of 1997 solves 90 percent of the runs at "
    "T = 100 and 500, and 70 percent at T = 1,000.",
    cases=(
        case_today(100, "74,000", 600_000, 2, 6.0),
        case_today(400, "", 800_000, 1, 25.0),
        case_today(1000, "853,000", 800_000, 1, 80.0),
        case_1997(100, "74,000", 500_000, 1, 60.0),
        case_1997(500, "209,000", 1_000_000, 0, 400.0),
        case_1997(1000, "853,000", 2_500_000, 0, 2500.0),
    ),
    verdict=adding_verdict,
    draw=drawing(
        {
            "T = 100, LSTM of today": 74_000,
            "T = 1000, LSTM of today": 853_000,
            "T = 100, net of 1997": 74_000,
            "T = 500, net of 1997": 209_000,
            "T = 1000, net of 1997": 853_000,
        }
    ),
)


def multiplication_verdict(runs: Runs) -> tuple[bool, str]:
    """9 of 10 runs of each net, and the first criterion of the paper in numbers."""
    sentence = means(runs)
    for name, group in runs.items():
        coarse = [run["sequences until 140 wrong"] for run in group]
        reached = [sequences for sequences in coarse if sequences]
        if reached:
            mean = number(sum(reached) / len(reached))
            sentence += f" Fewer than 140 of 2,000 wrong, {name}: {len(reached)} runs after {mean}."
    return min(shares(runs).values()) >= 0.9, sentence


MULTIPLICATION = Experiment(
    name="multiplication",
    title="The multiplication problem",
    paper=f"{PAPER}, experiment 5.",
    claim="LSTM multiplies two marked numbers, with T = 100. Fewer than 140 of 2,000 sequences are wrong "
    "after 482,000 sequences, and fewer than 13 after 1,273,000.",
    criterion="A sequence is right if the error at its end is below 0.04. A run is solved when fewer than 13 "
    "of the last 2,000 training sequences were wrong. Reproduced: each net solves 90 percent of the runs.",
    cases=(
        Case(
            "LSTM of today",
            TODAY.format(limit=2_000_000),
            "1,273,000",
            partial(today, steps=100, limit=2_000_000, product=True),
            1,
            10,
            25.0,
            25.0,
        ),
        Case(
            "net of 1997",
            OLD.format(bias="", rate=0.1, limit=3_000_000),
            "1,273,000",
            partial(of_1997, steps=100, limit=3_000_000, rate=0.1, product=True),
            0,
            10,
            600.0,
            600.0,
        ),
    ),
    verdict=multiplication_verdict,
    draw=drawing({"LSTM of today": 1_273_000, "net of 1997": 1_273_000}),
)
