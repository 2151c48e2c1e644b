"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt import _core
from bptt.arguments import Seed, probability
from bptt.arrays import Floats, as_floats
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class Dropout(Stateless):
    """Set each element to zero with probability p in `forward`.

    The other elements are multiplied by 1/(1-p). Inference returns x unchanged. The mask is a function of the
    element's position and of a random key for each pass, so it uses no memory.

    Parameters
    ----------
    p : float
        Fraction to drop, in [0, 1).
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.
    seed : int, numpy.random.Generator or None
        Source of the keys.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a value is out of range.

    References
    ----------
    Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.Dropout(0.5, seed=0)
    >>> y, state, tape = layer.forward(np.ones((20, 4, 8)))
    >>> np.unique(y)
    array([0., 2.], dtype=float32)
    """

    def __init__(self, p: float = 0.5, *, dtype: Any = "float32", seed: Seed = None) -> None:
        super().__init__(dtype, seed)
        self.p = probability(p, "p")
        self.allocate()

    @property
    def keeps_width(self) -> bool:
        return True

    def config(self) -> dict[str, Any]:
        return {"p": self.p, "dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        return as_floats(x, "x", self.dtype)

    def _infer(self, x: Floats) -> Floats:
        return x

    def _forward(self, x: Floats) -> tuple[Floats, tuple[float, int]]:
        key = int(self.rng.integers(0, 2**64, dtype=np.uint64))
        return self._masked(x, self.p, key), (self.p, key)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        return self._masked(dy, *tape.saved) if need_dx else None

    @staticmethod
    def _masked(x: Floats, p: float, key: int) -> Floats:
        return _core.dropout_forward(x.reshape(-1), p, key).reshape(x.shape)
