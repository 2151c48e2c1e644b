"""Our layer on one thread: the baseline for the gain of two threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bptt
from bptt.bench.peers import native
from bptt.bench.problem import Call, ModelProblem, Problem


def _on_one_thread(make: Callable[[Any, int], Call]) -> Callable[[Any, int], Call]:
    def make_call(problem: Problem | ModelProblem, threads: int) -> Call:
        call = make(problem, 1)
        bptt.set_num_threads(threads)

        def run() -> Any:
            bptt.set_num_threads(1)
            try:
                return call.run()
            finally:
                bptt.set_num_threads(threads)

        return Call(run, call.read)

    return make_call


inference = _on_one_thread(native.inference)
training = _on_one_thread(native.training)
iteration = _on_one_thread(native.iteration)
