"""PyTorch in eager mode."""

from __future__ import annotations

import warnings
from importlib import import_module
from itertools import cycle
from typing import Any

import numpy as np

from bptt.bench.peers import NotApplicableError
from bptt.bench.problem import LEARNING_RATE, Array, Call, ModelProblem, Problem
from bptt.bench.shapes import Case

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
STEPS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}
LOSSES = {
    "cross entropy": torch.nn.functional.cross_entropy,
    "squared error": torch.nn.functional.mse_loss,
    "binary cross entropy": torch.nn.functional.binary_cross_entropy_with_logits,
}


def inference(problem: Problem, threads: int) -> Call:
    """Run `nn.LSTM`, `nn.GRU` or `nn.RNN` without gradients."""
    return infer(module(problem, threads), problem)


def training(problem: Problem, threads: int) -> Call:
    """Run forward and backward pass with autograd."""
    return train(module(problem, threads), problem)


def variants(problem: Problem, threads: int) -> Call:
    """Run packed sequences, `proj_size`, or peepholes in a loop over steps."""
    network: Any
    if problem.case.shape.name == "ragged":
        network = Packed(_recurrent(problem.case), torch.from_numpy(problem.lengths))
    elif problem.case.shape.name == "projection":
        warnings.filterwarnings("ignore", "LSTM with projections")  # PyTorch warns that oneDNN is not used
        network = _recurrent(problem.case, proj_size=problem.weights["weight_hr_l0"].shape[0])
    elif problem.case.shape.name == "peephole":
        network = Peephole(problem.weights)
    else:
        raise NotApplicableError("has no such option")
    torch.set_num_threads(threads)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights.items()})
    return train(network, problem)


class Packed(torch.nn.Module):  # type: ignore[misc]
    """A module for rows of unequal length."""

    def __init__(self, module: Any, lengths: Any) -> None:
        super().__init__()
        self.module, self.lengths = module, lengths

    def load_state_dict(self, weights: Any) -> Any:
        return self.module.load_state_dict(weights)

    def named_parameters(self) -> Any:
        return self.module.named_parameters()

    def forward(self, x: Any) -> Any:
        """Return y, padded with zeros, and the state."""
        rnn = torch.nn.utils.rnn
        y, state = self.module(rnn.pack_padded_sequence(x, self.lengths, enforce_sorted=False))
        return rnn.pad_packed_sequence(y, total_length=len(x))[0], state


class Peephole(torch.nn.Module):  # type: ignore[misc]
    """An LSTM with peepholes, whose steps are written like those of `nn.LSTMCell`."""

    def __init__(self, weights: dict[str, Array]) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_parameter(name, torch.nn.Parameter(torch.empty(value.shape)))

    def forward(self, x: Any) -> Any:
        """Return y and the state."""
        linear = torch.nn.functional.linear
        peep_i, peep_f, peep_o = self.weight_peephole_l0
        h = c = x.new_zeros(x.shape[1], len(peep_i))
        outputs = []
        for sample in x:
            a = linear(sample, self.weight_ih_l0, self.bias_ih_l0) + linear(
                h, self.weight_hh_l0, self.bias_hh_l0
            )
            a_i, a_f, a_g, a_o = a.chunk(4, 1)
            i, f = torch.sigmoid(a_i + peep_i * c), torch.sigmoid(a_f + peep_f * c)
            c = f * c + i * torch.tanh(a_g)
            h = torch.sigmoid(a_o + peep_o * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)


def streaming(problem: Problem, threads: int) -> Call:
    """Run `nn.LSTMCell`, `nn.GRUCell` or `nn.RNNCell`: a step takes a third of the time of `nn.LSTM`."""
    shape = problem.case.shape
    if shape.layers > 1 or shape.bidirectional:
        raise NotApplicableError("this benchmark streams one layer, one direction")
    torch.set_num_threads(threads)
    cell = STEPS[problem.case.cell](shape.I, shape.H).eval()
    cell.load_state_dict(
        {name.removesuffix("_l0"): torch.from_numpy(value) for name, value in problem.weights.items()}
    )
    cell = _converted(cell, problem.case.precision)
    samples = list(_operand(problem.x, problem))

    def run() -> Any:
        state = None
        with torch.inference_mode():
            for sample in samples:
                state = cell(sample, state)
        return state

    return Call(run, lambda state: {"y": array(state[0] if problem.case.cell == "lstm" else state)})


def iteration(problem: ModelProblem, threads: int) -> Call:
    """Run embedding, recurrent layers, linear layer, loss, clipping and Adam."""
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
    """Return the recurrent module with the weights of the problem."""
    torch.set_num_threads(threads)
    recurrent = _recurrent(problem.case)
    recurrent.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights.items()})
    return _converted(recurrent, problem.case.precision)


def _converted(module: Any, precision: str) -> Any:
    """Return the module in a precision: all in bfloat16, or with int8 weights and dynamic quantization."""
    if precision == "bfloat16":
        return module.bfloat16()
    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch recommends another package, which has no LSTM
            model = torch.nn.Sequential(module)
            converted = torch.ao.quantization.quantize_dynamic(model, {type(module)})[0]
        if type(converted) is type(module):
            raise NotApplicableError(f"quantizes no {type(module).__name__}")
        return converted
    return module


def _operand(value: Array, problem: Problem) -> Any:
    """Return an input or error in the type that the module reads."""
    tensor = torch.from_numpy(value)
    return tensor.bfloat16() if problem.case.precision == "bfloat16" else tensor


def infer(module: Any, problem: Problem) -> Call:
    """Return a call of the module."""
    module.eval()
    x = _operand(problem.x, problem)

    def run() -> Any:
        with torch.inference_mode():
            return module(x)

    return Call(run, lambda result: {"y": array(result[0])})


def train(module: Any, problem: Problem) -> Call:
    """Return a call of the module and of its backward pass, which starts without gradients."""
    named = dict(module.named_parameters())
    x = _operand(problem.x, problem).clone().requires_grad_()
    dy = _operand(problem.dy, problem)
    leaves = [x, *named.values()]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = module(x)[0]
        y.backward(dy)
        return y

    def read(y: Any) -> dict[str, Array]:
        gradients = {name: array(parameter.grad) for name, parameter in named.items()}
        return {"y": array(y), "dx": array(x.grad)} | gradients

    return Call(run, read)


def _recurrent(case: Case, **options: Any) -> Any:
    shape = case.shape
    return MODULES[case.cell](shape.I, shape.H, shape.layers, bidirectional=shape.bidirectional, **options)


def array(tensor: Any) -> Array:
    """Return a NumPy copy of a tensor."""
    copied: Array = tensor.detach().float().numpy().copy()
    return copied
