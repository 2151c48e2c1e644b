"""Layers and models."""

from bptt.layers.containers.sequential import Sequential
from bptt.layers.dropout import Dropout
from bptt.layers.embedding import Embedding
from bptt.layers.ends import Ends
from bptt.layers.gru import GRU
from bptt.layers.kinds import KINDS, register
from bptt.layers.last import Last
from bptt.layers.linear import Linear
from bptt.layers.lstm import LSTM
from bptt.layers.mgu import MGU
from bptt.layers.module import Module
from bptt.layers.passes.tape import LayerTape
from bptt.layers.recurrent import Recurrent
from bptt.layers.rnn import RNN

__all__ = [
    "GRU",
    "KINDS",
    "LSTM",
    "MGU",
    "RNN",
    "Dropout",
    "Embedding",
    "Ends",
    "Last",
    "LayerTape",
    "Linear",
    "Module",
    "Recurrent",
    "Sequential",
    "register",
]

_CLASSES = (RNN, LSTM, GRU, MGU, Linear, Embedding, Dropout, Last, Ends, Sequential)
KINDS |= {cls.__name__: cls for cls in _CLASSES}
