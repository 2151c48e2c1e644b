"""Runs a cell in bptt: reads its parameters, and returns PyTorch's results."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from bptt import _core
from bptt.interop.torch.internals import versions
from bptt.interop.torch.step import SUMS, Gather, Parts, Size, StepCall, WeightSum, apply_step
from bptt.interop.torch.weights import DTYPES, Flat, Weights

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

_TENSOR, _PARAMETER, _STRIDED = torch.Tensor, torch.nn.Parameter, torch.strided
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class CellEngine:
    """The bptt side of one cell: its weights, and the sum of their gradients.

    The engine is not part of copies and pickles of the module.
    """

    def __init__(self, module: Any) -> None:
        dtype = "float64" if module.weight_ih.dtype == torch.float64 else "float32"
        has_units = module.input_size > 0 and module.hidden_size > 0
        layer = module.build_layer(dtype) if has_units else None
        shapes = () if layer is None else tuple(shape for _, shape in layer.table)
        self._weights = None if layer is None else Weights(layer, _NAMES[: len(shapes)])
        self._input_size, self._hidden_size = module.input_size, module.hidden_size
        self._parts = Parts(shapes, tuple(map(math.prod, shapes)))
        self._function = module.step_of_pytorch()
        self.frozen = 0
        self._packed: tuple[Flat, tuple[int, ...], _core.StepWeights] | None = None
        self._sizes = {}
        if layer is not None:
            for torch_dtype, numpy_dtype in DTYPES.items():
                core = _core.Step(
                    layer.cell, numpy_dtype.name, layer.input_size, layer.hidden_size, layer.bias
                )
                self._sizes[torch_dtype] = Size(core, layer.hidden_size, layer.has_cell_state)
        self._shared: tuple[WeightSum, tuple[Any, ...]] | None = None

    def run(
        self, module: Any, parameters: dict[str, Any], x: Any, h0: Any, c0: Any
    ) -> tuple[Any, ...] | None:
        """Return the new states, or None if bptt does not compute this call."""
        tensors, flat = self._current(module, parameters)
        if flat is None or not self._fits(flat, x, h0, c0):
            return None
        if not torch.is_grad_enabled():
            packed = self._pack(tensors, flat) if self.frozen else None
            return self._sizes[flat.dtype].infer(flat, x, h0, c0, packed)
        weight_sum, handles = self._sum_of(tensors, flat)
        size = self._sizes[flat.dtype]
        call = StepCall(size, flat, tensors, self._parts, weight_sum, self._function)
        return apply_step(call, x, h0, c0, *handles)  # type: ignore[no-any-return]

    def _fits(self, flat: Flat, x: Any, h0: Any, c0: Any) -> bool:
        """Return whether the core can read the input and the states, which have the right shapes."""
        if not _readable(x, flat):
            return False
        shape = x.shape
        if len(shape) not in (1, 2) or shape[-1] != self._input_size:
            return False
        if h0 is None:
            return True
        wanted = (*shape[:-1], self._hidden_size)
        return (
            _readable(h0, flat)
            and h0.shape == wanted
            and (c0 is None or (_readable(c0, flat) and c0.shape == wanted))
        )

    def freeze(self) -> None:
        """Pack the weights once for all calls without gradients, until as many calls of `thaw`."""
        self.frozen += 1

    def thaw(self) -> None:
        """Pack the weights in every call again."""
        self.frozen -= 1
        if not self.frozen:
            self._packed = None

    def _pack(self, tensors: tuple[Any, ...], flat: Flat) -> _core.StepWeights | None:
        """Return the packed weights, which are packed again after a change that PyTorch counts."""
        counts = versions(tensors)
        if flat.addresses is None or counts is None:
            return None
        if self._packed is None or self._packed[0] is not flat or self._packed[1] != counts:
            self._packed = flat, counts, self._sizes[flat.dtype].core.pack(flat.array)
        return self._packed[2]

    def forget(self) -> None:
        """Let go of the autograd graph of the weights."""
        self._shared = None

    def _sum_of(self, tensors: tuple[Any, ...], flat: Flat) -> tuple[WeightSum | None, tuple[Any, ...]]:
        """Return the sum of the weight gradients since the last backward pass, and its handle.

        Without a sum, the weights themselves take part in autograd.
        """
        shared = self._shared
        if shared is not None and shared[0].serves(tensors, flat.dtype):
            return shared
        self._shared = None
        if not SUMS or not any(tensor.requires_grad for tensor in tensors):
            return None, tensors
        weight_sum = WeightSum(tensors, self._parts, flat.dtype)
        self._shared = weight_sum, (Gather.apply(weight_sum, *tensors),)
        return self._shared

    def flatten(self, module: Any, parameters: dict[str, Any]) -> None:
        """Move the parameters into one buffer, if they are not in one already."""
        self.forget()
        _, flat = self._current(module, parameters)
        if self._weights is not None and (flat is None or flat.addresses is None):
            self._weights.flatten(parameters)

    def scatter(self, module: Any, parameters: dict[str, Any]) -> None:
        """Give every parameter separate memory, until the next call of the module."""
        self.forget()
        _, flat = self._current(module, parameters)
        if self._weights is not None and flat is not None and flat.addresses is not None:
            self._weights.scatter(parameters)

    def separate(self, state: dict[str, Any], prefix: str) -> None:
        """Give the entries of a state_dict storages of their own. See `Weights.separate`."""
        if self._weights is not None:
            self._weights.separate(state, prefix)

    def _current(self, module: Any, parameters: dict[str, Any]) -> tuple[tuple[Any, ...], Flat | None]:
        """Return the parameters, and their numbers as one vector, or None if bptt cannot read them."""
        return ((), None) if self._weights is None else self._weights.current(module, parameters)


def _readable(tensor: Any, flat: Flat) -> bool:
    """Return whether the core can read the memory of a tensor."""
    kind = type(tensor)
    return (
        (kind is _TENSOR or kind is _PARAMETER)
        and tensor.dtype is flat.dtype
        and tensor.is_cpu
        and tensor.layout is _STRIDED
    )
