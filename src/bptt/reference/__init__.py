"""The recurrent layers in plain NumPy and float64: the oracle of the compiled core, written to be read.

`lstm.py`, `gru.py`, `gru_reset_before.py`, `mgu.py` and `rnn.py` hold one cell each, forward and backward
through time beside its equations; `activations.py` and `norm.py` what these are made of; `interventions.py`
what is done to them from outside, and `clip.py` to the errors on their way back; `stack.py` adds layers,
directions and dropout, `ragged.py` rows of unequal length; `layers.py` gives them the interface of the native
layers.
"""

from bptt.reference.copies import like
from bptt.reference.layers import GRU, LSTM, MGU, RNN

__all__ = ["GRU", "LSTM", "MGU", "RNN", "like"]
