"""Layers and models."""

from bptt.layers.containers.encoder_decoder import EncoderDecoder
from bptt.layers.containers.parallel import Parallel
from bptt.layers.containers.sequential import Sequential
from bptt.layers.gru import GRU
from bptt.layers.kinds import KINDS, register
from bptt.layers.lstm import LSTM
from bptt.layers.memory_blocks import MemoryBlocks
from bptt.layers.mgu import MGU
from bptt.layers.module import Module
from bptt.layers.passes.tape import LayerTape
from bptt.layers.recurrent import Recurrent
from bptt.layers.recurrent_calls import RecurrentCalls
from bptt.layers.rnn import RNN
from bptt.layers.stateless.activations import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from bptt.layers.stateless.dropout import Dropout
from bptt.layers.stateless.embedding import Embedding
from bptt.layers.stateless.ends import Ends
from bptt.layers.stateless.last import Last
from bptt.layers.stateless.layer_norm import LayerNorm
from bptt.layers.stateless.linear import Linear
from bptt.layers.stateless.pools import MaxPool, MeanPool
from bptt.layers.stateless.repeat import Repeat
from bptt.layers.stateless.tied_linear import TiedLinear

__all__ = [
    "GELU",
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
    "LayerNorm",
    "LayerTape",
    "Linear",
    "MaxPool",
    "MeanPool",
    "MemoryBlocks",
    "Module",
    "Parallel",
    "ReLU",
    "Recurrent",
    "RecurrentCalls",
    "Repeat",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TiedLinear",
    "register",
]

_RECURRENT = (RNN, LSTM, GRU, MGU, MemoryBlocks)
_ACTIVATIONS = (Tanh, ReLU, Sigmoid, GELU, SiLU, Softmax)
_STATELESS = (Linear, Embedding, Dropout, LayerNorm, Last, Ends, MeanPool, MaxPool, Repeat, TiedLinear)
_MODELS = (Sequential, Parallel, EncoderDecoder)
_CLASSES = (*_RECURRENT, *_ACTIVATIONS, *_STATELESS, *_MODELS)
KINDS |= {cls.__name__: cls for cls in _CLASSES}
