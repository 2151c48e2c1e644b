"""Peak resident memory of a training step, beside what it must keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.bench.problem import layer
from bptt.bench.shapes import Case, case_of

STEPS = 3
"""Training steps: what is recycled must be found again, not added."""

ALLOWANCE = 1.2
STATUS = Path("/proc/self/status")
MIB = 2**20


@dataclass(frozen=True)
class Memory:
    """
    Bytes, of a case on so many threads.

    Attributes
    ----------
    rise : int
        By how much the peak of resident memory exceeds what was resident before the first step, when layer,
        gradients, x and dy were there already.
    tape, parameters, result : int
        What the tape shows, the parameters, and what the step hands out: dx. Of a checkpointed step, whose
        tape shows nothing without computing it again, y is among what it hands out.
    """

    case: Case
    threads: int
    rise: int
    tape: int
    parameters: int
    result: int

    @property
    def allowed(self) -> float:
        """Tape and parameters and a fifth, and what is handed out."""
        return ALLOWANCE * (self.tape + self.parameters) + self.result

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Memory:
        """Back from JSON values."""
        return cls(**values | {"case": case_of(values["case"])})


def available() -> bool:
    """Whether the system tells a process how much of it is resident."""
    return STATUS.exists()


def measure(case: Case, threads: int) -> Memory:
    """Take some training steps. In a fresh process: what earlier work left behind would hide the rise."""
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
        y = tape = dx = None  # the last step's are gone before the next begins
        ours.zero_grad()
        y, _, tape = ours.forward(x, checkpoint=case.checkpoint)
        dx, _ = ours.backward(tape, dy)
    rise = _resident("VmHWM") - before
    assert tape is not None
    assert y is not None
    assert dx is not None
    if case.checkpoint:
        return Memory(case, threads, rise, 0, ours.flat_parameters.nbytes, y.nbytes + dx.nbytes)
    gates = () if case.cell == "rnn" else tape.gates  # an RNN's gates are its h
    kept = sum(view.nbytes for view in (*tape.h, *(tape.c or ()), *gates))
    return Memory(case, threads, rise, kept, ours.flat_parameters.nbytes, dx.nbytes)


def _resident(name: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{STATUS} has no {name}")
