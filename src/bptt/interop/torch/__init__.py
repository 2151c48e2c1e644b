"""PyTorch modules that run in bptt: `LSTM`, `GRU`, `RNN`, their cells, and `replace` for whole models.

The modules have the constructor, the parameters, the state_dict and the results of those in `torch.nn`, and
take part in autograd. Needs PyTorch.
"""

try:
    import torch as _torch
except ImportError as error:
    raise ImportError(
        "bptt.interop.torch needs PyTorch, which is not installed. Fix: pip install torch."
    ) from error

from importlib import import_module
from typing import Any

from bptt.diagnose.foreign import register_flow
from bptt.interop.torch.cells import GRUCell, LSTMCell, RNNCell
from bptt.interop.torch.fallback import FallbackWarning
from bptt.interop.torch.frozen import frozen
from bptt.interop.torch.modules import GRU, LSTM, RNN
from bptt.interop.torch.replace import replace

__all__ = ["GRU", "LSTM", "RNN", "FallbackWarning", "GRUCell", "LSTMCell", "RNNCell", "frozen", "replace"]


def _gradient_flow(*arguments: Any, **options: Any) -> Any:
    return import_module("bptt.interop.torch.flow").gradient_flow(*arguments, **options)


register_flow(_torch.nn.Module, _gradient_flow)
