"""Initialisers: the classes and names that a layer's `init` accepts.

Recurrent and input weights are drawn gate by gate. Each block of H rows is a separate matrix: LSTM i, f, g,
o, or f, g, o, or i, g, o; GRU r, z, n; MGU f, n. For every initialiser, the gains of layer norm start at 1,
its offsets start at 0, and peepholes have their default values. All draws come from the layer's generator, in
the order of its parameters.

The class names are lower-case, because they are used like functions: `init=orthogonal(gain=2)`.
"""

from bptt.layers.initialisers.base import Initialiser
from bptt.layers.initialisers.gates import chrono
from bptt.layers.initialisers.parse import NAMES, Init, parse_init
from bptt.layers.initialisers.weights import glorot, identity, normal, orthogonal, sparse, uniform

__all__ = [
    "NAMES",
    "Init",
    "Initialiser",
    "chrono",
    "glorot",
    "identity",
    "normal",
    "orthogonal",
    "parse_init",
    "sparse",
    "uniform",
]
