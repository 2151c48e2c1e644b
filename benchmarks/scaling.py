"""Training on two threads beside two processes of one thread each: what two cores can do at all.

    python benchmarks/scaling.py

Two processes share nothing but caches, memory and power. Where a virtual machine's cores are halves of one
real core, or others use the machine, they get less than twice the work of one done, too.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection

import numpy as np

import bptt

SHAPES = {
    "RNN, T=48 B=32 2 x 40": ("RNN", 48, 32, 40, 40, 2),
    "GRU, T=48 B=32 2 x 40": ("GRU", 48, 32, 40, 40, 2),
    "LSTM, T=48 B=32 2 x 40": ("LSTM", 48, 32, 40, 40, 2),
    "RNN, T=100 B=32 64 -> 128": ("RNN", 100, 32, 64, 128, 1),
    "GRU, T=100 B=32 64 -> 128": ("GRU", 100, 32, 64, 128, 1),
}
ROUNDS = 15
SECONDS = 0.1


def work(core: int, pipe: Connection) -> None:
    """Answers (shape, threads) by iterations a second; on one core where there is one thread."""
    everywhere = os.sched_getaffinity(0)
    layers = {}
    while True:
        name, threads = pipe.recv()
        os.sched_setaffinity(0, {core} if threads == 1 else everywhere)
        bptt.set_num_threads(threads)
        if name not in layers:
            cell, T, B, I, H, count = SHAPES[name]
            x = np.random.default_rng(0).standard_normal((T, B, I), np.float32)
            layers[name] = getattr(bptt, cell)(I, H, num_layers=count, seed=0), x
        layer, x = layers[name]
        made, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            y, _, tape = layer.forward(x)
            layer.backward(tape, y)
            made += 1
        pipe.send(made / (time.perf_counter() - start))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    pipes = []
    for core in sorted(os.sched_getaffinity(0))[:2]:
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(core, theirs), daemon=True).start()
        pipes.append(ours)

    def rate(name: str, workers: int, threads: int) -> float:
        for pipe in pipes[:workers]:
            pipe.send((name, threads))
        return sum(pipe.recv() for pipe in pipes[:workers])

    print(f"{'training, times one thread on one core':<40}{'two threads':>16}{'two processes':>16}")
    for name in SHAPES:
        found: dict[str, list[float]] = {"two threads": [], "two processes": []}
        rate(name, 2, 1)
        for _ in range(ROUNDS):
            one = rate(name, 1, 1)
            found["two threads"].append(rate(name, 1, 2) / one)
            found["two processes"].append(rate(name, 2, 1) / one)
        shown = [f"{statistics.median(each):.2f} ({max(each):.2f})" for each in found.values()]
        print(f"{name:<40}" + "".join(f"{text:>16}" for text in shown), flush=True)


if __name__ == "__main__":
    main()
