"""
A hyper-parameter sweep: train many small models in parallel, and sort them by validation loss.

    pip install joblib
    python examples/sweep.py              # on this machine's cores, some seconds
    python examples/sweep.py --jobs 2

Small models are trained fastest in parallel processes with one thread each, because no process waits for
another. joblib starts the processes, here on this machine. The same loop works on other machines:

    from dask.distributed import Client; Client("scheduler:8786")
    with joblib.parallel_config("dask"): ...

    from ray.util.joblib import register_ray; register_ray()
    with joblib.parallel_config("ray"): ...

For one model that is too slow for one machine, see docs/distributed.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from typing import Any

import joblib
import numpy as np

import bptt

CELLS = {"rnn": bptt.RNN, "gru": bptt.GRU, "lstm": bptt.LSTM}
GRID = {"cell": list(CELLS), "hidden": [8, 16, 32], "rate": [3e-3, 1e-2], "seed": [0]}
STEPS, ROWS = 40, 32


def series() -> np.ndarray:
    """Return a series (3000,): two waves, one of them with a slowly varying amplitude, and noise."""
    t = np.arange(3000)
    noise = np.random.default_rng(0).normal(0, 0.05, t.size)
    return np.sin(t / 8) * np.cos(t / 150) + 0.5 * np.sin(t / 19) + noise


def trial(settings: dict[str, Any], epochs: int, threads: int) -> float:
    """Return the validation loss of one model, trained in a separate process or on another machine."""
    bptt.set_num_threads(threads)  # or each would take all cores
    values = series()
    learn = bptt.data.Windows(
        values[:2400], steps=STEPS, batch_size=ROWS, stride=5, shuffle=True, seed=settings["seed"]
    )
    judge = bptt.data.Windows(values[2400:], steps=STEPS, batch_size=ROWS, stride=5)
    model = bptt.Sequential(
        CELLS[settings["cell"]](1, settings["hidden"], seed=settings["seed"]),
        bptt.Linear(settings["hidden"], 1, seed=settings["seed"]),
    )
    trainer = bptt.Trainer(
        model,
        bptt.MeanSquaredError(),
        bptt.Adam(settings["rate"]),
        clip=bptt.ClipNorm(1.0),
        progress=False,
    )
    trainer.fit(learn, epochs)
    return trainer.evaluate(judge)


def grid() -> Iterator[dict[str, Any]]:
    """Return all combinations of settings."""
    for values in product(*GRID.values()):
        yield dict(zip(GRID, values, strict=True))


def sweep(jobs: int, epochs: int, threads: int = 1) -> list[tuple[float, dict[str, Any]]]:
    """Return validation losses and settings, the best first."""
    settings = list(grid())
    losses = joblib.Parallel(n_jobs=jobs)(joblib.delayed(trial)(each, epochs, threads) for each in settings)
    return sorted(zip(losses, settings, strict=True), key=lambda found: found[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Train many models at once.")
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count(), help="processes")
    parser.add_argument("--epochs", type=int, default=5, help="of each model")
    options = parser.parse_args()
    print("loss     settings")
    for loss, settings in sweep(options.jobs, options.epochs):
        print(f"{loss:.5f}  {', '.join(f'{name} {value}' for name, value in settings.items())}")


if __name__ == "__main__":
    main()
