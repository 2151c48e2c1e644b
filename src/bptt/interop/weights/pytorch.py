"""The modules of PyTorch that have layers in bptt."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_SHARED = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
RECURRENT = {"LSTM": (*_SHARED, "proj_size"), "GRU": _SHARED, "RNN": (*_SHARED, "nonlinearity")}
"""The recurrent modules, and the options that both libraries have, under the same names."""
_CELL = ("input_size", "hidden_size", "bias")
CELLS = {"LSTMCell": _CELL, "GRUCell": _CELL, "RNNCell": (*_CELL, "nonlinearity")}
"""The modules of one step."""


def pytorch(name: str) -> Any:
    """Import PyTorch, which the function `name` needs."""
    try:
        return import_module("torch")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"{name} needs PyTorch: pip install torch") from error
