"""Peak resident memory of a training step, compared with the memory that the step needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.bench.problem import layer
from bptt.bench.shapes import Case, case_of

STEPS = 3
"""Number of training steps: later steps must reuse the memory of earlier steps."""

STATUS = Path("/proc/self/status")
MIB = 2**20
FIGURES = ("threads", "rise", "tape", "parameters", "result")


@dataclass(frozen=True)
class Memory:
    """Memory of one case on one number of threads, in bytes.

    Attributes
    ----------
    rise : int
        Peak resident memory minus the resident memory before the first step. Layer, gradients, x and dy exist
        before the first step.
    tape, parameters, result : int
        Bytes of the tape's views, of the parameters, and of the result dx. The tape of a checkpointed step
        stores no views, so its `tape` is 0 and its result includes y.
    """

    case: Case
    threads: int
    rise: int
    tape: int
    parameters: int
    result: int

    def plain(self) -> dict[str, Any]:
        """Return JSON values."""
        return self.case.plain() | {name: getattr(self, name) for name in FIGURES}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Memory:
        """Return the memory that `plain` described."""
        return cls(case_of(values), **{name: values[name] for name in FIGURES})


def available() -> bool:
    """Return whether the system reports the resident memory of a process."""
    return STATUS.exists()


def measure(case: Case, threads: int) -> Memory:
    """Measure the memory of training steps. Call in a new process: free memory would hide the rise."""
    bptt.set_num_threads(threads)
    shape = case.shape
    rng = np.random.default_rng(0)
    ours = layer(case)
    ours.zero_grad()
    x = rng.standard_normal((shape.T, shape.B, shape.I), np.float32)
    x.flags.writeable = False
    dy = rng.standard_normal((shape.T, shape.B, shape.directions * shape.H), np.float32)
    before = _resident("VmRSS")
    for _ in range(STEPS):
        y = tape = dx = None  # free the arrays of the last step before the next step begins
        ours.zero_grad()
        y, _, tape = ours.forward(x, checkpoint=case.checkpoint)
        dx, _ = ours.backward(tape, dy)
    rise = _resident("VmHWM") - before
    assert tape is not None
    assert y is not None
    assert dx is not None
    if case.checkpoint:
        return Memory(case, threads, rise, 0, ours.flat_parameters.nbytes, y.nbytes + dx.nbytes)
    gates = () if case.cell == "rnn" else tape.gates  # the gates of an RNN are its h
    tape_bytes = sum(view.nbytes for view in (*tape.h, *(tape.c or ()), *gates))
    return Memory(case, threads, rise, tape_bytes, ours.flat_parameters.nbytes, dx.nbytes)


def _resident(name: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{STATUS} has no {name}")
