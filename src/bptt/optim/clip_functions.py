"""Clipping of arrays of gradients, in one call."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from bptt import _core
from bptt.arguments import real, short
from bptt.optim.gradients import Gradients, Norm, refuse_nonfinite, vectors_of
from bptt.optim.sparse import compact

NormKind: TypeAlias = Literal[2, "inf"]


def clip_by_value(gradients: Gradients, max_value: float) -> None:
    """Clip every entry to [-max_value, max_value], in place.

    Parameters
    ----------
    gradients : ndarray, mapping of names to ndarray, or layer or model
        Writable C-contiguous float32 or float64 arrays, or an object that holds them.
    max_value : float
        Above 0.

    Raises
    ------
    TypeError, ValueError
        An array cannot be changed in place, or `max_value` is not above 0.
    NonFiniteError
        An array holds NaN or an infinity. No array is changed.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> gradient = np.array([3.0, -0.5])
    >>> bptt.clip_by_value(gradient, 1.0)
    >>> gradient
    array([ 1. , -0.5])
    """
    max_value = real(max_value, "max_value", 0.0, above=True)
    with compact(gradients) as arrays:
        vectors = vectors_of(arrays)
        refuse_nonfinite(arrays)
        for vector in vectors:
            _core.clip_value(vector, max_value)


def clip_by_norm(gradients: Gradients, max_norm: float, *, norm: NormKind = 2) -> float:
    """Scale all gradients by one factor, in place, to a total norm of at most `max_norm`.

    The norm is accumulated in float64. Gradients within the limit keep their bits. The direction is kept,
    however large the norm.

    Parameters
    ----------
    gradients : ndarray, mapping of names to ndarray, or layer or model
        Writable C-contiguous float32 or float64 arrays, or an object that holds them.
    max_norm : float
        Above 0.
    norm : 2 or "inf"
        The 2-norm, or the largest magnitude of all entries.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    TypeError, ValueError
        An array cannot be changed in place, `max_norm` is not above 0, or `norm` is not a known norm.
    NonFiniteError
        An array holds NaN or an infinity. No array is changed.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> gradient = np.array([3.0, 4.0])
    >>> bptt.clip_by_norm(gradient, 1.0)
    5.0
    >>> gradient
    array([0.6, 0.8])
    """
    max_norm = real(max_norm, "max_norm", 0.0, above=True)
    kind = parse_norm(norm)
    with compact(gradients) as arrays:
        vectors = vectors_of(arrays)
        total = Norm.of(vectors)
        if not total.finite:
            refuse_nonfinite(gradients)
        if kind == "inf":
            total = Norm.largest(vectors)
        total.limit(vectors, max_norm)
    return total.value


def parse_norm(value: object) -> NormKind:
    """Check the kind of a norm: 2, or "inf" for the largest magnitude."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value in (2, math.inf):
        return 2 if value == 2 else "inf"
    if isinstance(value, str) and value == "inf":
        return "inf"
    raise ValueError(f'norm must be 2 or "inf"; got {short(value)}. Fix: pass norm=2 or norm="inf".')
