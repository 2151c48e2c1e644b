"""PyTorch, compiled: `torch.compile`, for inference with frozen weights."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bptt.bench.peers import NotApplicableError, torch_eager
from bptt.bench.problem import Call, Problem

torch = torch_eager.torch

UNROLLED = 64
"""Steps. GRU and RNN, and the LSTM in training, are unrolled over time: more of them compile for minutes."""


def inference(problem: Problem, threads: int) -> Call:
    """Frozen weights let oneDNN pack them once."""
    fused = problem.case.cell == "lstm"  # one operation, whatever the length
    made = _compiled(problem, threads, unrolled=not fused, freezing=True)
    return torch_eager.infer(made, problem)


def training(problem: Problem, threads: int) -> Call:
    """Forward and backward graphs, both compiled."""
    made = _compiled(problem, threads, unrolled=True, freezing=False)
    return torch_eager.train(made, problem)


def _compiled(problem: Problem, threads: int, unrolled: bool, freezing: bool) -> Any:
    shape = problem.case.shape
    steps = shape.T * shape.layers * shape.directions
    if unrolled and steps > UNROLLED:
        raise NotApplicableError(f"would unroll {steps} steps, and compile for minutes")
    made = torch_eager.module(problem, threads)
    torch._dynamo.reset()
    torch._dynamo.config.allow_rnn = True
    config: Any = import_module("torch._inductor.config")
    config.freezing = freezing
    made.compile()
    return made
