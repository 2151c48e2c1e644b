"""Arjovsky, Shah and Bengio (2016): copy ten symbols after a long delay."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bptt
from bptt.diagnose.pictures import canvas
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict
from experiments.tasks.copy_memory import CLASSES, INPUTS, copy_memory, memoryless
from experiments.until_solved import train_until

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DELAY, ROWS = 100, 20
BASELINE = memoryless(DELAY)
TESTED = 1000

UPDATES = {
    "GRU": (12_000, 30_000),
    "LSTM": (4_000, 30_000),
    "tanh RNN": (2_000, 10_000),
    "IRNN": (2_000, 10_000),
}
"""Updates of a quick and of a full run."""


def layer(name: str, rng: np.random.Generator) -> bptt.Module:
    """Return the recurrent layer of a case."""
    slow = bptt.init.chrono(longest=DELAY + 20)
    if name == "GRU":
        return bptt.GRU(INPUTS, 80, init=slow, seed=rng)
    if name == "LSTM":
        return bptt.LSTM(INPUTS, 40, peephole=True, init=slow, seed=rng)
    if name == "tanh RNN":
        return bptt.RNN(INPUTS, 80, seed=rng)
    return bptt.RNN(INPUTS, 80, nonlinearity="relu", init="identity", seed=rng)


def run(seed: int, quick: bool, *, name: str) -> Figures:
    """Train one network, and measure its loss on fresh sequences."""
    rng, fresh = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    recurrent = layer(name, rng)
    net = bptt.Sequential(recurrent, bptt.Linear(40 if name == "LSTM" else 80, CLASSES, seed=rng))
    optimizer = bptt.RMSProp(1e-3, alpha=0.9, eps=0.0, initial_accumulator=1e-3)
    loss = bptt.CrossEntropy()
    trainer = bptt.Trainer(net, loss, optimizer, clip=bptt.ClipValue(1.0), progress=False)

    def measure() -> float:
        x, target = copy_memory(fresh, DELAY, TESTED)
        return float(loss(net(x)[0], target)[0])

    course = train_until(
        trainer,
        lambda rng: copy_memory(rng, DELAY, ROWS),
        measure,
        below=None,
        every=1000,
        most=UPDATES[name][0 if quick else 1],
        rng=rng,
    )
    final = course.curve[-1][1] if course.curve else float("inf")
    return {
        "solved": final < BASELINE / 2,
        "loss": final,
        "updates": course.updates,
        "diverged": course.diverged,
        "curve": course.curve,
    }


def verdict(runs: Runs) -> Verdict:
    """Return whether gated nets fall below half the baseline, and tanh nets do not."""
    losses = {name: float(np.mean([run["loss"] for run in group])) for name, group in runs.items()}
    best = min(losses["GRU"], losses["LSTM"])
    text = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
    reproduced = best < BASELINE / 2 and losses["tanh RNN"] > 0.9 * BASELINE
    return reproduced, f"Mean loss: {text}. A net without memory has {BASELINE:.4f}."


def draw(axes: Axes, runs: Runs) -> None:
    """Draw the loss of every run, and the baseline."""
    for k, (name, group) in enumerate(runs.items()):
        for n, run in enumerate(group):
            axes.plot(
                *zip(*run["curve"], strict=True),
                color=canvas.COLOURS[k % len(canvas.COLOURS)],
                linestyle=canvas.STYLES[k % len(canvas.STYLES)],
                label=name if n == 0 else None,
            )
    axes.axhline(BASELINE, color=canvas.RED, linewidth=1, linestyle=(0, (6, 2)), label="without memory")
    axes.set(xlabel="update", ylabel="cross-entropy (nats)", ylim=(0, 1.35 * BASELINE))
    axes.legend(loc="lower left", frameon=False, fontsize=8)


def _case(name: str, net: str, published: str, seconds: tuple[float, float]) -> Case:
    quick, full = UPDATES[name]
    return Case(
        name,
        f"{net}; linear output; cross-entropy; RMSProp 0.001 (decay 0.9, no epsilon, accumulator from "
        f"0.001); gradient clipped by value at 1; batches of {ROWS}; {full:,} updates (quick: {quick:,})",
        published,
        partial(run, name=name),
        quick_seeds=1,
        full_seeds=2,
        quick_seconds=seconds[0],
        full_seconds=seconds[1],
    )


COPY_MEMORY = Experiment(
    name="copy-memory",
    title="Copy ten symbols after 100 steps",
    paper=(
        "M. Arjovsky, A. Shah and Y. Bengio (2016). Unitary evolution recurrent neural networks. ICML, "
        "arXiv:1511.06464."
    ),
    claim=(
        "A net that remembers nothing has a loss of 10 ln 8 / (T + 20). Plain recurrent nets stay there. "
        "LSTM falls below this baseline at a delay of T = 100, and hardly at longer delays."
    ),
    criterion=(
        f"A run is solved if its loss on {TESTED:,} fresh sequences is below half of the baseline of "
        f"{BASELINE:.4f}. The claim is reproduced if LSTM or GRU nets have a mean loss below half of the "
        "baseline, and tanh nets above 90% of the baseline."
    ),
    cases=(
        _case("GRU", f"GRU with 80 units, chrono initialisation for {DELAY + 20} steps", "", (85, 250)),
        _case(
            "LSTM",
            f"LSTM with 40 cells, peepholes, chrono initialisation for {DELAY + 20} steps",
            "below baseline at T = 100",
            (20, 140),
        ),
        _case("tanh RNN", "RNN with 80 tanh units", "at baseline", (10, 50)),
        _case("IRNN", "RNN with 80 ReLU units, identity recurrent weights", "at baseline", (10, 50)),
    ),
    verdict=verdict,
    figure="loss",
    solved_only=False,
    notes=(
        "Optimizer, clipping, batches and hidden sizes of LSTM and RNN are those of the authors' code. "
        "The chrono initialisation and the GRU are not in the paper. The paper's own net, the unitary "
        "RNN, is not part of this library."
    ),
    draw=draw,
)
