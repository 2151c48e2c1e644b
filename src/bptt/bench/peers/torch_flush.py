"""PyTorch, set to flush denormal numbers to zero."""

from __future__ import annotations

from typing import Any

from bptt.bench.peers import torch_eager
from bptt.bench.problem import Call, Problem

torch = torch_eager.torch


def inference(problem: Problem, threads: int) -> Call:
    """Run `torch_eager.inference`."""
    return _flushing(torch_eager.inference(problem, threads))


def training(problem: Problem, threads: int) -> Call:
    """Run `torch_eager.training`."""
    return _flushing(torch_eager.training(problem, threads))


def _flushing(call: Call) -> Call:
    def run() -> Any:
        # The setting belongs to the thread, so reset it before the turns of other peers.
        torch.set_flush_denormal(True)
        try:
            return call.run()
        finally:
            torch.set_flush_denormal(False)

    return Call(run, call.read)
