"""A PyTorch module, for `crosscheck(layer, x, against=module)`."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np

from bptt.checks.layer_run import Problem
from bptt.checks.nested import State, flatten, map_state
from bptt.checks.training_step import Tensor
from bptt.layers.module import Module


def is_torch_module(value: object) -> bool:
    """Whether `value` is a torch.nn.Module. Never imports PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


class TorchModule:
    """A float64 copy of a module, in evaluation mode, whose parameters have the layer's names.

    Raises
    ------
    ValueError
        If the parameters do not correspond to the layer's, or the order of axes differs.
    """

    def __init__(self, module: Any, layer: Module) -> None:
        import torch

        self.torch = torch
        self.module = copy.deepcopy(module).double().eval()
        self.names = _match(self.module, layer)
        axes = getattr(module, "batch_first", None), getattr(layer, "batch_first", None)
        if None not in axes and axes[0] != axes[1]:
            raise ValueError(
                f"against must have the layer's batch_first={axes[1]}; got batch_first={axes[0]}. "
                "Fix: build both with the same batch_first."
            )

    def parameters(self) -> dict[str, Tensor]:
        """Return the module's own parameters by the layer's names."""
        return {name: parameter.detach().numpy() for name, parameter in self._named().items()}

    def run(self, problem: Problem) -> dict[str, Tensor]:
        """Run one training step and return its results by name, in float64.

        Without `problem.has_last`, the last state is not among them.
        """
        x = map_state(self._tensor, problem.x)
        state = map_state(self._tensor, problem.state)
        y, last = self._call(x, state)
        dy, dlast = problem.errors(y.detach().numpy(), map_state(lambda s: s.detach().numpy(), last))
        pairs = zip(flatten((y, last)).values(), flatten((dy, dlast)).values(), strict=False)
        loss = sum((value * self.torch.from_numpy(error.astype(np.float64))).sum() for value, error in pairs)
        self.module.zero_grad()
        loss.backward()
        results: dict[str, Any] = flatten(y, "y") | (flatten(last, "state") if problem.has_last else {})
        tensors = {name: tensor.detach().numpy() for name, tensor in results.items()}
        wanted: dict[str, Any] = flatten(x, "dx") | flatten(state, "dstate")
        wanted |= {f"gradients[{name}]": parameter for name, parameter in self._named().items()}
        for name, tensor in wanted.items():
            if tensor.requires_grad:
                grad = self.torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
                tensors[name] = grad.numpy()
        return tensors

    def returns_state(self, problem: Problem) -> bool:
        """Whether the module returns a state with its output."""
        with self.torch.no_grad():
            _, last = self._call(map_state(self._tensor, problem.x), map_state(self._tensor, problem.state))
        return last is not None

    def function(self, parameters: Any, x: Tensor, state: State) -> tuple[Tensor, Any]:
        """Compute y and the last state from these parameters."""
        values = {own: self.torch.from_numpy(parameters[name]) for own, name in self.names.items()}
        with self.torch.no_grad():
            x, state = (map_state(self.torch.from_numpy, part) for part in (x, state))
            arguments = (x,) if state is None else (x, state)
            returned = self.torch.func.functional_call(self.module, values, arguments)
        y, last = returned if isinstance(returned, tuple) else (returned, None)
        return y.numpy(), map_state(lambda s: s.numpy(), last)

    def _call(self, x: Any, state: State) -> tuple[Any, Any]:
        returned = self.module(x) if state is None else self.module(x, state)
        return returned if isinstance(returned, tuple) else (returned, None)

    def _named(self) -> dict[str, Any]:
        return {self.names[own]: parameter for own, parameter in self.module.named_parameters()}

    def _tensor(self, array: Tensor) -> Any:
        if array.dtype.kind != "f":
            return self.torch.from_numpy(np.array(array, np.int64))
        return self.torch.from_numpy(np.array(array, np.float64)).requires_grad_()


def _match(module: Any, layer: Module) -> dict[str, str]:
    """Return the layer's name of each of the module's parameters: the same, or else the one in its place."""
    own = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    expected = {name: value.shape for name, value in layer.parameters.items()}
    if own.keys() == expected.keys() and all(own[name] == expected[name] for name in own):
        return {name: name for name in own}
    if list(own.values()) == list(expected.values()):
        return dict(zip(own, expected, strict=True))
    raise ValueError(
        f"against must have the layer's parameters, {_shapes(expected)}; got {_shapes(own)}. "
        "Fix: build both with the same sizes and options, in the same order."
    )


def _shapes(table: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in table.items()) or "none"
