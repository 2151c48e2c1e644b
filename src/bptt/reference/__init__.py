"""The recurrent layers in plain NumPy and float64: the oracle of the compiled core, written to be read.

`lstm.py`, `gru.py` and `rnn.py` hold one cell each, forward and backward through time beside its equations;
`stack.py` adds layers, directions and dropout; `layers.py` gives them the interface of the native layers.
"""

from bptt.reference.copies import like
from bptt.reference.layers import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "like"]
