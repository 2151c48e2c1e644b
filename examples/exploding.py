"""
Exploding gradients
===================

Recurrent weights above 1, their effect on the loss, and two remedies. ::

    pip install 'bptt[plot]'
    python examples/exploding.py           # a picture and its figures, some seconds
    python examples/exploding.py --table   # clipping on the temporal order task, some minutes

A tanh network with recurrent weights of spectral radius 3 learns to repeat the input of three steps ago. Over
100 steps of backpropagation its gradient grows more than 10,000-fold, and a single update destroys what the
network has learned. Clipping the gradient norm bounds the update. Truncation limits the number of steps.

Each run compares its figures with CLAIMS, which docs/guide/gradient-flow.md prints, and exits with code 1 if
a figure is outside. CLAIMS hold for seeds 0 to 9 on every instruction set.

`--table` trains a tanh network with and without clipping on the temporal order task of Pascanu, Mikolov and
Bengio (2013), On the difficulty of training recurrent neural networks, arXiv:1211.5063.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import bptt
from bptt.diagnose.pictures import canvas

Array: TypeAlias = npt.NDArray[Any]

STEPS, ROWS, DELAY, HIDDEN, RADIUS, RATE = 100, 16, 3, 32, 3.0, 0.05
BATCHES = 300
WINDOW = 10
LIMIT = 1.0


# %%
# Task and network
# ----------------
# The network repeats its input of three steps ago. Its recurrent weights are large on purpose.


def echo(seed: int, batches: int) -> list[tuple[Array, Array]]:
    """Return noise, and as the target the same noise DELAY steps later."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(batches):
        x = rng.uniform(-1, 1, (STEPS, ROWS, 1))
        target = np.zeros_like(x)
        target[DELAY:] = x[:-DELAY]
        made.append((x, target))
    return made


def build(seed: int) -> bptt.Sequential:
    """Return recurrent weights whose largest eigenvalue is RADIUS."""
    return bptt.Sequential(
        bptt.RNN(1, HIDDEN, init=bptt.init.sparse(spectral_radius=RADIUS), seed=seed),
        bptt.Linear(HIDDEN, 1, seed=seed),
    )


# %%
# Training
# --------
# The same network on the same data, with several options of the Trainer.


@dataclass
class Run:
    """One training run: mean loss and largest gradient norm of each batch, and the error that ended it."""

    name: str
    loss: Array
    grad_norm: Array
    ended: str = ""

    @property
    def last_loss(self) -> float:
        """Mean over the last 5 % of the batches."""
        return float(np.mean(self.loss[-max(1, len(self.loss) // 20) :]))


def trained(name: str, seed: int, batches: int, **options: Any) -> Run:
    """Train the same network on the same data with several options of the Trainer."""
    trainer = bptt.Trainer(build(seed), bptt.MeanSquaredError(), bptt.SGD(RATE), progress=False, **options)
    ended = ""
    try:
        trainer.fit(echo(seed, batches))
    except bptt.NonFiniteError as error:
        ended = str(error).partition(":")[0]
    windows = -(-STEPS // options["truncate"]) if "truncate" in options else 1
    loss, norm = (trainer.history[key] for key in ("loss", "grad_norm"))
    whole = len(loss) // windows * windows
    return Run(
        name, loss[:whole].reshape(-1, windows).mean(1), norm[:whole].reshape(-1, windows).max(1), ended
    )


# %%
# What the figures must show
# --------------------------
# The page on the gradient through time prints these ranges.


@dataclass(frozen=True)
class Claim:
    """What the page says of one training: whether it ends at a gradient that is not finite, and ranges.

    `last_loss` is the mean over the last 5 % of the batches. Ranges include their ends.
    """

    ends: bool
    last_loss: tuple[float, float]
    largest_loss: tuple[float, float]
    largest_norm: tuple[float, float]


GROWTH = (1.1, 1.6)
"""Growth of the error per step back before training: more than 10,000-fold over 99 steps."""
CLAIMS = {
    "plain": Claim(True, (1e6, np.inf), (1e6, np.inf), (1e6, np.inf)),
    f"clipped at norm {LIMIT:g}": Claim(False, (0, 3), (0, 3), (1e3, np.inf)),
    f"truncated to {WINDOW} steps": Claim(False, (0, 0.15), (0, 1), (0, 20)),
}


def check(seed: int, flow: bptt.diagnose.GradientFlow, runs: list[Run]) -> None:
    """Compare BATCHES batches of each training with the page.

    Raises
    ------
    SystemExit
        A figure is outside its claim.
    """
    figures = [("before training", "growth per step", float(flow.rate[0]), GROWTH)]
    for run in runs:
        claim = CLAIMS[run.name]
        figures += [
            (run.name, "end at a gradient that is not finite", bool(run.ended), (claim.ends, claim.ends)),
            (run.name, "last loss", run.last_loss, claim.last_loss),
            (run.name, "largest loss", float(run.loss.max()), claim.largest_loss),
            (run.name, "largest gradient norm", float(run.grad_norm.max()), claim.largest_norm),
        ]
    for name, what, value, (low, high) in figures:
        if not low <= value <= high:
            found = f"{name}, seed {seed}: {what} is {value:g}"
            raise SystemExit(f"exploding.py: {found}, but the page says {low:g} to {high:g}")


# %%
# Picture
# -------
# Growth of errors before training, then the loss and the gradient norm of three trainings.


def compared(seed: int, batches: int) -> list[Run]:
    """Train without clipping, with clipping, and with truncation."""
    return [
        trained("plain", seed, batches),
        trained(f"clipped at norm {LIMIT:g}", seed, batches, clip=bptt.ClipNorm(LIMIT)),
        trained(f"truncated to {WINDOW} steps", seed, batches, truncate=WINDOW),
    ]


def draw(runs: list[Run], flow: bptt.diagnose.GradientFlow, path: Path) -> bool:
    """Draw the growth of errors, the loss and the gradient norm. Return False without matplotlib."""
    if not canvas.available():
        return False
    from bptt.diagnose.pictures.flow import draw_flows

    with canvas.drawing(12.0, 4.0) as figure:
        back, loss, norm = figure.subplots(1, 3)
        draw_flows(back, {"before training": flow})
        back.set_title("An error on its way back")
        for k, run in enumerate(runs):
            style = {"color": canvas.COLOURS[k], "linestyle": canvas.STYLES[k], "linewidth": 1.0}
            loss.semilogy(run.loss, label=run.name, **style)
            norm.semilogy(run.grad_norm, label=run.name, **style)
        norm.axhline(LIMIT, color=canvas.RED, linewidth=1.0, linestyle=(0, (6, 2)), label="limit of clipping")
        loss.set(title="Loss", xlabel="batch", ylabel="mean squared error")
        norm.set(title="Gradient norm", xlabel="batch", ylabel="2-norm before clipping")
        for axes in (back, loss, norm):
            axes.legend(fontsize=8)
            canvas.tidy(axes)
    canvas.write(figure, path)
    return True


# The temporal order task


# %%
# A harder task
# -------------
# ``--table`` trains this task with and without clipping. The task is from Pascanu et al.


HARD_STEPS = (50, 100)
HARD_UNITS, HARD_ROWS, HARD_RATE = 50, 20, 0.01
HARD_UPDATES = 200_000
HARD_CHECK = 1000
"""Number of updates between two measurements of the test error."""
HARD_SUCCESS = 0.01
"""Success as in the paper: fewer than 1 % of unseen sequences are wrong."""
HARD_GUESSING = 0.7
"""Error of a network that guesses: 75 % +- 5 % of 1,000 sequences."""


def temporal_order(rng: np.random.Generator, steps: int, rows: int) -> tuple[Array, Array]:
    """
    Noise of four symbols, with an A or a B in [0.1, 0.2) of the steps and another in [0.5, 0.6): which two,
    in which order? (T, B, 6) one-hot, and 4 classes.
    """
    symbols = rng.integers(2, 6, (steps, rows))
    marks = rng.integers(0, 2, (2, rows))
    for mark, share in zip(marks, (0.1, 0.5), strict=True):
        at = rng.integers(int(share * steps), int((share + 0.1) * steps), rows)
        symbols[at, np.arange(rows)] = mark
    return np.eye(6, dtype=np.float32)[symbols], 2 * marks[0] + marks[1]


class TemporalOrder:
    """HARD_CHECK new batches in every pass. All sequences of a batch have the same length."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return HARD_CHECK

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for _ in range(HARD_CHECK):
            yield temporal_order(
                self.rng, int(self.rng.integers(HARD_STEPS[0], HARD_STEPS[1] + 1)), HARD_ROWS
            )


class Success(bptt.Callback):
    """End the run when fewer than 1 % of 1,000 sequences with other seeds are wrong."""

    def __init__(self) -> None:
        rng = np.random.default_rng(12345)
        self.unseen = [temporal_order(rng, int(steps), 100) for steps in np.linspace(*HARD_STEPS, 10)]
        self.error = 1.0

    def epoch_end(self, trainer: bptt.Trainer, epoch: int) -> None:
        right = [trainer.model(x)[0].argmax(-1) == target for x, target in self.unseen]
        # Count over all batches: for ten wrong sequences, the mean of means is slightly below 0.01.
        self.error = float(np.count_nonzero(~np.concatenate(right)) / sum(map(len, right)))
        if self.error < HARD_SUCCESS:
            trainer.stop()


def hard_model(rng: np.random.Generator) -> bptt.Sequential:
    """Return a tanh RNN of 50 units: orthogonal recurrent weights, others N(0, 0.03^2), biases 0."""

    def init(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if name.startswith("weight_hh"):
            return np.linalg.qr(rng.standard_normal(shape))[0]
        return rng.normal(0.0, 0.03, shape) if name.startswith("weight") else np.zeros(shape)

    return bptt.Sequential(
        bptt.RNN(6, HARD_UNITS, init=init, seed=rng),
        bptt.Last(),
        bptt.Linear(HARD_UNITS, 4, init=init, seed=rng),
    )


def attempt(seed: int, clipped: bool, updates: int) -> dict[str, Any]:
    """Train on the task until success, or until a gradient is not finite."""
    bptt.set_num_threads(1)  # the runs are what goes side by side
    rng, success = np.random.default_rng(seed), Success()
    trainer = bptt.Trainer(
        hard_model(rng),
        bptt.CrossEntropy(),
        bptt.SGD(HARD_RATE),
        clip=bptt.ClipNorm(LIMIT) if clipped else None,
        callbacks=[success],
        progress=False,
    )
    begin = time.perf_counter()
    with suppress(bptt.NonFiniteError):
        trainer.fit(TemporalOrder(rng), epochs=-(-updates // HARD_CHECK))
    norms = trainer.history["grad_norm"]
    return {
        "seed": seed,
        "clipping": f"norm {LIMIT:g}" if clipped else "none",
        "solved": success.error < HARD_SUCCESS,
        "updates": len(norms),
        "error": success.error,
        "largest_norm": float(norms.max(initial=0.0)),
        "seconds": time.perf_counter() - begin,
    }


def table(seeds: int, updates: int) -> list[dict[str, Any]]:
    """Print the results of all seeds with and without clipping. Return them."""
    print(f"temporal order, {HARD_STEPS[0]} to {HARD_STEPS[1]} steps, at most {updates} updates")
    print("seed  clipping  solved  updates   error  largest norm  seconds")
    rows = []
    order = [(seed, clipped) for seed in range(seeds) for clipped in (True, False)]
    # Start new processes: a forked process loses the threads of the compiled core.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for row in pool.map(attempt, *zip(*order, strict=True), repeat(updates)):
            rows.append(row)
            print(
                f"{row['seed']:>4}  {row['clipping']:<8}  {'yes' if row['solved'] else 'no':<6}"
                f"{row['updates']:>9}{row['error']:>8.1%}{row['largest_norm']:>14.3g}{row['seconds']:>9.1f}",
                flush=True,
            )
    for name in dict.fromkeys(row["clipping"] for row in rows):
        solved = sum(row["solved"] for row in rows if row["clipping"] == name)
        print(f"clipping {name}: {solved} of {seeds} seeds solved")
    return rows


def check_table(rows: list[dict[str, Any]]) -> None:
    """Compare the temporal order task with the page: solved with clipping, and guessing without.

    Raises
    ------
    SystemExit
        A seed ends otherwise.
    """
    for row in rows:
        clipped = row["clipping"] != "none"
        if row["solved"] != clipped or (not clipped and row["error"] < HARD_GUESSING):
            found = f"seed {row['seed']}, clipping {row['clipping']}: {row['error']:.1%} wrong"
            page = "solved with clipping" if clipped else f"more than {HARD_GUESSING:.0%} wrong without"
            raise SystemExit(f"exploding.py: {found}, but the page says {page}")


# %%
# Run it
# ------
# The picture takes some seconds. ``--table`` takes some minutes.


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Shows a gradient that explodes, and what helps.")
    parser.add_argument("--seed", type=int, default=1, help="of weights and data (default: 1)")
    parser.add_argument(
        "--batches", type=int, default=BATCHES, help=f"of the first task (default: {BATCHES})"
    )
    parser.add_argument("--picture", type=Path, default=Path("exploding.png"), help="a .png or .svg file")
    parser.add_argument("--figures", type=Path, default=Path("exploding.json"), help="the numbers behind it")
    parser.add_argument("--table", action="store_true", help="the temporal order task instead, some minutes")
    parser.add_argument("--seeds", type=int, default=5, help="of the table (default: 5)")
    parser.add_argument(
        "--updates", type=int, default=HARD_UPDATES, help=f"of the table, at most (default: {HARD_UPDATES})"
    )
    options = parser.parse_args(arguments)
    if options.table:
        rows = table(options.seeds, options.updates)
        options.figures.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        print(f"figures  {options.figures}")
        if options.updates == HARD_UPDATES:
            check_table(rows)
        return

    flow = bptt.gradient_flow(build(options.seed), echo(options.seed, 1)[0][0])
    print(flow)
    runs = compared(options.seed, options.batches)
    print(f"{'':<24}{'last loss':>10}{'largest loss':>14}{'largest gradient norm':>23}")
    for run in runs:
        figures = f"{run.last_loss:>10.3g}{run.loss.max():>14.3g}{run.grad_norm.max():>23.3g}"
        print(f"{run.name:<24}{figures}  {run.ended}")
    named = {run.name: {"loss": run.loss.tolist(), "grad_norm": run.grad_norm.tolist()} for run in runs}
    options.figures.write_text(json.dumps({"runs": named, "flow": flow.to_dict()}), encoding="utf-8")
    print(f"figures  {options.figures}")
    if draw(runs, flow, options.picture):
        print(f"picture  {options.picture}")
    else:
        print("no picture: it needs matplotlib, pip install 'bptt[plot]'")
    if options.batches == BATCHES:
        check(options.seed, flow, runs)


if __name__ == "__main__":
    main()
