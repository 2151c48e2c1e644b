"""Training on all cores while others want them: milliseconds an iteration, beside busy processes.

python benchmarks/neighbours.py
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from contextlib import ExitStack, contextmanager

import numpy as np

import bptt

SECONDS = 3.0


def spin() -> None:
    """Want a core all the time."""
    while True:
        pass


@contextmanager
def neighbour():
    """A busy process."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def iteration(threads: int) -> float:
    """The mean, over some seconds: a stall is part of it."""
    bptt.set_num_threads(threads)
    layer = bptt.LSTM(40, 40, num_layers=2, seed=0)
    x = np.random.default_rng(0).standard_normal((48, 32, 40), np.float32)
    times = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        y, _, tape = layer.forward(x)
        layer.backward(tape, y)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.fmean(times)


def main() -> None:
    cores = bptt.get_num_threads()
    print("LSTM 2 x 40, T=48, B=32, training; ms an iteration")
    print(f"{'busy neighbours':<18}{'1 thread':>12}{f'{cores} threads':>12}")
    for count in (0, 1, 2):
        with ExitStack() as others:
            for _ in range(count):
                others.enter_context(neighbour())
            time.sleep(1)
            print(f"{count:<18}{iteration(1):12.2f}{iteration(cores):12.2f}")


if __name__ == "__main__":
    main()
