"""A series in parts, one after the other in time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from bptt.arguments import integer, real
from bptt.arrays import as_real


class Split(NamedTuple):
    """What comes first, what follows it, and what comes last: views."""

    training: npt.NDArray[Any]
    validation: npt.NDArray[Any]
    test: npt.NDArray[Any]


def split(series: npt.ArrayLike, validation: float = 0.1, test: float = 0.1, *, context: int = 0) -> Split:
    """Training, validation and test part of a series, in order of time: nothing is shuffled, for a model
    that has seen what comes after a step is not judged by it.

    Parameters
    ----------
    series : array-like (N, ...)
        Real numbers, one row a step. Of an array or a memory map the parts are views.
    validation, test : float
        Their shares of the steps, in [0, 1); at 0 a part is empty.
    context : int
        How many steps before them validation and test begin with. With `context=window` the first of their
        windows is followed by the part's own first step.

    Returns
    -------
    Split
        `(training, validation, test)`.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; a share out of range; a series too short for a step of each part.
    """
    array = as_real(series, "series")
    shares = [real(validation, "validation", 0.0, 1.0), real(test, "test", 0.0, 1.0)]
    context = integer(context, "context", 0)
    N = len(array) if array.ndim else 0
    sizes = [round(N * share) for share in shares]
    first = N - sum(sizes)
    if first < 1 or any(share and not size for share, size in zip(shares, sizes, strict=True)):
        raise ValueError(
            f"series must have a step for each part; got {N} steps, of which {first} would be for training, "
            f"{sizes[0]} for validation, {sizes[1]} for the test. Fix: smaller shares, or a longer series."
        )
    second = first + sizes[0]

    def later(start: int, stop: int) -> npt.NDArray[Any]:
        return array[start if start == stop else max(0, start - context) : stop]

    return Split(array[:first], later(first, second), later(second, N))
