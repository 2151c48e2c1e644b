"""Layer norm (Ba, Kiros and Hinton 2016) of one row at a time, in NumPy.

    n = (v - mean(v)) / sqrt(var(v) + 1e-5),  var(v) = mean((v - mean(v))^2)

over all columns of v together, or over each block of columns separately. A gain of None means that the layer
has no layer norm: v is returned unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt.reference.common import Array

EPSILON = 1e-5


def products(T: int, B: int, N: int) -> dict[str, Array]:
    """Return empty arrays for the inputs of layer norm.

    These are the products with x (`v_ih`) and with h (`v_hh`). A tape saves them, because rounding errors of
    v cause errors in the gradient. If the backward pass computed v again from the same weights, it would not
    see these errors.
    """
    return {"v_ih": np.empty((T, B, N)), "v_hh": np.empty((T, B, N))}


def forward(v: Array, gain: Array | None, cuts: Sequence[int] = ()) -> Array:
    """Normalise each row of v and multiply by the gain.

    Parameters
    ----------
    v : array of shape (B, N)
    gain : array of shape (N,) or None
    cuts : sequence of int
        Columns at which a new block begins. Empty: all columns are one block.
    """
    if gain is None:
        return v
    return _normalised(v, cuts) * gain


def backward(
    dy: Array, v: Array, gain: Array | None, cuts: Sequence[int] = ()
) -> tuple[Array, Array | float]:
    """Return (dv, dgain) from dL/dy, for the arguments of `forward`."""
    if gain is None:
        return dy, 0.0

    # y = n (.) gain
    n = _normalised(v, cuts)
    dgain = np.sum(dy * n, axis=0)
    dn = dy * gain

    # n = (v - mean(v)) / s. A shift or a scaling of v does not change n, so the components of dn along 1 and
    # along n do not reach v.
    blocks = zip(*(np.split(array, cuts, axis=1) for array in (dn, n, v)), strict=True)
    dv = [(dn - _mean(dn) - n * _mean(dn * n)) / spread(v) for dn, n, v in blocks]
    return np.concatenate(dv, axis=1), dgain


def _normalised(v: Array, cuts: Sequence[int]) -> Array:
    return np.concatenate([(b - _mean(b)) / spread(b) for b in np.split(v, cuts, axis=1)], axis=1)


def spread(v: Array) -> Array:
    """Return the standard deviation of each row with EPSILON, in shape (B, 1)."""
    return np.sqrt(_mean((v - _mean(v)) ** 2) + EPSILON)


def _mean(v: Array) -> Array:
    return np.asarray(np.mean(v, axis=1, keepdims=True))
