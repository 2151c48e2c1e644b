"""Checks of a cell's arguments, with PyTorch's messages where PyTorch raises an error."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bptt.interop.torch.internals import autocasts

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types


def parse_pair(module: Any, hx: Any) -> tuple[Any, Any]:
    """Return h and c of an LSTM.

    Raises
    ------
    TypeError
        If hx is not a pair.
    """
    if isinstance(hx, (tuple, list)) and len(hx) == 2 and hx[1] is not None:
        return hx[0], hx[1]
    got = f"{len(hx)} entries" if isinstance(hx, (tuple, list)) else type(hx).__name__
    raise TypeError(
        f"{type(module).__name__}: hx must be a pair (h, c) of tensors, or None; got {got}. Fix: pass (h, c)."
    )


def check_step(module: Any, x: Any, h: Any, c: Any) -> None:
    """Check the arguments of one step of a cell, with PyTorch's types of errors.

    Without these checks, some calls with a state of the wrong rank end the process in PyTorch 2.13.

    Raises
    ------
    TypeError
        If an argument is not a tensor.
    ValueError
        If the number of axes is wrong.
    RuntimeError
        If sizes or dtypes do not agree.
    """
    kind, size = type(module).__name__, module.hidden_size
    _check_rank(kind, "input", x, f"(B, {module.input_size}) or ({module.input_size},)")
    *rows, width = x.shape
    if width != module.input_size:
        raise RuntimeError(
            f"{kind}: input has inconsistent input_size: got {width} expected {module.input_size}. "
            f"Fix: pass an input of shape {(*rows, module.input_size)}."
        )
    states = [state for state in (h, c) if state is not None]
    for index, state in enumerate(states):
        name = "hidden" if c is None else f"hx[{index}]"
        fix = f"Fix: pass {name} of shape {(*rows, size)}, or hx=None for zeros."
        _check_rank(kind, name, state, str((*rows, size)))
        if state.dim() != x.dim():
            raise ValueError(
                f"{kind}: Expected {name} to be {x.dim()}D, because input has the shape {tuple(x.shape)}; "
                f"got {state.dim()}D instead. {fix}"
            )
        if state.shape[-1] != size:
            raise RuntimeError(
                f"{kind}: hidden{index} has inconsistent hidden_size: got {state.shape[-1]}, "
                f"expected {size}. {fix}"
            )
        if rows and state.shape[0] != rows[0]:
            raise RuntimeError(
                f"{kind}: Input batch size {rows[0]} doesn't match hidden{index} batch size "
                f"{state.shape[0]}. {fix}"
            )
    if not autocasts():
        _check_dtypes(kind, module.weight_ih.dtype, (x, *states))


def _check_dtypes(kind: str, dtype: Any, tensors: tuple[Any, ...]) -> None:
    for tensor in tensors:
        if tensor.dtype != dtype:
            raise RuntimeError(
                f"{kind}: input and hx must have the dtype of the weights, {dtype}; got {tensor.dtype}. "
                f"Fix: pass tensor.to({dtype}), or call module.to({tensor.dtype})."
            )


def _check_rank(kind: str, name: str, tensor: Any, shape: str) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(
            f"{kind}: {name} must be a torch.Tensor; got {type(tensor).__name__}. "
            f"Fix: pass a tensor of shape {shape}."
        )
    if tensor.dim() not in (1, 2):
        raise ValueError(
            f"{kind}: Expected {name} to be 1D or 2D, got {tensor.dim()}D instead. "
            f"Fix: pass one time step, of shape {shape}."
        )
