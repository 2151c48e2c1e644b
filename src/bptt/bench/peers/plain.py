"""Our layer without the option, or without lengths: the baseline for the cost of a variant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bptt.bench.peers import native
from bptt.bench.problem import Call, Problem, layer


def variants(problem: Problem, threads: int) -> Call:
    """Run training without the option of the case."""
    case = replace(problem.case, mode="training")
    shape = case.shape
    dy = np.ones((shape.T, shape.B, shape.directions * shape.H), np.float32)
    return native.training(Problem(case, layer(case).state_dict(), problem.x, dy), threads)
