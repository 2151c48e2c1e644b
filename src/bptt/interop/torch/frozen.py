"""Weights that are packed once for many calls without gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bptt.interop.torch.cells import CellDropIn
from bptt.interop.torch.dropin import DropIn

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Pack the weights once for all calls without gradients inside this context.

    Packing takes as long as about ten steps of one row. Use the context where the model runs step by step and
    its weights do not change. Results have the same bits.

    A change in place that PyTorch counts, such as that of an optimizer, is seen. Changes through
    `parameter.data`, entries of a state_dict, NumPy or other processes are not seen before the context ends.

    Parameters
    ----------
    model : torch.nn.Module
        A module of `bptt.interop.torch`, or a model that contains some.

    Raises
    ------
    TypeError
        If `model` is not a torch.nn.Module.
    ValueError
        If no recurrent module of the model runs in bptt.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> gru, h = bptt.interop.torch.GRU(3, 8), None
    >>> with torch.no_grad(), bptt.interop.torch.frozen(gru):
    ...     for x_t in torch.ones(20, 1, 4, 3):
    ...         y, h = gru(x_t, h)
    >>> y.shape
    torch.Size([1, 4, 8])
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module; got {type(model).__name__}. Fix: pass a model of PyTorch."
        )
    engines = [part.bptt_engine() for part in model.modules() if isinstance(part, (DropIn, CellDropIn))]
    if not engines:
        raise ValueError(
            "model must have a recurrent module that runs in bptt; got none. "
            "Fix: call bptt.interop.torch.replace(model) first."
        )
    for engine in engines:
        engine.freeze()
    try:
        yield
    finally:
        for engine in engines:
            engine.thaw()
