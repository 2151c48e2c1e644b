"""A module of PyTorch and ours with the same weights, and what a call and its backward pass return."""

from __future__ import annotations

from typing import Any

from tests.torch_settings import dropin, tensors, torch

KINDS = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
INPUTS, HIDDEN = 3, 4


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    """Return PyTorch's module and ours with the same weights."""
    torch.manual_seed(0)
    options = {"dtype": torch.float64} | options
    if not kind.endswith("Cell"):
        options = {"num_layers": 2, "bidirectional": True} | options
    theirs = getattr(torch.nn, kind)(INPUTS, HIDDEN, **options)
    for parameter in theirs.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    ours = getattr(dropin, kind)(INPUTS, HIDDEN, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def numbers(kind: str, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, INPUTS) if kind.endswith("Cell") else (5, 2, INPUTS)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def run(module: Any, x: Any) -> list[Any]:
    """Return outputs, dx, and the gradients of the parameters, which are set to None before."""
    module.zero_grad()
    x = x.detach().clone().requires_grad_()
    outputs = list(tensors(module(x)))
    sum((output * output.detach().cos()).sum() for output in outputs).backward()
    return [*outputs, x.grad, *(parameter.grad for parameter in module.parameters())]


def assert_same(ours: list[Any], theirs: list[Any], tolerance: float = 1e-10) -> None:
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert (our is None) == (their is None)
        if our is not None:
            torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance)
