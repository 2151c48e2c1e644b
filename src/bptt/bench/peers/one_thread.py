"""Our layer on one thread: the baseline for the gain of two threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bptt
from bptt.bench.peers import native
from bptt.bench.problem import Call, ModelProblem, Problem


def _alone(make: Callable[[Any, int], Call]) -> Callable[[Any, int], Call]:
    def made(problem: Problem | ModelProblem, threads: int) -> Call:
        call = make(problem, 1)
        bptt.set_num_threads(threads)

        def run() -> Any:
            bptt.set_num_threads(1)
            try:
                return call.run()
            finally:
                bptt.set_num_threads(threads)

        return Call(run, call.read)

    return made


inference = _alone(native.inference)
training = _alone(native.training)
iteration = _alone(native.iteration)
