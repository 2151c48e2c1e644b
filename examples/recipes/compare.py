"""
Every recipe of this folder, the same network in PyTorch, and the baselines, in one table.

    pip install 'bptt[examples]' torch
    python examples/recipes/compare.py --markdown docs/guide/recipes.md   # a quarter of an hour

Recipes and PyTorch take turns, with one thread each, so that both see the same load of the machine. The speed
ratio is the time that PyTorch's training takes, divided by the time of bptt's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import scripts

sys.path.append(str(Path(__file__).parent.parent))
sys.path.append(str(scripts.PYTORCH))

import baselines
import results
import training
from jobs import JOBS, Job

import bptt
from bptt.bench.machine import processor


@dataclass
class Runs:
    """The results of one job, seed by seed, and the seconds that training took."""

    ours: list[float]
    torch: list[float]
    baselines: list[dict[str, float]]
    seconds: list[tuple[float, float]]

    @property
    def speed(self) -> float:
        """PyTorch's seconds divided by ours."""
        return median(theirs / ours for ours, theirs in self.seconds)


def run_job(job: Job, seeds: int, constants: dict[str, int]) -> Runs:
    """Run a recipe, its PyTorch version and its baselines with each seed, one after the other."""
    runs = Runs([], [], [], [])
    for seed in range(seeds):
        with timed(bptt.Trainer, "fit") as ours, timed(training, "fit") as theirs:
            recipe = scripts.run(job.name, SEED=seed, **constants)
            module = scripts.run(job.name, scripts.PYTORCH, SEED=seed, **constants)
        runs.ours.append(float(recipe[job.figure]))
        runs.torch.append(float(module[job.figure]))
        runs.baselines.append(getattr(baselines, job.name)(recipe))
        trains = bool(ours)
        runs.seconds.append((sum(ours), sum(theirs)) if trains else (runs.ours[-1], runs.torch[-1]))
    return runs


def row_of(job: Job, runs: Runs) -> list[str]:
    """Return the row of a job in the table. Times are relative to ours."""
    title = f"[{job.title}](../examples/recipes/{job.name}.py)"
    scale = 1 / mean(runs.ours) if job.figure == "microseconds" else 1.0
    ours, torch = (job.format([scale * value for value in values]) for values in (runs.ours, runs.torch))
    names = runs.baselines[0]
    scores = {name: [scale * values[name] for values in runs.baselines] for name in names}
    others = "; ".join(f"{name} {job.format(values)}" for name, values in scores.items())
    return [title, job.unit, ours, torch, others, f"{runs.speed:.1f}"]


def failures_of(job: Job, runs: Runs) -> Iterator[str]:
    """Yield a sentence for each baseline that our mean does not beat."""
    for name in runs.baselines[0]:
        baseline = mean(scores[name] for scores in runs.baselines)
        if name not in job.not_beaten and not job.beats(mean(runs.ours), baseline):
            yield f"{name} by {job.name} ({baseline:.3g}, ours {mean(runs.ours):.3g})"


@contextmanager
def timed(owner: Any, name: str) -> Iterator[list[float]]:
    """Measure the seconds of each call of a function."""
    function: Callable[..., Any] = getattr(owner, name)
    seconds: list[float] = []

    def measured(*arguments: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - begin)

    setattr(owner, name, measured)
    try:
        yield seconds
    finally:
        setattr(owner, name, function)


def main(arguments: Sequence[str] | None = None) -> None:
    options = results.read_options(
        "recipes", "Compares the recipes with PyTorch.", arguments, seeds=3, picture=False
    )
    torch = results.need("torch", "torch")
    bptt.set_num_threads(1)
    torch.set_num_threads(1)
    table = results.Table(["job", "result", "bptt", "PyTorch", "baseline", "speed ratio"])
    failures: list[str] = []
    for job in JOBS:
        constants = {"EPOCHS": 1} if options.quick and job.name != "streaming" else {}
        with results.need("threadpoolctl", "threadpoolctl").threadpool_limits(1):
            runs = run_job(job, options.seeds, constants)
        table.rows.append(row_of(job, runs))
        if not options.quick:
            failures += failures_of(job, runs)
    table.note = (
        "Means over seeds. The time of a step is relative to that of bptt. The speed ratio is PyTorch's time "
        "divided by that of bptt, median over seeds. It is measured with one thread each, in turns, on "
        f"{processor()}. " + results.made_by(options)
    )
    results.deliver(options, table, None, (0.0, 0.0), failures)


if __name__ == "__main__":
    main()
