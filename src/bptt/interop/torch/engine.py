"""Runs a module in bptt: reads its parameters, plans a call, and returns PyTorch's results."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from bptt import _core
from bptt.interop.torch.function import BATCH_FIRST, SEQUENCE, UNBATCHED, Backward, Plan, apply
from bptt.interop.torch.internals import versions
from bptt.interop.torch.options import build_layer, parse_backward
from bptt.interop.torch.packed import PackedOrder
from bptt.interop.torch.pytorch import SETTINGS, differentiable_gradients
from bptt.interop.torch.weights import DTYPES, Flat, Weights
from bptt.layers.passes.backend import Call
from bptt.layers.passes.interventions import RandomMasks, packed, parse_zoneout
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import PackedRows

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types
PackedSequence: Any = torch.nn.utils.rnn.PackedSequence

_STRIDED = torch.strided
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class Engine:
    """The bptt side of one module: its weights, and what its calls have in common.

    The engine is not part of copies and pickles of the module.
    """

    def __init__(self, module: Any) -> None:
        dtype = "float64" if module.weight_ih_l0.dtype == torch.float64 else "float32"
        layer = build_layer(module.bptt_cell, module, dtype)
        self.weights = Weights(layer)
        self._has_cell = layer.has_cell_state
        self._input_size = layer.input_size
        self._rows = layer.num_layers * layer.num_directions
        self._sizes = layer.output_size, layer.hidden_size
        clip, regularizer = parse_backward(module.bptt_options)
        if regularizer is not None:
            regularizer.check(layer)
        # Not the module itself, which would keep itself alive.
        outline = SimpleNamespace(**{name: getattr(module, name) for name in SETTINGS})
        again = partial(differentiable_gradients, outline)
        self._backward = Backward(layer, self.weights.places(), clip, regularizer, again)
        self.frozen = 0
        self._packed: tuple[Flat, tuple[int, ...], _core.Snapshot] | None = None
        self._plans: dict[Layout, Plan] = dict.fromkeys((SEQUENCE, BATCH_FIRST, UNBATCHED), _NO_PLAN)
        self._zoneout = parse_zoneout(layer.zoneout, layer.has_cell_state)
        self._has_masks = any((layer.recurrent_dropout, layer.input_dropout, *self._zoneout))

    def freeze(self) -> None:
        """Pack the weights once for all calls without gradients, until as many calls of `thaw`."""
        self.frozen += 1

    def thaw(self) -> None:
        """Pack the weights in every call again."""
        self.frozen -= 1
        if not self.frozen:
            self._packed = None

    def flatten(self, module: Any, parameters: dict[str, Any]) -> None:
        """Move the parameters into one buffer, if they are not in one already."""
        _, flat = self.weights.current(module, parameters)
        if flat is None or flat.addresses is None:
            self.weights.flatten(parameters)

    def scatter(self, module: Any, parameters: dict[str, Any]) -> None:
        """Move every parameter to separate memory, until the next call of the module."""
        _, flat = self.weights.current(module, parameters)
        if flat is not None and flat.addresses is not None:
            self.weights.scatter(parameters)

    def run(self, module: Any, parameters: dict[str, Any], input: Any, hx: Any) -> Any:
        """Return what `module(input, hx)` returns, or None if bptt does not compute this call."""
        tensors, flat = self.weights.current(module, parameters)
        if flat is None:
            return None
        if type(input) not in _PLAIN:
            packed = isinstance(input, PackedSequence)
            return self._run_packed(module, tensors, flat, input, hx) if packed else None
        if input.dtype is not flat.dtype or not input.is_cpu or input.layout is not _STRIDED:
            return None
        shape = input.shape
        layout = SEQUENCE
        if len(shape) == 3:
            T, B, size = shape
            if module.batch_first:
                T, B, layout = B, T, BATCH_FIRST
        elif len(shape) == 2:
            T, size = shape
            B, layout = 1, UNBATCHED
        else:
            return None
        if size != self._input_size or T == 0 or B == 0:
            return None
        return self._run(module, tensors, flat, input, hx, T, B, layout, None)

    def _run_packed(self, module: Any, tensors: tuple[Any, ...], flat: Flat, input: Any, hx: Any) -> Any:
        data, batch_sizes, sorted_indices, unsorted_indices = input
        if data.dim() != 2 or data.shape[1] != self._input_size or not _readable(data, flat):
            return None
        sizes = batch_sizes.numpy()
        T, B = len(sizes), int(sizes[0])
        if hx is not None:
            if self._states(flat, hx, (self._rows, B)) is None:
                return None
            hx = module.permute_hidden(hx, sorted_indices)
        equal = int(sizes[-1]) == B
        order = None if equal else PackedOrder(np.ascontiguousarray(sizes))
        x = data.view(T, B, -1) if equal else data
        result = self._run(module, tensors, flat, x, hx, T, B, SEQUENCE, order)
        if result is None:
            return None
        y, last = result
        y = PackedSequence(y.flatten(0, 1) if equal else y, batch_sizes, sorted_indices, unsorted_indices)
        return y, module.permute_hidden(last, unsorted_indices)

    def _states(self, flat: Flat, hx: Any, rows: tuple[int, ...]) -> tuple[Any, Any] | None:
        """Return h0 and c0, or None if hx is not what bptt reads. Their shapes begin with `rows`."""
        if not self._has_cell:
            is_right = _readable(hx, flat) and hx.shape == (*rows, self._sizes[0])
            return (hx, None) if is_right else None
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            return None
        h0, c0 = hx
        if not (_readable(h0, flat) and _readable(c0, flat)):
            return None
        is_right = h0.shape == (*rows, self._sizes[0]) and c0.shape == (*rows, self._sizes[1])
        return (h0, c0) if is_right else None

    def _run(
        self,
        module: Any,
        tensors: tuple[Any, ...],
        flat: Flat,
        x: Any,
        hx: Any,
        T: int,
        B: int,
        layout: Layout,
        order: PackedOrder | None,
    ) -> Any:
        h0 = c0 = None
        if hx is not None:
            states = self._states(flat, hx, (self._rows,) if layout is UNBATCHED else (self._rows, B))
            if states is None:
                return None
            h0, c0 = states
        plan = self._plans[layout]
        if plan.flat is not flat:
            plan = self._plans[layout] = Plan(flat, self._backward, layout)
        if order is not None:
            plan = plan._replace(order=order)
        if module.training and (self._has_masks or (module.dropout and module.num_layers > 1)):
            dropout = module.dropout if module.num_layers > 1 else 0.0
            if dropout == 1:
                return None
            masks = self._draw(dropout, DTYPES[flat.dtype], T, B, None if order is None else order.ragged())
            plan = plan._replace(dropout=dropout, masks=masks)
        if torch.is_grad_enabled():
            results = apply(plan, x, h0, c0, *tensors)
        else:
            results = plan.infer(x, h0, c0, self._pack(tensors, flat) if self.frozen else None)
        return (results[0], results[1:]) if self._has_cell else results

    def _pack(self, tensors: tuple[Any, ...], flat: Flat) -> _core.Snapshot | None:
        """Return the packed weights, which are packed again after a change that PyTorch counts."""
        counts = versions(tensors)
        if flat.addresses is None or counts is None:
            return None
        if self._packed is None or self._packed[0] is not flat or self._packed[1] != counts:
            self._packed = flat, counts, flat.core.freeze(flat.array)
        return self._packed[2]

    def _draw(self, dropout: float, dtype: Any, T: int, B: int, ragged: PackedRows | None) -> Call:
        """Draw masks with a seed from PyTorch's generator."""
        seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_())
        if not self._has_masks:
            return Call(_NOTHING, dropout_key=seed)
        layer = self.weights.layer
        random = RandomMasks(dropout, layer.recurrent_dropout, layer.input_dropout, self._zoneout)
        outline = SimpleNamespace(
            **{name: getattr(layer, name) for name in _OUTLINE}, dtype=dtype, rng=np.random.default_rng(seed)
        )
        key, masks = random.draw(outline, None, T, B)
        return Call(_NOTHING, dropout_key=key, **packed(masks, ragged))


_NO_PLAN: Any = SimpleNamespace(flat=None)
_OUTLINE = ("input_size", "num_layers", "num_directions", "hidden_size", "output_size", "y_size")
_NOTHING = np.empty(0, np.float32)


def _readable(tensor: Any, flat: Flat) -> bool:
    """Return whether the core can read the memory of a tensor."""
    return (
        type(tensor) in _PLAIN and tensor.dtype is flat.dtype and tensor.is_cpu and tensor.layout is _STRIDED
    )
