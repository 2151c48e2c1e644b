"""A short check for emulated processors: `qemu-x86_64 python tests/emulated.py ISA`.

ISA is the instruction set that must be chosen. Checks every cell against the reference with each instruction
set, and prints a digest of the results. Every processor must print the same for the same instruction set.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

import bptt

CELLS: dict[str, bptt.Module] = {
    "rnn": bptt.RNN(3, 9, 2, seed=0),
    "lstm": bptt.LSTM(3, 9, peephole=True, bidirectional=True, seed=0),
    "lstm with layer norm": bptt.LSTM(3, 9, layer_norm=True, seed=0, dtype="float64"),
    "gru": bptt.GRU(3, 17, 2, seed=0),
    "gru, reset before": bptt.GRU(3, 9, reset_after=False, seed=0, dtype="float64"),
    "mgu": bptt.MGU(3, 9, seed=0),
}


def digest(layer: bptt.Module, x: np.ndarray) -> str:
    layer.zero_grad()
    y, _, tape = layer.forward(x)
    dx, _ = layer.backward(tape, y)
    return hashlib.sha256(y.tobytes() + dx.tobytes() + layer.flat_gradients.tobytes()).hexdigest()[:16]


def main(expected: str) -> None:
    if bptt.isa() != expected:
        raise SystemExit(f"the instruction set must be {expected}; got {bptt.isa()}")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (4, 3, 3))
    for layer in CELLS.values():  # what initializers compute depends on LAPACK, and so on the processor
        layer.flat_parameters[:] = rng.uniform(-0.5, 0.5, layer.flat_parameters.size)
    for isa in bptt.available_isas():
        bptt.use_isa(isa)
        for name, layer in CELLS.items():
            bptt.crosscheck(layer, x)
            print(isa, name, digest(layer, x.astype(layer.dtype)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
