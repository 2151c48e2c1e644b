"""Training on all cores while other processes need them: milliseconds per iteration.

The other threads belong to busy processes, or to NumPy, which multiplies matrices between the iterations.

python benchmarks/neighbours.py
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from contextlib import ExitStack, contextmanager

import numpy as np

import bptt

SECONDS = 3.0
PRODUCT = 300
"""Rows and columns of the product: about 1 ms, and large enough for the threads of NumPy's library."""


def spin() -> None:
    """Keep a core busy."""
    while True:
        pass


@contextmanager
def neighbour():
    """Run a busy process."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def iteration(threads: int, hidden: int, layers: int, between: bool = False) -> float:
    """Return the mean time, stalls included. `between`: make an untimed NumPy product before each call."""
    bptt.set_num_threads(threads)
    layer = bptt.LSTM(hidden, hidden, num_layers=layers, seed=0)
    rng = np.random.default_rng(0)
    x, a = rng.standard_normal((48, 32, hidden), np.float32), rng.standard_normal((PRODUCT, PRODUCT))
    times = []
    while sum(times) < SECONDS:
        if between:
            a @ a
        start = time.perf_counter()
        y, _, tape = layer.forward(x)
        layer.backward(tape, y)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.fmean(times)


def after_products(blas_threads: int | None, threads: int) -> float:
    """Measure in a separate process: NumPy's library reads its number of threads only once."""
    if blas_threads is not None:
        os.environ["OPENBLAS_NUM_THREADS"] = str(blas_threads)
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(iteration, (threads, 128, 1, True))


def main() -> None:
    cores = bptt.get_num_threads()
    print("LSTM 2 x 40, T=48, B=32, training; ms an iteration")
    print(f"{'busy neighbours':<28}{'1 thread':>12}{f'{cores} threads':>12}")
    for count in (0, 1, 2):
        with ExitStack() as others:
            for _ in range(count):
                others.enter_context(neighbour())
            time.sleep(1)
            print(f"{count:<28}{iteration(1, 40, 2):12.2f}{iteration(cores, 40, 2):12.2f}")
    print(
        f"\nLSTM 128, T=48, B=32, training; ms an iteration, after a product in NumPy ({PRODUCT} x {PRODUCT})"
    )
    for name, blas in (("NumPy as it is", None), ("OPENBLAS_NUM_THREADS=1", 1)):
        print(f"{name:<28}{after_products(blas, 1):12.2f}{after_products(blas, cores):12.2f}")


if __name__ == "__main__":
    main()
