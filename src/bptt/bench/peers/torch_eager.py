"""PyTorch, eager."""

from __future__ import annotations

from importlib import import_module
from itertools import cycle
from typing import Any

import numpy as np

from bptt.bench.peers import NotApplicableError
from bptt.bench.problem import LEARNING_RATE, Array, Call, ModelProblem, Problem
from bptt.bench.shapes import Case

torch: Any = import_module("torch")  # an optional package, whose types are not ours to check

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
STEPS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}
LOSSES = {
    "cross entropy": torch.nn.functional.cross_entropy,
    "squared error": torch.nn.functional.mse_loss,
    "binary cross entropy": torch.nn.functional.binary_cross_entropy_with_logits,
}


def inference(problem: Problem, threads: int) -> Call:
    """`nn.LSTM` and so on, without gradients."""
    return infer(module(problem, threads), problem)


def training(problem: Problem, threads: int) -> Call:
    """Autograd."""
    return train(module(problem, threads), problem)


def streaming(problem: Problem, threads: int) -> Call:
    """`nn.LSTMCell` and so on, which step in a third of the time that `nn.LSTM` takes."""
    shape = problem.case.shape
    if shape.layers > 1 or shape.bidirectional:
        raise NotApplicableError("its cells have one layer and one direction")
    torch.set_num_threads(threads)
    cell = STEPS[problem.case.cell](shape.I, shape.H).eval()
    cell.load_state_dict(
        {name.removesuffix("_l0"): torch.from_numpy(value) for name, value in problem.weights.items()}
    )
    samples = list(torch.from_numpy(problem.x))

    def run() -> Any:
        state = None
        with torch.inference_mode():
            for sample in samples:
                state = cell(sample, state)
        return state

    return Call(run, lambda state: {"y": array(state[0] if problem.case.cell == "lstm" else state)})


def iteration(problem: ModelProblem, threads: int) -> Call:
    """Embedding, recurrent layers, linear layer, loss, clipping, Adam."""
    torch.set_num_threads(threads)
    task, shape = problem.task, problem.case.shape
    below = [torch.nn.Embedding(task.symbols, shape.I)] if task.symbols else []
    above = torch.nn.Linear(shape.directions * shape.H, task.outputs)
    modules = torch.nn.ModuleList([*below, _recurrent(problem.case), above])
    modules.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights.items()})
    parameters = list(modules.parameters())
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    loss = LOSSES[task.loss]
    batches = cycle([(torch.from_numpy(x), torch.from_numpy(target)) for x, target in problem.batches])

    def run() -> tuple[float, float]:
        x, target = next(batches)
        optimizer.zero_grad()
        for lower in below:
            x = lower(x)
        y, _ = modules[-2](x)
        value = loss(above(y).flatten(0, 1), target.flatten(0, 1))
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, task.clip)
        optimizer.step()
        return value.item(), norm.item()

    return Call(run, lambda result: {"loss": np.array(result[0]), "gradient norm": np.array(result[1])})


def module(problem: Problem, threads: int) -> Any:
    """The module with the problem's weights."""
    torch.set_num_threads(threads)
    made = _recurrent(problem.case)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights.items()})
    return made


def infer(made: Any, problem: Problem) -> Call:
    """A call of a module."""
    made.eval()
    x = torch.from_numpy(problem.x)

    def run() -> Any:
        with torch.inference_mode():
            return made(x)

    return Call(run, lambda result: {"y": array(result[0])})


def train(made: Any, problem: Problem) -> Call:
    """A call of a module and its backward pass, into gradients that start empty."""
    named = dict(made.named_parameters())
    x = torch.from_numpy(problem.x).clone().requires_grad_()
    dy = torch.from_numpy(problem.dy)
    leaves = [x, *named.values()]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = made(x)[0]
        y.backward(dy)
        return y

    def read(y: Any) -> dict[str, Array]:
        gradients = {name: array(parameter.grad) for name, parameter in named.items()}
        return {"y": array(y), "dx": array(x.grad)} | gradients

    return Call(run, read)


def _recurrent(case: Case) -> Any:
    shape = case.shape
    return MODULES[case.cell](shape.I, shape.H, shape.layers, bidirectional=shape.bidirectional)


def array(tensor: Any) -> Array:
    """A copy, in NumPy."""
    copied: Array = tensor.detach().numpy().copy()
    return copied
