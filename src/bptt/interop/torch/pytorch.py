"""PyTorch's own implementation as a function of its tensors, for gradients of gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bptt.interop.torch import internals
from bptt.interop.torch.options import not_in_pytorch

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

SETTINGS = ("mode", "bias", "num_layers", "bidirectional", "hidden_size", "proj_size", "bptt_options")
_FUNCTIONS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


def differentiable_gradients(
    module: Any, plan: Any, inputs: tuple[Any, ...], errors: tuple[Any, ...], needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    """Return the gradients of a pass, as results of PyTorch's operators.

    They can be differentiated, if autograd is on.

    Parameters
    ----------
    module : namespace
        The attributes `SETTINGS` of the module that ran forward.
    plan : Plan
        The plan of the forward pass.
    inputs : tuple of tensors or None
        x, h0, c0 and the weights.
    errors : tuple of tensors or None
        The gradients of y, h and c.
    needs : tuple of bool
        Which of the inputs need a gradient.

    Raises
    ------
    NotImplementedError
        If the pass had options that PyTorch does not have, or dropout, whose mask would be another one.
    """
    reason = (
        "dropout in training mode"
        if plan.masks is not None
        else ", ".join(not_in_pytorch(module.bptt_options))
    )
    if reason:
        raise NotImplementedError(
            "backward with create_graph=True or batched gradients needs a pass that PyTorch can repeat; "
            f"got a pass with {reason}. Fix: call backward without create_graph, or leave the option out."
        )
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad(), _without_onednn():
        # A view of each input keeps apart the gradients of inputs that depend on each other.
        inputs = tuple(None if tensor is None else tensor.view_as(tensor) for tensor in inputs)
        outputs = _outputs(module, plan, *inputs)
        pairs = [pair for pair in zip(outputs, errors, strict=False) if pair[1] is not None]
        wanted = [tensor for tensor, needed in zip(inputs, needs, strict=True) if needed]
        values = iter(
            torch.autograd.grad(
                [output for output, _ in pairs],
                wanted,
                [error for _, error in pairs],
                create_graph=create_graph,
                allow_unused=True,
            )
            if pairs
            else [None] * len(wanted)
        )
    return tuple(next(values) if needed else None for needed in needs)


@contextmanager
def _without_onednn() -> Iterator[None]:
    """Switch off oneDNN, whose LSTM has no second derivative."""
    enabled = internals.onednn_enabled()
    internals.enable_onednn(False)
    try:
        yield
    finally:
        internals.enable_onednn(enabled)


def _outputs(module: Any, plan: Any, x: Any, h0: Any, c0: Any, *weights: Any) -> tuple[Any, ...]:
    function = getattr(internals.functions, _FUNCTIONS[module.mode])
    if plan.layout.unbatched:
        x, h0, c0 = x.unsqueeze(1), _unsqueeze(h0), _unsqueeze(c0)
    rows = x.shape[0 if plan.layout.batch_first else 1] if plan.order is None else plan.order.batch
    states = _states(module, x, rows, h0, c0)
    hx = states if module.mode == "LSTM" else states[0]
    settings = module.bias, module.num_layers, 0.0, False, module.bidirectional
    if plan.order is not None:
        return tuple(function(x, torch.from_numpy(plan.order.active), hx, list(weights), *settings))
    y, *last = function(x, hx, list(weights), *settings, plan.layout.batch_first)
    return (y.squeeze(1), *(state.squeeze(1) for state in last)) if plan.layout.unbatched else (y, *last)


def _unsqueeze(state: Any) -> Any:
    return None if state is None else state.unsqueeze(1)


def _states(module: Any, x: Any, rows: int, *states: Any) -> list[Any]:
    """Return h0 and c0, with zeros in place of None."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    widths = module.proj_size or module.hidden_size, module.hidden_size
    return [
        x.new_zeros(count, rows, width) if state is None else state
        for state, width in zip(states, widths, strict=True)
    ]
