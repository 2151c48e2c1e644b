"""
A hyper-parameter sweep
=======================

Train many small models in parallel, and compare medians over seeds. ::

    python examples/sweep.py                 # on this machine's cores, some seconds
    python examples/sweep.py --processes 2
    python examples/sweep.py --picture sweep.png

Small models are trained fastest in parallel processes with one thread each, because no process waits for
another. `bptt.sweep` starts the processes on this machine. The same function works on other machines::

    from dask.distributed import Client; client = Client("scheduler:8786")
    losses = client.gather([client.submit(run, seed, **setting) for setting in SETTINGS for seed in range(5)])

For one model that is too slow for one machine, see docs/howto/distributed.md.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np

import bptt

# %%
# Settings
# --------
# Three cells, two sizes and two learning rates.


CELLS = {"rnn": bptt.RNN, "gru": bptt.GRU, "lstm": bptt.LSTM}
SETTINGS = [
    {"cell": cell, "hidden": hidden, "rate": rate}
    for cell, hidden, rate in product(CELLS, (8, 32), (3e-3, 1e-2))
]
STEPS, ROWS = 40, 32


def series() -> np.ndarray:
    """Return a series (3000,): two waves, one of them with a slowly varying amplitude, and noise."""
    t = np.arange(3000)
    noise = np.random.default_rng(0).normal(0, 0.05, t.size)
    return np.sin(t / 8) * np.cos(t / 150) + 0.5 * np.sin(t / 19) + noise


# %%
# One run
# -------
# A function that trains one model and returns its history.


def run(seed: int, cell: str, hidden: int, rate: float, epochs: int = 5) -> bptt.History:
    """Train one model, and return its history."""
    values = series()
    learn = bptt.data.Windows(values[:2400], steps=STEPS, batch_size=ROWS, stride=5, shuffle=True, seed=seed)
    judge = bptt.data.Windows(values[2400:], steps=STEPS, batch_size=ROWS, stride=5)
    model = bptt.Sequential(CELLS[cell](1, hidden, seed=seed), bptt.Linear(hidden, 1, seed=seed))
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.Adam(rate), clip=bptt.ClipNorm(1.0), progress=False
    )
    return trainer.fit(learn, epochs, validation=judge)


# %%
# All runs
# --------
# ``bptt.sweep`` runs the function for every setting and seed, in parallel processes.


def main() -> None:
    parser = argparse.ArgumentParser(description="Train many models at once.")
    parser.add_argument("--processes", type=int, help="number of processes (default: the cores)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each setting: 0, 1, ...")
    parser.add_argument("--picture", type=Path, help="draw the learning curves: a .png or .svg file")
    options = parser.parse_args()
    result = bptt.sweep(run, seeds=options.seeds, settings=SETTINGS, processes=options.processes)
    print(result.table())
    if options.picture is not None:
        result.plot(options.picture)


if __name__ == "__main__":
    main()
