"""Adding two marked numbers: Le, Jaitly and Hinton (2015); Arjovsky, Shah and Bengio (2016)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bptt
from bptt.diagnose.pictures import canvas
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict
from experiments.table import solved
from experiments.tasks.adding_halves import CONSTANT, adding_halves
from experiments.until_solved import train_until

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TESTED = 2000
GOOD = 0.01


@dataclass(frozen=True)
class Net:
    """A network, and how to train it."""

    cell: str
    hidden: int
    optimizer: str
    rate: float
    max_norm: float
    rows: int

    def layer(self, steps: int, rng: np.random.Generator) -> bptt.Module:
        """Return the recurrent layer for sequences of this length."""
        if self.cell == "IRNN":
            return bptt.RNN(2, self.hidden, nonlinearity="relu", init="identity", seed=rng)
        if self.cell == "tanh RNN":
            return bptt.RNN(2, self.hidden, seed=rng)
        slow = bptt.init.chrono(longest=steps)
        if self.cell == "GRU":
            return bptt.GRU(2, self.hidden, init=slow, seed=rng)
        return bptt.LSTM(2, self.hidden, init=slow, seed=rng)

    def text(self) -> str:
        """Return the settings in words."""
        units = {
            "IRNN": "RNN with {} ReLU units, identity recurrent weights, zero biases",
            "tanh RNN": "RNN with {} tanh units",
            "LSTM": "LSTM with {} cells, chrono initialisation",
            "GRU": "GRU with {} units, chrono initialisation",
        }[self.cell].format(self.hidden)
        return (
            f"{units}; linear output from the last step; {self.optimizer} {self.rate:g}; gradient norm "
            f"clipped at {self.max_norm:g}; batches of {self.rows}"
        )


def run(seed: int, quick: bool, *, net: Net, steps: int, most: int, quick_most: int) -> Figures:
    """Train until the error on fresh sequences is small, or the budget is spent."""
    rng, fresh = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    model = bptt.Sequential(net.layer(steps, rng), bptt.Last(), bptt.Linear(net.hidden, 1, seed=rng))
    optimizer = bptt.Adam(net.rate) if net.optimizer == "Adam" else bptt.SGD(net.rate)
    clip = bptt.ClipNorm(net.max_norm)
    trainer = bptt.Trainer(model, bptt.MeanSquaredError(), optimizer, clip=clip, progress=False)

    def measure() -> float:
        x, target = adding_halves(fresh, steps, TESTED)
        return float(np.mean((model(x)[0] - target) ** 2))

    course = train_until(
        trainer,
        lambda rng: adding_halves(rng, steps, net.rows),
        measure,
        below=GOOD,
        every=200,
        most=quick_most if quick else most,
        rng=rng,
    )
    return {
        "solved": course.solved,
        "error": course.curve[-1][1] if course.curve else None,
        "updates": course.updates,
        "sequences": course.updates * net.rows,
        "diverged": course.diverged,
        "curve": course.curve[:: max(1, len(course.curve) // 50)],
    }


def draw(axes: Axes, runs: Runs) -> None:
    """Draw the error of every run, and the error of a constant answer."""
    for k, (name, group) in enumerate(runs.items()):
        for n, made in enumerate(run for run in group if run["curve"]):
            axes.plot(
                *zip(*made["curve"], strict=True),
                color=canvas.COLOURS[k % len(canvas.COLOURS)],
                linestyle=canvas.STYLES[k % len(canvas.STYLES)],
                linewidth=1,
                label=name if n == 0 else None,
            )
    axes.axhline(CONSTANT, color=canvas.RED, linewidth=1, linestyle=(0, (6, 2)), label="constant answer")
    axes.set(xlabel="update", ylabel="mean squared error", yscale="log", xscale="log")
    axes.xaxis.set_minor_formatter("")
    axes.legend(loc="lower left", frameon=False, fontsize=8)


def case(
    name: str, net: Net, steps: int, updates: tuple[int, int], seconds: float, published: str = ""
) -> Case:
    """Return the case of a network.

    Parameters
    ----------
    name : str
    net : Net
    steps : int
        Length of the sequences.
    updates : (int, int)
        Most updates of a quick and of a full run.
    seconds : float
        Rough time of a full run.
    published : str
    """
    quick_most, most = updates
    return Case(
        name,
        f"{net.text()}; T = {steps}; at most {most:,} updates (quick: {quick_most:,})",
        published,
        partial(run, net=net, steps=steps, most=most, quick_most=quick_most),
        quick_seeds=1,
        full_seeds=5,
        quick_seconds=seconds * quick_most / most,
        full_seconds=seconds,
    )


def parts(runs: Runs) -> str:
    """Return how many nets of each case are solved."""
    return ", ".join(f"{name} {count} of {of}" for name, (count, of) in _counts(runs).items())


def _counts(runs: Runs) -> dict[str, tuple[int, int]]:
    return {name: solved(group) for name, group in runs.items()}


def gates_win(runs: Runs) -> Verdict:
    """Return whether all LSTM and GRU nets are solved, and no tanh net."""
    counts = _counts(runs)
    gated = all(counts[name][0] == counts[name][1] for name in ("LSTM", "GRU"))
    return gated and counts["tanh RNN"][0] == 0, f"Solved at T = 100: {parts(runs)}."


def identity_wins(runs: Runs) -> Verdict:
    """Return whether most nets with identity weights are solved by SGD, and no tanh net."""
    counts = _counts(runs)
    count, of = counts["IRNN, SGD"]
    return 2 * count > of and counts["tanh RNN, SGD"][0] == 0, f"Solved at T = 150: {parts(runs)}."


GATED = {cell: Net(cell, 16, "Adam", 5e-3, 1.0, 50) for cell in ("LSTM", "GRU")}
RELU = Net("IRNN", 100, "Adam", 1e-3, 1.0, 16)

CRITERION = (
    f"A run is solved if its mean squared error on {TESTED:,} fresh sequences falls below {GOOD}. A "
    f"constant answer has an error of {CONSTANT:.4f}."
)

ADDING = Experiment(
    name="adding-halves",
    title="Add two numbers in 100 steps",
    paper=(
        "M. Arjovsky, A. Shah and Y. Bengio (2016). Unitary evolution recurrent neural networks. ICML, "
        "arXiv:1511.06464."
    ),
    claim="LSTM solves the adding problem. A tanh RNN stays at the error of a constant answer.",
    criterion=f"{CRITERION} The claim is reproduced if all LSTM and GRU nets are solved, and no tanh RNN.",
    cases=(
        case("LSTM", GATED["LSTM"], 100, (4_000, 10_000), 10, "solved"),
        case("GRU", GATED["GRU"], 100, (4_000, 10_000), 10),
        case("IRNN", RELU, 100, (5_000, 30_000), 60, "partly solved"),
        case("tanh RNN", Net("tanh RNN", 128, "Adam", 1e-3, 1.0, 50), 100, (1_000, 5_000), 60, "not solved"),
    ),
    verdict=gates_win,
    figure="updates",
    notes=(
        "The paper trains LSTM and RNN with 128 units by RMSProp. Here LSTM and GRU have 16 units, which "
        "is enough."
    ),
    draw=draw,
)

IRNN = Experiment(
    name="irnn",
    title="Identity weights: adding in 150 steps",
    paper=(
        "Q. V. Le, N. Jaitly and G. E. Hinton (2015). A simple way to initialize recurrent networks of "
        "rectified linear units. arXiv:1504.00941."
    ),
    claim=(
        "A plain RNN of rectified linear units solves the adding problem if its recurrent weights start "
        "as the identity. A tanh RNN does not."
    ),
    criterion=(
        f"{CRITERION} The claim is reproduced if most IRNNs are solved by the paper's SGD, and no tanh RNN."
    ),
    cases=(
        case("IRNN, SGD", Net("IRNN", 100, "SGD", 0.01, 100.0, 16), 150, (2_000, 50_000), 120, "solved"),
        case("IRNN, Adam", RELU, 150, (8_000, 50_000), 150),
        case(
            "tanh RNN, SGD",
            Net("tanh RNN", 100, "SGD", 0.01, 10.0, 16),
            150,
            (2_000, 50_000),
            120,
            "not solved",
        ),
        case("LSTM, Adam", GATED["LSTM"], 150, (8_000, 10_000), 10, "solved"),
    ),
    verdict=identity_wins,
    figure="updates",
    notes=(
        "The learning rate and the clip of the first case are the best ones that the paper reports. The "
        "paper has a baseline of 0.1767 for the constant answer; the variance of the sum is 1/6. A quick "
        "run is too short for an IRNN."
    ),
    draw=draw,
)
