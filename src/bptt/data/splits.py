"""Split a series into consecutive parts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from bptt.arguments import integer, real
from bptt.data.tables import check_one_series, parse_real, refuse_list


class Split(NamedTuple):
    """Training, validation and test part of a series, in order of time. All parts are views."""

    training: npt.NDArray[Any]
    validation: npt.NDArray[Any]
    test: npt.NDArray[Any]


def split(series: npt.ArrayLike, validation: float = 0.1, test: float = 0.1, *, context: int = 0) -> Split:
    """Split a series by time into a training, validation and test part, without shuffling.

    Shuffling would train the model on steps after the test steps, and make the test error too small.

    Parameters
    ----------
    series : array-like (N, ...)
        Real numbers, one row per step. The parts of an array or a memory map are views.
    validation, test : float
        Fractions of the steps, in [0, 1). The part of a fraction of 0 is empty.
    context : int
        Number of earlier steps that the validation and the test part begin with. With `context=window`, the
        first window of a part is followed by the first step that belongs to this part.

    Returns
    -------
    Split
        `(training, validation, test)`.

    Raises
    ------
    TypeError, ValueError
        `series` does not hold real numbers, is a list of arrays, or is too short for a step of each part.
        `series` is a table of several series (an index with several levels), or its dates are not in order.
        A fraction is out of range. `context` is larger than the number of steps before a part.
    """
    refuse_list(series, "series", "split each, [split(one) for one in series]")
    check_one_series(series, "series")
    array = parse_real(series, "series")
    fractions = [real(validation, "validation", 0.0, 1.0), real(test, "test", 0.0, 1.0)]
    context = integer(context, "context", 0)
    N = len(array) if array.ndim else 0
    sizes = [round(N * fraction) for fraction in fractions]
    first = N - sum(sizes)
    if first < 1 or any(fraction and not size for fraction, size in zip(fractions, sizes, strict=True)):
        raise ValueError(
            f"series must have a step for each part; got {N} steps, of which {first} would be for training, "
            f"{sizes[0]} for validation, {sizes[1]} for the test. "
            "Fix: pass smaller fractions, or a longer series."
        )
    second = first + sizes[0]

    def later(name: str, start: int, stop: int) -> npt.NDArray[Any]:
        if start == stop:
            return array[start:stop]
        if start < context:
            raise ValueError(
                f"context must be at most {start}, the steps before the {name} part; got {context}. "
                "Fix: pass a smaller context, smaller fractions, or a longer series."
            )
        return array[start - context : stop]

    return Split(array[:first], later("validation", first, second), later("test", second, N))
