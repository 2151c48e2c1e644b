"""
Initialisers with parameters, for a layer's `init`: `bptt.LSTM(8, 16, init=bptt.init.chrono(longest=500))`.

Their names alone, as in `init="chrono"`, stand for those without arguments. A class of your own that derives
from `Initialiser` goes into `init` likewise.
"""

from bptt.layers.initialisers import Initialiser, chrono, glorot, identity, orthogonal, sparse

__all__ = ["Initialiser", "chrono", "glorot", "identity", "orthogonal", "sparse"]
