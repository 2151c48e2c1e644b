"""An update of a large embedding, sparse against dense: the time that docs/guide/layers.md promises.

The two kinds take turns in bursts, so that other work on the machine slows both, but each finds its own
data in the caches. The median update of a burst counts, and of the bursts the fastest one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import bptt

BURST = 8
"""Updates of one kind in a row."""
OPTIMIZERS: dict[str, Callable[[], bptt.optim.Optimizer]] = {
    "SGD": lambda: bptt.SGD(0.01),
    "Adam": lambda: bptt.Adam(0.001),
}


class Update:
    """One update: zero_grad, forward, backward, clip, optimizer."""

    def __init__(self, sparse: bool, sizes: tuple[int, int], optimizer: bptt.optim.Optimizer) -> None:
        self.model = bptt.Sequential(bptt.Embedding(*sizes, sparse=sparse, seed=0))
        self.clip = bptt.ClipNorm(1.0)
        self.optimizer = optimizer

    def __call__(self, x: np.ndarray, dy: np.ndarray) -> float:
        begin = time.perf_counter()
        self.model.zero_grad()
        _, _, tape = self.model.forward(x)
        self.model.backward(tape, dy, need_dx=False)
        self.clip(self.model)
        self.optimizer.step(self.model)
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="size of the vocabulary")
    parser.add_argument("--width", type=int, default=256, help="width of the embedding")
    parser.add_argument("--tokens", type=int, nargs=2, default=(50, 32), metavar=("T", "B"))
    parser.add_argument("--rounds", type=int, default=30, help="bursts of each kind that count")
    parser.add_argument("--warm-up", type=int, default=10, help="bursts before, which touch all memory once")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{args.rows} x {args.width}, batches of {args.tokens[0]} x {args.tokens[1]} tokens, with ClipNorm")
    for name, make in OPTIMIZERS.items():
        updates = {
            kind: Update(kind == "sparse", (args.rows, args.width), make()) for kind in ("dense", "sparse")
        }
        times: dict[str, list[float]] = {kind: [] for kind in updates}
        for n in range(args.rounds + args.warm_up):
            batches = [
                (
                    rng.integers(0, args.rows, tuple(args.tokens)),
                    rng.standard_normal((*args.tokens, args.width)).astype(np.float32),
                )
                for _ in range(BURST)
            ]
            for kind, update in updates.items():
                seconds = float(np.median([update(*batch) for batch in batches]))
                if n >= args.warm_up:
                    times[kind].append(seconds)
        dense, sparse = (min(times[kind]) for kind in ("dense", "sparse"))
        print(f"{name}: dense {1e3 * dense:.2f} ms, sparse {1e3 * sparse:.2f} ms, ratio {dense / sparse:.1f}")


if __name__ == "__main__":
    main()
