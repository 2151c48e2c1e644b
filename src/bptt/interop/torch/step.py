"""The autograd functions of one time step, and the sum of the weight gradients of many steps."""

from __future__ import annotations

from importlib import import_module
from itertools import compress
from operator import is_
from typing import Any, NamedTuple

from bptt import _core
from bptt.interop.torch.internals import current_task, has_saving_hooks, have_memory, keeps_graph, will_run
from bptt.interop.torch.weights import Flat

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

SUMS = current_task is not None and will_run is not None
"""Whether this PyTorch has the functions that a `WeightSum` needs."""

_SEPARATE = object()

# The core uses PyTorch's number of threads, unless the user chose a number for bptt.
suggest_threads = _core.suggest_threads
get_num_threads = torch.get_num_threads


class Parts(NamedTuple):
    """How the flat vector of a cell is split into its parameters."""

    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]

    def split(self, vector: Any, needed: tuple[bool, ...]) -> list[Any]:
        """Return the parts of a vector in the shapes of the parameters, or None where none is needed."""
        return [
            part.view(shape) if need else None
            for part, shape, need in zip(vector.split(self.sizes), self.shapes, needed, strict=True)
        ]


class WeightSum:
    """The weight gradients of all steps between two backward passes.

    PyTorch would add up the gradients that every step returns: new memory, four additions and four tensors
    for each step. Here the first step of a backward pass returns a vector of zeros that it added to, and the
    later steps add to the same vector. The autograd function `Gather` gets the vector after all steps.

    Parameters
    ----------
    weights : tuple of tensors
        The parameters.
    parts : Parts
        How they follow each other in the vector.
    dtype : torch.dtype
        Their dtype.
    """

    def __init__(self, weights: tuple[Any, ...], parts: Parts, dtype: Any) -> None:
        self.parts, self.dtype = parts, dtype
        self._weights = weights
        self._flags = [weight.requires_grad for weight in weights]
        self._totals: dict[int, Any] = {}
        self._spent = not all(weight.is_leaf for weight in weights)  # other tensors are new in every call

    def serves(self, weights: tuple[Any, ...], dtype: Any) -> bool:
        """Return whether later steps with these weights may use this sum."""
        return (
            not self._spent
            and self.dtype is dtype  # `parameter.data = ...` may change that of the same weights
            and all(map(is_, weights, self._weights))
            and [weight.requires_grad for weight in weights] == self._flags
        )

    def total(self, node: Any) -> tuple[Any, bool]:
        """Return the vector to which a step adds, and whether the step returns it to autograd.

        The vector is None if the current backward pass needs no gradient of the weights.
        """
        task = current_task()
        total = self._totals.get(task)
        if total is not None and total is not _SEPARATE:
            return total, False
        if not will_run(node):
            return None, False
        self._spent = True  # also where the backward pass fails before `close`
        made = torch.zeros(sum(self.parts.sizes), dtype=self.dtype, device="cpu")
        if total is None:
            self._totals[task] = made
        return made, True

    def separate(self) -> None:
        """Let each of the later steps of the current backward pass return its own vector.

        A step has returned a vector that PyTorch computed. Autograd adds such vectors to new memory.
        """
        self._spent = True
        self._totals[current_task()] = _SEPARATE

    def close(self) -> None:
        """Forget the vector of the current backward pass, which is complete."""
        self._spent = True
        self._totals.pop(current_task(), None)


class Gather(torch.autograd.Function):  # type: ignore[misc]
    """Stands between the parameters and the steps: `Gather.apply(weight_sum, *weights)`."""

    @staticmethod
    def forward(ctx: Any, weight_sum: WeightSum, *weights: Any) -> Any:
        """Return a tensor with as many numbers as the weights, whose values nobody reads."""
        ctx.set_materialize_grads(False)
        ctx.weight_sum = weight_sum
        return torch.empty(sum(weight_sum.parts.sizes), dtype=weight_sum.dtype, device="cpu")

    @staticmethod
    def backward(ctx: Any, total: Any) -> Any:
        """Split the sum into the gradients of the weights."""
        weight_sum, needed = ctx.weight_sum, ctx.needs_input_grad[1:]
        weight_sum.close()
        if total is None:
            return None, *[None] * len(needed)
        return None, *weight_sum.parts.split(total, needed)


class Size(NamedTuple):
    """The compiled step of one dtype, and the shape of its states."""

    core: _core.Step
    hidden: int
    has_cell: bool

    def states(self, x: Any) -> tuple[Any, Any]:
        """Return memory for the new states h and c; c is None for cells without c."""
        shape = (*x.shape[:-1], self.hidden)
        return x.new_empty(shape), x.new_empty(shape) if self.has_cell else None

    def infer(
        self, flat: Flat, x: Any, h0: Any, c0: Any, weights: _core.StepWeights | None = None
    ) -> tuple[Any, ...]:
        """Run the step without a tape, and return the new states."""
        x, h0, c0 = _contiguous(x), _contiguous(h0), _contiguous(c0)
        h, c = self.states(x)
        suggest_threads(get_num_threads())
        try:
            rows, memory = x.shape[0] if x.dim() == 2 else 1, _addresses(x, h0, c0, h, c)
            self.core.infer(flat.array, rows, memory, weights)
        finally:
            suggest_threads(0)
        return (h,) if c is None else (h, c)

    def record(self, flat: Flat, x: Any, h0: Any, c0: Any) -> tuple[tuple[Any, ...], _core.StepTape]:
        """Run the step, and return the new states and the tape, which refers to x and the weights."""
        x, h0, c0 = _contiguous(x), _contiguous(h0), _contiguous(c0)
        h, c = self.states(x)
        suggest_threads(get_num_threads())
        try:
            rows, memory = x.shape[0] if x.dim() == 2 else 1, _addresses(x, h0, c0, h, c)
            tape = self.core.forward(flat.array, rows, memory, x)
        finally:
            suggest_threads(0)
        return (h,) if c is None else (h, c), tape

    def invert(self, tape: _core.StepTape, gradients: Any, dh: Any, dc: Any, dx: Any) -> tuple[Any, Any]:
        """Add to the gradients of the weights, write dx, and return the gradients of h0 and c0."""
        dh, dc = _contiguous(dh), _contiguous(dc)
        like = dc if dh is None else dh
        dh0, dc0 = torch.empty_like(like), torch.empty_like(like) if self.has_cell else None
        suggest_threads(get_num_threads())
        try:
            total = 0 if gradients is None else gradients.data_ptr()
            self.core.backward(tape, total, _addresses(dh, dc, dx, dh0, dc0))
        finally:
            suggest_threads(0)
        return dh0, dc0


def _contiguous(tensor: Any) -> Any:
    """Return a tensor whose memory has no gaps, or None for None."""
    if tensor is None or (tensor.is_contiguous() and not tensor.is_neg()):
        return tensor
    return tensor.resolve_neg().contiguous()


def _addresses(*tensors: Any) -> tuple[int, ...]:
    return tuple([0 if tensor is None else tensor.data_ptr() for tensor in tensors])


class StepCall(NamedTuple):
    """One call of a cell."""

    size: Size
    flat: Flat
    weights: tuple[Any, ...]
    parts: Parts
    weight_sum: WeightSum | None
    """None: each step returns the gradients of the weights."""
    function: Any
    """PyTorch's implementation as a function of x, h, c and the weights, for double backward."""


class Step(torch.autograd.Function):  # type: ignore[misc]
    """One time step: `Step.apply(call, x, h0, c0, *weights)` returns h and for LSTM c.

    With a `WeightSum`, its handle stands for the weights.
    """

    @staticmethod
    def forward(ctx: Any, call: StepCall, x: Any, h0: Any, c0: Any, *weights: Any) -> Any:
        """Run the step, and keep a tape if a gradient is needed."""
        ctx.set_materialize_grads(False)
        if not any(ctx.needs_input_grad):
            return call.size.infer(call.flat, x, h0, c0)
        if has_saving_hooks():  # a tape would keep more than they want
            results, ctx.tape = call.size.infer(call.flat, x, h0, c0), None
        else:
            results, ctx.tape = call.size.record(call.flat, x, h0, c0)
        ctx.call = call
        if call.weight_sum is not None:
            ctx.node = weights[0].grad_fn
        ctx.save_for_backward(x, h0, c0, *call.weights)
        return results

    @staticmethod
    def backward(ctx: Any, dh: Any, dc: Any = None) -> Any:
        """Run backward.

        PyTorch's operators compute the gradients with `create_graph=True`, and of batched errors.
        """
        saved = ctx.saved_tensors  # raises if one of them has changed
        call, needs = ctx.call, ctx.needs_input_grad[1:]
        if dh is None and dc is None:
            return None, *[None] * len(needs)
        weight_sum = call.weight_sum
        if torch.is_grad_enabled() or not have_memory((dh, dc)):
            if weight_sum is not None:
                weight_sum.separate()
            return None, *_differentiable(call, saved, (dh, dc), needs)
        gradients, returned = None, False
        if weight_sum is not None:
            gradients, returned = weight_sum.total(ctx.node)
        elif any(needs[3:]):
            gradients = torch.zeros(sum(call.parts.sizes), dtype=call.flat.dtype, device="cpu")
        dx = saved[0].new_empty(saved[0].shape) if needs[0] else None
        tape = ctx.tape
        if tape is None:
            tape = call.size.record(call.flat.saved(saved[3:]), *saved[:3])[1]
        dh0, dc0 = call.size.invert(tape, gradients, dh, dc, dx)
        if not keeps_graph():
            ctx.tape = None
        states = dh0 if needs[1] else None, dc0 if needs[2] else None
        if weight_sum is not None:
            return None, dx, *states, gradients if returned else None
        if gradients is None:
            return None, dx, *states, *[None] * len(needs[3:])
        return None, dx, *states, *call.parts.split(gradients, needs[3:])


apply_step = super(torch.autograd.Function, Step).apply
"""`Step.apply` without its search for transforms of torch.func, which never get here."""


def _differentiable(
    call: StepCall, saved: tuple[Any, ...], errors: tuple[Any, ...], needs: tuple[bool, ...]
) -> list[Any]:
    """Return the gradients as results of PyTorch's operators.

    They can be differentiated, if autograd is on.
    """
    create_graph = torch.is_grad_enabled()
    needed = [*needs[:3], *(weight.requires_grad for weight in call.weights)]
    with torch.enable_grad():
        # A view of each tensor keeps apart the gradients of tensors that depend on each other.
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in saved]
        pairs = [pair for pair in zip(_outputs(call, *views), errors, strict=False) if pair[1] is not None]
        found = iter(
            torch.autograd.grad(
                [output for output, _ in pairs],
                list(compress(views, needed)),
                [error for _, error in pairs],
                create_graph=create_graph,
                allow_unused=True,
            )
        )
    gradients = [next(found) if need else None for need in needed]
    if call.weight_sum is None:
        return gradients
    if not any(needed[3:]):
        return [*gradients[:3], None]
    vector = torch.cat(
        [
            (torch.zeros_like(weight) if gradient is None else gradient).reshape(-1)
            for weight, gradient in zip(call.weights, gradients[3:], strict=True)
        ]
    )
    return [*gradients[:3], vector]


def _outputs(call: StepCall, x: Any, h: Any, c: Any, *weights: Any) -> tuple[Any, ...]:
    """Run PyTorch's implementation, whose cells read (B, I) and states (B, H)."""
    unbatched = x.dim() == 1
    x, h, c = (tensor.unsqueeze(0) if unbatched and tensor is not None else tensor for tensor in (x, h, c))
    zeros = x.new_zeros(x.shape[0], weights[1].shape[1])
    states = (zeros if state is None else state for state in (h, c))
    outputs = call.function(x, *states, *weights)
    return tuple(output.squeeze(0) for output in outputs) if unbatched else outputs
