"""The autograd function: a forward and a backward pass of the core on the memory of tensors."""

from __future__ import annotations

from contextvars import ContextVar
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import aligned_zeros
from bptt.interop.torch import internals
from bptt.interop.torch.packed import PackedOrder
from bptt.interop.torch.regularize import add_omega
from bptt.interop.torch.weights import Flat
from bptt.layers.passes.backend import Call
from bptt.layers.passes.clip_state import StateClip
from bptt.layers.passes.layout import Layout
from bptt.layers.recurrent import Recurrent
from bptt.optim import PascanuRegularizer

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types


recording: ContextVar[list[tuple[Plan, Any]] | None] = ContextVar("the passes with a tape", default=None)
"""If a list is set, every pass appends its plan and its tape."""

# The core uses PyTorch's number of threads, unless the user chose a number for bptt.
_NO_STATES = None, None
suggest_threads = _core.suggest_threads
get_num_threads = torch.get_num_threads
from_numpy = torch.from_numpy

SEQUENCE = Layout(batch_first=False, unbatched=False)
BATCH_FIRST = Layout(batch_first=True, unbatched=False)
UNBATCHED = Layout(batch_first=False, unbatched=True)


class Backward(NamedTuple):
    """What the backward passes of a module need besides a tape."""

    layer: Recurrent
    places: tuple[tuple[slice, tuple[int, ...]], ...]
    """Where each parameter lies in the flat vector, and its shape."""
    clip: StateClip
    regularizer: PascanuRegularizer | None
    again: Any
    """PyTorch's implementation as a function of (plan, x, h0, c0, *weights), for double backward."""


class Plan(NamedTuple):
    """One call: how arrays are laid out, and what is random."""

    flat: Flat
    backward: Backward
    layout: Layout
    order: PackedOrder | None = None
    """The order of the rows of a PackedSequence with rows of different lengths."""
    dropout: float = 0.0
    masks: Call | None = None
    """The masks and the key of dropout, or None if nothing is random."""

    def sequence_in(self, tensor: Any) -> npt.NDArray[Any]:
        """Return a tensor over time as the core reads it."""
        array = _array(tensor)
        if self.order is not None:
            return self.order.to_core(array)
        if self.layout is not SEQUENCE:
            array = self.layout.sequence_in(array)
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def sequence_out(self, array: npt.NDArray[Any]) -> Any:
        """Return an array over time of the core as a tensor in the layout of x."""
        if self.order is not None:
            array = self.order.from_core(array)
        elif self.layout is not SEQUENCE:
            array = self.layout.sequence_out(array)
        return from_numpy(array if array.flags.writeable else array.copy())

    def state_in(self, tensor: Any) -> npt.NDArray[Any] | None:
        """Return a state as the core reads it."""
        if tensor is None:
            return None
        array = _array(tensor)
        if self.layout is UNBATCHED:
            array = array[:, np.newaxis]
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def _states_in(self, h0: Any, c0: Any) -> tuple[Any, Any]:
        return _NO_STATES if h0 is None and c0 is None else (self.state_in(h0), self.state_in(c0))

    def state_out(self, array: Any) -> Any:
        """Return a state of the core as a tensor."""
        return from_numpy(array[:, 0] if self.layout is UNBATCHED else array)

    def infer(self, x: Any, h0: Any, c0: Any, packed: _core.Snapshot | None = None) -> tuple[Any, ...]:
        """Run forward without a tape. `packed` holds the weights, if they are packed already."""
        if self.masks is not None:
            return self.record(x, h0, c0)[0]
        arrays = self.sequence_in(x), *self._states_in(h0, c0)
        active, batch = (None, 0) if self.order is None else (self.order.active, self.order.batch)
        suggest_threads(get_num_threads())
        try:
            if packed is None:
                y, h, c = self.flat.core.infer(self.flat.array, *arrays, active, batch)
            else:
                y, h, c = packed.infer(*arrays, active, batch)
        finally:
            suggest_threads(0)
        return self._results(y, h, c)

    def record(self, x: Any, h0: Any, c0: Any) -> tuple[tuple[Any, ...], Any]:
        """Run forward, and return the results and the tape."""
        arrays = self.flat.array, self.sequence_in(x), *self._states_in(h0, c0)
        active, batch = (None, 0) if self.order is None else (self.order.active, self.order.batch)
        suggest_threads(get_num_threads())
        try:
            if self.masks is None:
                y, h, c, tape = self.flat.core.forward(*arrays, 0.0, 0, active, batch)
            else:
                masks = self.masks
                y, h, c, tape = self.flat.core.forward(
                    *arrays,
                    self.dropout,
                    masks.dropout_key,
                    active,
                    batch,
                    None,
                    masks.recurrent_mask,
                    masks.keep_h,
                    masks.keep_c,
                    0,
                    masks.input_mask,
                )
        finally:
            suggest_threads(0)
        return self._results(y, h, c), tape

    def _results(self, y: Any, h: Any, c: Any) -> tuple[Any, ...]:
        results = self.sequence_out(y), self.state_out(h)
        return results if c is None else (*results, self.state_out(c))

    def invert(self, tape: Any, dy: Any, dh: Any, dc: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
        """Run backward, and return the gradients of x, h0, c0 and the weights. `needs` says which ones."""
        flat, (layer, places, clip, regularizer, _) = self.flat, self.backward
        gradients = aligned_zeros(flat.array.size, flat.array.dtype) if any(needs[3:]) else None
        errors = None if dy is None else self.sequence_in(dy), *self._states_in(dh, dc)
        suggest_threads(get_num_threads())
        try:
            dx, dh0, dc0 = flat.core.backward(
                gradients, tape, *errors, None, needs[0], clip.value, clip.norm, regularizer is not None
            )
        finally:
            suggest_threads(0)
        split: list[Any] = [None] * len(places)
        if gradients is not None:
            if regularizer is not None:
                ragged = None if self.order is None else self.order.ragged()
                add_omega(regularizer, layer, tape, flat.array, gradients, ragged)
            split = [
                from_numpy(gradients[place].reshape(shape)) if needed else None
                for (place, shape), needed in zip(places, needs[3:], strict=True)
            ]
        return (
            None if dx is None else self.sequence_out(dx),
            self.state_out(dh0) if needs[1] else None,
            self.state_out(dc0) if needs[2] else None,
            *split,
        )


def _array(tensor: Any) -> npt.NDArray[Any]:
    if tensor.requires_grad:
        tensor = tensor.detach()
    try:
        array: npt.NDArray[Any] = tensor.numpy()
    except RuntimeError:  # the negative of a tensor, which PyTorch has not computed yet
        array = tensor.resolve_neg().numpy()
    return array


class BpttPass(torch.autograd.Function):  # type: ignore[misc]
    """One pass of a module: `BpttPass.apply(plan, x, h0, c0, *weights)` returns y, h and for LSTM c."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, x: Any, h0: Any, c0: Any, *weights: Any) -> Any:
        """Run forward, and keep a tape if a gradient is needed."""
        ctx.set_materialize_grads(False)
        if not any(ctx.needs_input_grad):
            return plan.infer(x, h0, c0)
        passes = recording.get()
        if passes is None and internals.has_saving_hooks():  # a tape would keep more than they want
            results, ctx.tape = plan.infer(x, h0, c0), None
        else:
            results, ctx.tape = plan.record(x, h0, c0)
        ctx.plan = plan
        if passes is not None:
            passes.append((plan, ctx.tape))
        ctx.save_for_backward(x, h0, c0, *weights)
        return results

    @staticmethod
    def backward(ctx: Any, dy: Any, dh: Any, dc: Any = None) -> Any:
        """Run backward.

        PyTorch's operators compute the gradients with `create_graph=True`, and of batched errors.
        """
        x, h0, c0, *weights = ctx.saved_tensors  # raises if one of them has changed
        needs = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or not internals.have_memory((dy, dh, dc)):
            return None, *ctx.plan.backward.again(ctx.plan, (x, h0, c0, *weights), (dy, dh, dc), needs)
        tape = ctx.tape
        if tape is None:
            plan = ctx.plan._replace(flat=ctx.plan.flat.saved(tuple(weights)))
            tape = plan.record(x, h0, c0)[1]
        gradients = ctx.plan.invert(tape, dy, dh, dc, needs)
        if not internals.keeps_graph():
            ctx.tape = None
        return None, *gradients


apply = super(torch.autograd.Function, BpttPass).apply
"""`BpttPass.apply` without its search for transforms of torch.func, which never get here."""
