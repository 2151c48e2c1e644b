"""Gers, Schraudolph and Schmidhuber (2002): one cell with peepholes generates a periodic function."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bptt
from bptt.diagnose.pictures import canvas
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict
from experiments.table import solved
from experiments.tasks.periodic import raised_cosine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERIOD, PERIODS = 25, 6
UPDATES = 40_000
GOOD = 0.1
FIRST_LIMIT = 0.3
"""Limit of the error at every step: the first criterion of the paper."""

WITH, WITHOUT = "with peepholes", "without peepholes"


def run(seed: int, quick: bool, *, peephole: bool) -> Figures:
    """Train one linear cell to generate six periods, and measure its error on them."""
    rng = np.random.default_rng(seed)
    net = bptt.LSTM(
        1,
        1,
        peephole=peephole,
        activations=("sigmoid", "affine", "affine"),
        init=bptt.init.uniform(0.1),
        forget_bias=2.0,
        output_bias=2.0,
        seed=rng,
    )
    clip = bptt.ClipNorm(1.0)
    trainer = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.Adam(0.01), clip=clip, progress=False)
    x, target = raised_cosine(PERIOD, PERIODS)
    data = bptt.data.Batches(lambda: ((x, target) for _ in range(UPDATES)))
    try:
        trainer.fit(data)
    except bptt.NonFiniteError:  # the cell is linear, and may grow without bound
        return {"solved": False, "rmse": None, "largest_error": None, "diverged": True, "y": []}
    y = net(x)[0]
    rmse = float(np.sqrt(np.mean((y - target) ** 2)))
    return {
        "solved": rmse < GOOD,
        "rmse": rmse,
        "largest_error": float(np.abs(y - target).max()),
        "diverged": False,
        "updates": UPDATES,
        "y": np.round(y[:, 0, 0].astype(float), 3),
    }


def verdict(runs: Runs) -> Verdict:
    """Return whether at least 70% of the nets with peepholes are solved, and at most 20% without."""
    parts, counts = [], []
    for name in (WITH, WITHOUT):
        count, of = solved(runs[name])
        below = sum((run["largest_error"] or 1.0) < FIRST_LIMIT for run in runs[name])
        errors = [run["rmse"] for run in runs[name] if run["rmse"] is not None]
        median = f"median RMSE {np.median(errors):.3f}" if errors else "all diverged"
        parts.append(
            f"{name}, {count} of {of} nets ({median}; errors below {FIRST_LIMIT} at every step: {below})"
        )
        counts.append(count / of)
    return counts[0] >= 0.7 and counts[1] <= 0.2, f"Solved: {'; '.join(parts)}."


def draw(axes: Axes, runs: Runs) -> None:
    """Draw the target, and the best net of each kind."""
    _, target = raised_cosine(PERIOD, PERIODS)
    axes.plot(target[:, 0, 0], color=canvas.DARK, linewidth=1, linestyle=":", label="target")
    for name, colour in ((WITH, canvas.BLUE), (WITHOUT, canvas.RED)):
        best = min((run for run in runs[name] if run["y"]), key=lambda run: run["rmse"], default=None)
        if best is not None:
            axes.plot(best["y"], color=colour, label=f"{name}, best of {len(runs[name])}")
    axes.set_xlabel("step")
    axes.set_ylim(-0.4, 1.75)
    axes.legend(loc="upper center", ncols=1, frameon=False)


def _case(name: str, published: str, *, peephole: bool) -> Case:
    return Case(
        name,
        "LSTM with one cell; candidate and output linear; the state h is the output; weights uniform in "
        f"+-0.1; forget and output biases 2; constant input 1; {PERIODS} periods of {PERIOD} steps; mean "
        f"squared error; Adam 0.01; gradient norm clipped at 1; {UPDATES:,} updates",
        published,
        partial(run, peephole=peephole),
        quick_seeds=3,
        full_seeds=10,
        quick_seconds=7,
        full_seconds=7,
    )


PERIODIC = Experiment(
    name="periodic-function",
    title="One cell generates a cosine of period 25",
    paper=(
        "F. A. Gers, N. N. Schraudolph and J. Schmidhuber (2002). Learning precise timing with LSTM "
        "recurrent networks. Journal of Machine Learning Research 3, 115-143."
    ),
    claim=(
        "With peephole connections, an LSTM with one cell learns to generate a periodic function without any "
        "input that varies. Without them, the gates do not see the cell well enough."
    ),
    criterion=(
        f"A run is solved if the RMSE over {PERIODS} periods from the zero state is below {GOOD}. The "
        "paper reports an RMSE of 0.086 for its tightened criterion. The claim is reproduced if at least "
        "7 of 10 nets with peepholes are solved, and at most 2 of 10 without."
    ),
    cases=(_case(WITH, "RMSE 0.086", peephole=True), _case(WITHOUT, "", peephole=False)),
    verdict=verdict,
    figure="rmse",
    solved_only=False,
    notes=(
        "The target is (1 - cos(2 pi t / F)) / 2. The paper first asks for errors below 0.3 at every "
        "step. On seeds 100 to 105, which are not in the table, nets without peepholes came as close to "
        "this limit as 0.313. One was below it for a while, with a wave of the wrong shape. The RMSE "
        "separates the two kinds of nets better, so it is the criterion here. The number of updates was "
        "chosen on the same seeds. A net whose linear cell grows without bound counts as not solved."
    ),
    draw=draw,
)
