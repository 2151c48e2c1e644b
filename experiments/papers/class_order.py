"""Pascanu, Mikolov and Bengio (2013): temporal order by SGD, with clipping, and with a regularizer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bptt
from bptt.diagnose.pictures import canvas
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict
from experiments.table import solved
from experiments.tasks.class_order import CLASSES, SYMBOLS, class_order
from experiments.until_solved import train_until

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN, ROWS = 50, 20
LENGTHS = (50, 100, 200)
METHODS = {
    "SGD": "no clipping",
    "clip": "gradient norm clipped at 1",
    "clip + reg": "norm clipped at 1; regularizer, weight 4",
}
UPDATES, QUICK_UPDATES = 100_000, 20_000
QUICK_LENGTH = 100
"""Longest sequence of a quick run."""
FEW, MANY = 1000, 10_000
WRONG = 0.01


def network(rng: np.random.Generator) -> bptt.Sequential:
    """Return a net with orthogonal recurrent weights, small other weights and zero biases."""
    rnn = bptt.RNN(SYMBOLS, HIDDEN, init="orthogonal", seed=rng)
    read = bptt.Linear(HIDDEN, CLASSES, init=bptt.init.normal(0.03), seed=rng)
    inputs = rnn.parameters["weight_ih_l0"]
    inputs[...] = rng.normal(0, 0.03, inputs.shape)
    return bptt.Sequential(rnn, bptt.Last(), read)


def run(seed: int, quick: bool, *, method: str, steps: int) -> Figures:
    """Train until less than 1% of fresh sequences are wrong, or the budget is spent."""
    rng, fresh = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    net = network(rng)
    trainer = bptt.Trainer(
        net,
        bptt.CrossEntropy(),
        bptt.SGD(0.01),
        clip=None if method == "SGD" else bptt.ClipNorm(1.0),
        regularizer=bptt.PascanuRegularizer(4.0) if method == "clip + reg" else None,
        progress=False,
    )

    def wrong(count: int) -> float:
        x, target = class_order(fresh, steps, count)
        return float(np.mean(net(x)[0].argmax(-1) != target))

    def measure() -> float:
        few = wrong(FEW)
        return float(np.mean([wrong(FEW) for _ in range(MANY // FEW)])) if few < WRONG else few

    course = train_until(
        trainer,
        lambda rng: class_order(rng, steps, ROWS),
        measure,
        below=WRONG,
        every=1000,
        most=QUICK_UPDATES if quick else UPDATES,
        rng=rng,
    )
    return {
        "solved": course.solved,
        "updates": course.updates,
        "wrong": course.curve[-1][1] if course.curve else None,
        "diverged": course.diverged,
        "curve": course.curve[:: max(1, len(course.curve) // 50)],
    }


def verdict(runs: Runs) -> Verdict:
    """Return whether nets with clipping solve the longest sequences on most seeds, and SGD does not."""
    longest = max(steps for steps in LENGTHS if _name("SGD", steps) in runs)
    counts = {method: solved(runs[_name(method, longest)]) for method in METHODS}
    best, of = max((counts["clip"], counts["clip + reg"]), key=lambda pair: pair[0] / pair[1])
    text = ", ".join(f"{method} {count} of {among}" for method, (count, among) in counts.items())
    return best >= 0.8 * of and 2 * counts["SGD"][0] < counts["SGD"][
        1
    ], f"Solved at length {longest}: {text}."


def draw(axes: Axes, runs: Runs) -> None:
    """Draw the fraction of solved runs against the length."""
    for k, method in enumerate(METHODS):
        lengths = [steps for steps in LENGTHS if _name(method, steps) in runs]
        shares = [100 * np.divide(*solved(runs[_name(method, steps)])) for steps in lengths]
        axes.plot(
            lengths,
            shares,
            color=canvas.COLOURS[k],
            linestyle=canvas.STYLES[k],
            marker=canvas.MARKERS[k],
            label=method,
        )
    axes.set(xlabel="length of the sequences", ylabel="runs solved (%)", ylim=(-5, 105), xticks=LENGTHS)
    axes.legend(loc="center left", frameon=False)


def _name(method: str, steps: int) -> str:
    return f"{method}, length {steps}"


def _case(method: str, steps: int) -> Case:
    cost = {50: 1.4, 100: 2.0, 200: 3.3}[steps] * 1e-3
    return Case(
        _name(method, steps),
        f"RNN with {HIDDEN} tanh units; orthogonal recurrent weights, other weights normal with standard "
        f"deviation 0.03; SGD 0.01; {METHODS[method]}; batches of {ROWS}; T = {steps}; at most {UPDATES:,} "
        f"updates (quick: {QUICK_UPDATES:,}, T up to {QUICK_LENGTH})",
        "",
        partial(run, method=method, steps=steps),
        quick_seeds=1 if steps <= QUICK_LENGTH else 0,
        full_seeds=5,
        quick_seconds=cost * QUICK_UPDATES,
        full_seconds=cost * UPDATES,
    )


CLASS_ORDER = Experiment(
    name="clipping",
    title="Temporal order by SGD, against length",
    paper=(
        "R. Pascanu, T. Mikolov and Y. Bengio (2013). On the difficulty of training recurrent neural "
        "networks. ICML, arXiv:1211.5063."
    ),
    claim=(
        "SGD alone fails at the temporal order problem as the sequences become longer. Clipping the norm "
        "of the gradient helps, and a regularizer against vanishing gradients helps more: all lengths up "
        "to 200 are solved."
    ),
    criterion=(
        f"A run is solved if less than {WRONG:.0%} of {MANY:,} fresh sequences are wrong. Only the largest "
        "length counts. The claim is reproduced if at least 4 of 5 nets are solved with clipping, or with "
        "clipping and regularizer. By SGD alone, less than half of the nets may be solved."
    ),
    cases=tuple(_case(method, steps) for method in METHODS for steps in LENGTHS),
    verdict=verdict,
    figure="updates",
    notes=(
        "Sizes, learning rate, batches, clip and weight of the regularizer are the paper's. The paper "
        f"allows 5 million updates, this page {UPDATES:,}. The orthogonal recurrent weights are not the "
        "paper's: its best nets start from sparse weights with spectral radius 0.95. The paper reports "
        "success against length in a figure only."
    ),
    draw=draw,
)
