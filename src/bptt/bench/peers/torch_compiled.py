"""PyTorch with `torch.compile`, and with frozen weights in inference."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bptt.bench.peers import NotApplicableError, torch_eager
from bptt.bench.problem import Call, Problem

torch = torch_eager.torch

UNROLLED = 64
"""Largest number of unrolled steps. GRU, RNN, and LSTM in training are unrolled over time; more steps would
compile for minutes."""


def inference(problem: Problem, threads: int) -> Call:
    """Run with frozen weights, which oneDNN packs once."""
    fused = problem.case.cell == "lstm"  # an LSTM is one operation for any length
    module = _compiled(problem, threads, unrolled=not fused, freezing=True)
    return torch_eager.infer(module, problem)


def training(problem: Problem, threads: int) -> Call:
    """Run compiled forward and backward graphs."""
    module = _compiled(problem, threads, unrolled=True, freezing=False)
    return torch_eager.train(module, problem)


def _compiled(problem: Problem, threads: int, unrolled: bool, freezing: bool) -> Any:
    shape = problem.case.shape
    steps = shape.T * shape.layers * shape.directions
    if unrolled and steps > UNROLLED:
        raise NotApplicableError(f"would unroll {steps} steps, and compile for minutes")
    module = torch_eager.module(problem, threads)
    torch._dynamo.reset()
    torch._dynamo.config.allow_rnn = True
    config: Any = import_module("torch._inductor.config")
    config.freezing = freezing
    module.compile()
    return module
