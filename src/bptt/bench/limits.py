"""The limit of a case: the shortest possible time for its arithmetic and for reading its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bptt.bench.shapes import GATES, Case

BYTES = {"highest": 4, "bfloat16": 2, "int8": 1}
"""Bytes of a weight in each precision."""


@dataclass(frozen=True)
class Speed:
    """Speed of one thread.

    Attributes
    ----------
    peak : float
        Multiply-adds on registers, in GFLOP/s.
    bandwidth : mapping of int to float
        Rate at which the thread reads an array again and again, in GB/s, by the size of the array in bytes.
    gains : mapping of str to float
        Multiply-adds of an instruction in reduced precision, compared with an instruction in float32. A
        precision without its own instruction is emulated in float32.
    """

    peak: float
    bandwidth: Mapping[int, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)

    def read_rate(self, size: float) -> float:
        """Return the rate for an array of `size` bytes, in GB/s; 0 if no bandwidth was measured.

        The rate is that of the next smaller measured array, or of a larger array that is read faster.
        """
        start = max((measured for measured in self.bandwidth if measured <= size), default=0)
        return max((rate for measured, rate in self.bandwidth.items() if measured >= start), default=0.0)


def limits(case: Case, threads: int, speed: Speed) -> dict[str, float]:
    """Return the shortest times of a case in microseconds: "compute", and "memory" if it is known.

    The result is empty for a case with an option, because its arithmetic differs.
    """
    if case.mode == "variants":
        return {}
    peak = speed.peak * speed.gains.get(case.precision, 1.0)
    times = {"compute": 1e6 * case.gflop / (threads * peak)}
    rate = speed.read_rate(reread_bytes(case) / threads)
    if rate:
        times["memory"] = 1e-3 * read_bytes(case) / (threads * rate)
    return times


def reread_bytes(case: Case) -> int:
    """Return the size of the weights that every time step reads again."""
    shape = case.shape
    if case.mode == "streaming":
        return _parameters(case)
    columns = shape.H if shape.T > 1 else shape.H + shape.I
    return BYTES[case.precision] * GATES[case.cell] * shape.H * columns


def read_bytes(case: Case) -> int:
    """Return the number of bytes of weights that a call (streaming: a step) must read.

    Each time step reads the recurrent weights, because it depends on the previous step. One product for all
    time steps can read the input weights once. Training reads weights in the forward and the backward pass.
    """
    shape = case.shape
    if case.mode == "streaming":
        return _parameters(case)
    weight = BYTES[case.precision]
    recurrent = weight * GATES[case.cell] * shape.H**2 * shape.layers * shape.directions
    passes = 1 if case.mode == "inference" else 2
    return passes * (_parameters(case) + (shape.T - 1) * recurrent)


def _parameters(case: Case) -> int:
    """Return the size of all weight matrices in bytes."""
    shape = case.shape
    inputs = shape.I + (shape.layers - 1) * shape.directions * shape.H
    count = GATES[case.cell] * shape.H * shape.directions * (inputs + shape.layers * shape.H)
    return BYTES[case.precision] * count
