"""Swap PyTorch's recurrent modules inside a model."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any, TypeVar

from bptt.interop.torch.cells import CellDropIn, GRUCell, LSTMCell, RNNCell
from bptt.interop.torch.dropin import DropIn
from bptt.interop.torch.modules import GRU, LSTM, RNN

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

Model = TypeVar("Model")

_CLASSES = {cls.torch_class: cls for cls in (LSTM, GRU, RNN, LSTMCell, GRUCell, RNNCell)}


def replace(module: Model) -> Model:
    """Make every `torch.nn.LSTM`, `GRU`, `RNN` and cell in a model run in bptt, and return the model.

    The modules stay the same objects, with the same Parameter objects, hooks, buffers and training flags:
    only their class changes. Optimizers that were made before, tied modules and other references to a module
    therefore keep working. `copy.deepcopy` the model first to keep one that runs in PyTorch.

    Parameters
    ----------
    module : torch.nn.Module
        A model, or a recurrent module itself.

    Returns
    -------
    torch.nn.Module
        `module` itself.

    Raises
    ------
    TypeError
        If `module` is not a torch.nn.Module.

    Warns
    -----
    UserWarning
        If the model has subclasses of these modules, or modules with another `forward`. They stay as they
        are, because bptt cannot know what they compute. The warning names them.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> net = torch.nn.ModuleDict({"rnn": torch.nn.GRU(3, 8), "head": torch.nn.Linear(8, 2)})
    >>> net = bptt.interop.torch.replace(net)
    >>> isinstance(net["rnn"], bptt.interop.torch.GRU)
    True
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module; got {type(module).__name__}. Fix: pass a model of PyTorch."
        )
    found = [
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, (torch.nn.RNNBase, torch.nn.RNNCellBase))
        and not isinstance(part, (DropIn, CellDropIn))
    ]
    swapped = [part for _, part in found if type(part) in _CLASSES and "forward" not in part.__dict__]
    kept = [(name, part) for name, part in found if not any(part is other for other in swapped)]
    for part in swapped:
        part.bptt_options = {}
        part.__class__ = _CLASSES[type(part)]
        part.flatten_parameters()
    if kept:
        names = ", ".join(f"{name or 'the module itself'} ({type(part).__name__})" for name, part in kept)
        warnings.warn(
            f"replace left these modules as they are, because their classes may compute something else: "
            f"{names}. Fix: derive the class from bptt.interop.torch.LSTM, GRU, RNN or a cell.",
            UserWarning,
            stacklevel=2,
        )
    return module
