"""Gers, Schmidhuber and Cummins (2000): an endless stream is hard for an LSTM without forget gates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict
from experiments.table import solved
from experiments.tasks.continual_reber import continual_reber

HIDDEN, ROWS, WINDOW = 12, 10, 50
UPDATES = 2000
TEST_STEPS = 10_000
ENOUGH = 0.99

WITH, WITHOUT, LONGER = "with forget gates", "without forget gates", "without, three times as long"


def run(seed: int, quick: bool, *, forget_gate: bool, updates: int) -> Figures:
    """Train on ten streams whose state is never set to zero, and test on ten fresh, long streams."""
    rng, fresh = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    bias = 1.0 if forget_gate else None
    layer = bptt.LSTM(7, HIDDEN, forget_gate=forget_gate, forget_bias=bias, seed=rng)
    net = bptt.Sequential(layer, bptt.Linear(HIDDEN, 7, seed=rng))
    clip = bptt.ClipNorm(5.0)
    trainer = bptt.Trainer(net, bptt.CrossEntropy(), bptt.Adam(0.01), clip=clip, progress=False)
    x, target, _ = continual_reber(rng, updates * WINDOW, ROWS)

    def windows() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        for begin in range(0, len(x), WINDOW):
            yield x[begin : begin + WINDOW], target[begin : begin + WINDOW]

    trainer.fit(bptt.data.Batches(windows, carries_state=True))
    x_test, target_test, outer = continual_reber(fresh, TEST_STEPS, ROWS)
    right = net(x_test)[0].argmax(-1) == target_test
    accuracy = float(right[outer].mean())
    return {
        "solved": accuracy > ENOUGH,
        "accuracy": accuracy,
        "updates": updates,
        "symbols": updates * WINDOW * ROWS,
        "tested": int(outer.sum()),
    }


def verdict(runs: Runs) -> Verdict:
    """Return whether all nets with forget gates solve the task, and at most half of the nets without."""
    (has, of), (lacks, among), (later, all_later) = (solved(runs[name]) for name in (WITH, WITHOUT, LONGER))
    sentence = (
        f"After {UPDATES * WINDOW * ROWS / 1e6:g} million symbols, {has} of {of} nets with forget gates "
        f"solve the stream, and {lacks} of {among} without. After three million symbols, {later} of "
        f"{all_later} nets without forget gates solve it."
    )
    return has == of and 2 * lacks <= among, sentence


def _case(name: str, published: str, seeds: int, *, forget_gate: bool, updates: int) -> Case:
    bias = ", forget bias 1" if forget_gate else ""
    return Case(
        name,
        f"LSTM with {HIDDEN} cells{bias}; linear output; cross-entropy; Adam 0.01; gradient norm clipped "
        f"at 5; {updates:,} updates of {ROWS} streams x {WINDOW} symbols; state carried over",
        published,
        partial(run, forget_gate=forget_gate, updates=updates),
        quick_seeds=seeds,
        full_seeds=10,
        quick_seconds=updates / 500,
        full_seconds=updates / 500,
    )


CONTINUAL_REBER = Experiment(
    name="continual-reber",
    title="Endless stream of Reber strings",
    paper=(
        "F. A. Gers, J. Schmidhuber and F. Cummins (2000). Learning to forget: continual prediction with "
        "LSTM. Neural Computation 12(10), 2451-2471."
    ),
    claim=(
        "An LSTM without forget gates fails on an endless stream of embedded Reber strings, because nothing "
        "empties its cells. With forget gates it learns when to empty them."
    ),
    criterion=(
        f"The test is {ROWS} fresh streams of {TEST_STEPS:,} symbols without a reset. A run is solved if the "
        f"most probable next symbol is right at more than {ENOUGH:.0%} of the outer symbols. Only these "
        "symbols need memory. The claim is reproduced if all nets with forget gates are solved after a "
        "million symbols, and at most half of the nets without."
    ),
    cases=(
        _case(WITH, "solved", 2, forget_gate=True, updates=UPDATES),
        _case(WITHOUT, "not solved", 2, forget_gate=False, updates=UPDATES),
        _case(LONGER, "", 1, forget_gate=False, updates=3 * UPDATES),
    ),
    verdict=verdict,
    figure="accuracy",
    solved_only=False,
    notes=(
        "Guessing is right at half of the outer symbols. The number of updates was chosen on seeds 100 to "
        "104, which are not in the table. The paper trains online with a truncated gradient. Here the "
        "gradient is exact within windows of 50 symbols. It also goes through the gates, so that a net "
        "without forget gates may learn to subtract what a cell holds. This takes several times as many "
        "symbols."
    ),
)
