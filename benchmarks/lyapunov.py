"""Lyapunov exponents against a plain NumPy loop: CPU time per step, and the ratio of the two.

    python benchmarks/lyapunov.py [--size N] [--steps T] [--rounds R]

The loop multiplies tangent vectors by the Jacobian of a tanh network and makes them orthonormal at each
step. Both sides run in turn, and the table shows the fastest round of each side.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np

import bptt


def numpy_exponents(layer: bptt.RNN, x: np.ndarray, k: int) -> np.ndarray:
    W, U = layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"]
    b = layer.parameters["bias_ih_l0"] + layer.parameters["bias_hh_l0"]
    N = layer.hidden_size
    h, sums = np.zeros(N), np.zeros(k)
    frame, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((N, k)))
    for x_t in x:
        h = np.tanh(W @ x_t + U @ h + b)
        frame = (1 - h * h)[:, None] * (U @ frame)
        if k == 1:
            length = np.linalg.norm(frame)
            frame /= length
            sums += np.log(length)
        else:
            frame, r = np.linalg.qr(frame)
            sums += np.log(np.abs(np.diagonal(r)))
    return np.sort(sums / len(x))[::-1]


def seconds(call, *arguments) -> float:
    begin = process_time()
    call(*arguments)
    return process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=200, metavar="N")
    parser.add_argument("--steps", type=int, default=1000, metavar="T")
    parser.add_argument("--rounds", type=int, default=5, metavar="R")
    given = parser.parse_args()
    N = given.size
    layer = bptt.RNN(8, N, dtype="float64", seed=0)
    x = np.random.default_rng(1).standard_normal((given.steps, 8))
    print(f"{'k':>5} {'NumPy loop':>12} {'bptt':>12} {'ratio':>6}   (CPU time per step, ms)")
    for k in (1, N // 10, N):
        rounds = [
            (seconds(numpy_exponents, layer, x, k), seconds(bptt.lyapunov_spectrum, layer, x, k))
            for _ in range(given.rounds)
        ]
        loop, ours = (1e3 * min(times) / given.steps for times in zip(*rounds, strict=True))
        print(f"{k:>5} {loop:>12.4f} {ours:>12.4f} {ours / loop:>6.2f}")


if __name__ == "__main__":
    main()
