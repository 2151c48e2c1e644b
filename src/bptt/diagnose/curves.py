"""Analysis of one curve of norms: growth per step, and the verdict.

A curve, or way, starts at the step where the error arrives. Entry k is the norm k steps back.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Norms = npt.NDArray[np.float64]

VANISHED, EXPLODED = 1e-3, 1e3
"""An error has vanished below, or exploded above, this multiple of its norm on arrival."""


def first(flags: npt.NDArray[np.bool_], default: int) -> int:
    """Return the index of the first True, or `default`."""
    positions = np.flatnonzero(flags)
    return int(positions[0]) if positions.size else default


def arrived(way: Norms) -> Norms:
    """Remove the zeros before the error arrives.

    A curve of zeros is returned unchanged. With zoneout of c, dL/dc is 0 at the last step: the last output
    does not depend on the last cell state.
    """
    return way[first(way != 0, 0) :]


@np.errstate(over="ignore")
def growth(way: Norms, floor: float) -> float:
    """Return the geometric mean of the growth per step back.

    0 if the error is cut off before the end. NaN if the curve has no second step. Infinity if the mean is
    above the largest float64.

    Parameters
    ----------
    way : ndarray
    floor : float
        Norms below it are about to underflow.
    """
    if len(way) < 2 or np.isnan(way[0]):
        return float("nan")
    finite = first(~np.isfinite(way), len(way))  # number of finite norms
    zero = first(way[:finite] == 0, finite)
    if zero < finite and (zero == 0 or _next(way[:zero]) > floor):
        return 0.0
    if zero < 2:
        return float("inf") if np.isinf(way[:2]).any() else float("nan")
    return float(np.exp((np.log(way[zero - 1]) - np.log(way[0])) / (zero - 1)))


def vanished(way: Norms) -> npt.NDArray[np.bool_]:
    """Return for each step whether the error has vanished there."""
    scaled = _scaled(way)
    return scaled < VANISHED * scaled[:1]


def exploded(way: Norms) -> int:
    """Return the steps back at which the error has exploded.

    This is the length of the curve if the error has not exploded.
    """
    scaled = _scaled(way)
    return first((scaled > EXPLODED * scaled[:1]) | np.isinf(scaled), len(way))


def verdict(way: Norms) -> str:
    """Return "exploding", "vanishing", "healthy", "no flow" or "not finite"."""
    grown = exploded(way)
    if first(np.isnan(way), len(way)) < grown:
        return "not finite"
    if grown < len(way):
        return "exploding"
    if not way.any() or vanished(way).any():
        return "vanishing"
    return "healthy" if len(way) > 1 else "no flow"


def _next(way: Norms) -> float:
    """Return the norm that would follow the last norm.

    The last step's factor, but at most 1, is applied again.
    """
    factor = way[-1] / way[-2] if len(way) > 1 else 1.0
    return float(way[-1] * min(factor, 1.0))


def _scaled(way: Norms) -> Norms:
    """Scale by a power of two, without rounding.

    float64 can then hold the limits of the first norm.
    """
    if not len(way) or not np.isfinite(way[0]):
        return way
    with np.errstate(over="ignore"):
        scaled: Norms = np.ldexp(way, -np.frexp(way[0])[1])
    return scaled
