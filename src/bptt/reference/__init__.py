"""The recurrent layers in plain NumPy and float64.

This code is written for readers. Tests compare the compiled core with it. `lstm.py`, `gru.py`,
`gru_reset_before.py`, `mgu.py`, `rnn.py` and `memory_blocks.py` hold one cell each: the equations, and the
forward and backward passes through time. The cells use `activations.py` and `norm.py`. `interventions.py`
holds resets and masks, and `clip.py` clips the errors of the backward pass. `stack.py` adds layers,
directions and dropout. `ragged.py` adds rows of unequal length. `layers.py` adds the interface of the native
layers.
"""

from bptt.reference.copies import like
from bptt.reference.layers import GRU, LSTM, MGU, RNN, MemoryBlocks

__all__ = ["GRU", "LSTM", "MGU", "RNN", "MemoryBlocks", "like"]
