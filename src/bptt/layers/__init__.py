"""Layers and models."""

from bptt.layers.containers.encoder_decoder import EncoderDecoder
from bptt.layers.containers.parallel import Parallel
from bptt.layers.containers.sequential import Sequential
from bptt.layers.gru import GRU
from bptt.layers.kinds import KINDS, register
from bptt.layers.lstm import LSTM
from bptt.layers.mgu import MGU
from bptt.layers.module import Module
from bptt.layers.passes.tape import LayerTape
from bptt.layers.recurrent import Recurrent
from bptt.layers.rnn import RNN
from bptt.layers.stateless.dropout import Dropout
from bptt.layers.stateless.embedding import Embedding
from bptt.layers.stateless.ends import Ends
from bptt.layers.stateless.last import Last
from bptt.layers.stateless.linear import Linear

__all__ = [
    "GRU",
    "KINDS",
    "LSTM",
    "MGU",
    "RNN",
    "Dropout",
    "Embedding",
    "EncoderDecoder",
    "Ends",
    "Last",
    "LayerTape",
    "Linear",
    "Module",
    "Parallel",
    "Recurrent",
    "Sequential",
    "register",
]

_CELLS = (RNN, LSTM, GRU, MGU)
_STATELESS = (Linear, Embedding, Dropout, Last, Ends)
_MODELS = (Sequential, Parallel, EncoderDecoder)
KINDS |= {cls.__name__: cls for cls in (*_CELLS, *_STATELESS, *_MODELS)}
