"""Training on two threads beside two processes with half of the batch each: what two cores can do.

    python benchmarks/scaling.py

The two processes have nothing to do with each other, so the slower of them is as fast as two threads with
equal halves could be if they never waited and shared no memory. Where a virtual machine's cores are halves
of one real core, or others use one of them, that is less than twice as fast as one thread.
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
    """Answers (shape, threads, rows) by seconds an iteration; on one core where there is one thread."""
    everywhere = os.sched_getaffinity(0)
    layers = {}
    while True:
        name, threads, rows = pipe.recv()
        os.sched_setaffinity(0, {core} if threads == 1 else everywhere)
        bptt.set_num_threads(threads)
        if (name, rows) not in layers:
            cell, T, _, I, H, count = SHAPES[name]
            x = np.random.default_rng(0).standard_normal((T, rows, I), np.float32)
            layers[name, rows] = getattr(bptt, cell)(I, H, num_layers=count, seed=0), x
        layer, x = layers[name, rows]
        made, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            y, _, tape = layer.forward(x)
            layer.backward(tape, y)
            made += 1
        pipe.send((time.perf_counter() - start) / made)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    pipes = []
    for core in sorted(os.sched_getaffinity(0))[:2]:
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(core, theirs), daemon=True).start()
        pipes.append(ours)

    def seconds(name: str, workers: int, threads: int, rows: int) -> float:
        for pipe in pipes[:workers]:
            pipe.send((name, threads, rows))
        return max(pipe.recv() for pipe in pipes[:workers])

    print(f"{'training, times as fast as one thread':<40}{'two threads':>16}{'two halves':>16}")
    for name, (_, _, batch, *_) in SHAPES.items():
        found: dict[str, list[float]] = {"two threads": [], "two halves": []}
        seconds(name, 2, 1, batch // 2)
        for _ in range(ROUNDS):
            one = seconds(name, 1, 1, batch)
            found["two threads"].append(one / seconds(name, 1, 2, batch))
            found["two halves"].append(one / seconds(name, 2, 1, batch // 2))
        shown = [f"{statistics.median(each):.2f} ({max(each):.2f})" for each in found.values()]
        print(f"{name:<40}" + "".join(f"{text:>16}" for text in shown), flush=True)


if __name__ == "__main__":
    main()
