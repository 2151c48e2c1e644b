"""Layer norm (Ba, Kiros and Hinton 2016) of one row at a time, in NumPy.

    n = (v - mean(v)) / sqrt(var(v) + 1e-5),  var(v) = mean((v - mean(v))^2)

over the columns of v together, or over blocks of them, each by itself. A gain of None means that the layer
has no layer norm: v comes back as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt.reference.common import Array

EPSILON = 1e-5


def products(T: int, B: int, N: int) -> dict[str, Array]:
    """Room for what layer norm gets: `v_ih`, the products with x, and `v_hh`, those with h.

    A tape keeps them: rounding errors of v are errors of the gradient, which would cancel if the backward
    pass made v again from the same weights.
    """
    return {"v_ih": np.empty((T, B, N)), "v_hh": np.empty((T, B, N))}


def forward(v: Array, gain: Array | None, cuts: Sequence[int] = ()) -> Array:
    """Normalise each row of v and multiply by the gain.

    Parameters
    ----------
    v : array of shape (B, N)
    gain : array of shape (N,) or None
    cuts : sequence of int
        Columns at which a new block begins. None: all are one block.
    """
    if gain is None:
        return v
    return _normalised(v, cuts) * gain


def backward(
    dy: Array, v: Array, gain: Array | None, cuts: Sequence[int] = ()
) -> tuple[Array, Array | float]:
    """Invert `forward`: (dv, dgain) from dL/dy of its result y and the rest as it was given."""
    if gain is None:
        return dy, 0.0

    # y = n (.) gain
    n = _normalised(v, cuts)
    dgain = np.sum(dy * n, axis=0)
    dn = dy * gain

    # n = (v - mean(v)) / s: the mean and s see every column, so that an error of the shape of 1 or of n,
    # which only shifts or stretches v, comes to nothing
    blocks = zip(*(np.split(each, cuts, axis=1) for each in (dn, n, v)), strict=True)
    dv = [(dn - _mean(dn) - n * _mean(dn * n)) / spread(v) for dn, n, v in blocks]
    return np.concatenate(dv, axis=1), dgain


def _normalised(v: Array, cuts: Sequence[int]) -> Array:
    return np.concatenate([(b - _mean(b)) / spread(b) for b in np.split(v, cuts, axis=1)], axis=1)


def spread(v: Array) -> Array:
    """Standard deviation of each row as layer norm takes it, of shape (B, 1)."""
    return np.sqrt(_mean((v - _mean(v)) ** 2) + EPSILON)


def _mean(v: Array) -> Array:
    return np.asarray(np.mean(v, axis=1, keepdims=True))
