"""Calls that bptt does not compute: PyTorch's own implementation runs, with one warning for each reason."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any

from bptt.interop.torch import internals
from bptt.interop.torch.options import not_in_pytorch

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

_warned: set[str] = set()


class FallbackWarning(UserWarning):
    """A module of `bptt.interop.torch` ran PyTorch's own implementation, which is slower.

    Examples
    --------
    >>> import warnings
    >>> import torch
    >>> import bptt.interop.torch
    >>> lstm = bptt.interop.torch.LSTM(3, 8, dtype=torch.bfloat16)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", bptt.interop.torch.FallbackWarning)
    ...     y, state = lstm(torch.ones(20, 4, 3, dtype=torch.bfloat16))
    >>> y.dtype
    torch.bfloat16
    """


def forget_warnings() -> None:
    """Warn again at the next fallback of each kind."""
    _warned.clear()


def refuse(module: Any, reason: str) -> None:
    """Raise NotImplementedError if the module has options that PyTorch does not have."""
    names = ", ".join(not_in_pytorch(module.bptt_options))
    if names:
        tensors = "CPU tensors of float32 or float64"
        if "precision" in module.bptt_options:
            tensors = "a module and tensors of float32 on the CPU,"
        raise NotImplementedError(
            f"{type(module).__name__} with {names} must run in bptt, because PyTorch has no such option; "
            f"got {reason}. "
            f"Fix: use {tensors} with one row or more, outside of this mode."
        )


def warn_once(module: Any, reason: str) -> None:
    """Warn that PyTorch's implementation runs, once for each reason.

    Raises
    ------
    NotImplementedError
        If the module has options that PyTorch does not have.
    """
    refuse(module, reason)
    kind = type(module).__name__
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(
            f"bptt.interop.torch.{kind} runs PyTorch's own implementation, because of {reason}. Later calls "
            "of this kind do not warn.",
            FallbackWarning,
            stacklevel=_level_of_caller(),
        )


def _level_of_caller() -> int:
    """Return the `stacklevel` of the line outside bptt and PyTorch that called the module."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("bptt.", "torch.")):
        level, frame = level + 1, frame.f_back
    return level


def special_mode() -> str | None:
    """Return why no compiled function may run at present, in words, or None.

    Transforms and tracers must see PyTorch's own operators.
    """
    if internals.transforms_active():
        return "a transform of torch.func, such as vmap or jvp"
    if internals.forward_mode():
        return "forward-mode automatic differentiation"
    if internals.tracing_state() is not None:
        return "torch.jit.trace or an exporter"
    if internals.dispatch_modes():
        return "a dispatch mode, such as FakeTensorMode"
    if internals.autocasts():
        return "autocast"
    return None


def reason_of_tensors(tensors: Any) -> str:
    """Return why bptt cannot read these tensors, in words."""
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            continue
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            return f"a tensor of the class {type(tensor).__name__}"
        if tensor.device.type != "cpu":
            return f"a tensor on the device {tensor.device.type!r}"
        if tensor.layout is not torch.strided:
            return f"a tensor with the layout {tensor.layout}"
        if tensor.dtype not in (torch.float32, torch.float64):
            return f"a tensor of dtype {tensor.dtype}"
        if tensor.numel() == 0:
            return "a tensor without elements"
    return "arguments that bptt does not read"
