"""Initialisers with parameters, for a layer's `init`: `bptt.LSTM(8, 16, init=bptt.init.chrono(longest=500))`.

A name alone, as in `init="chrono"`, selects the initialiser with its default arguments. `init` also accepts
your own subclass of `Initialiser`.
"""

from bptt.layers.initialisers import (
    Initialiser,
    chrono,
    glorot,
    identity,
    normal,
    orthogonal,
    sparse,
    uniform,
)

__all__ = ["Initialiser", "chrono", "glorot", "identity", "normal", "orthogonal", "sparse", "uniform"]
