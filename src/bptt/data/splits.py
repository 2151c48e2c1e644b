"""Split a series into consecutive parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt.arguments import integer, real, short
from bptt.data.frames import Columns, group_rows, is_frame, take
from bptt.data.tables import check_one_series, parse_real, refuse_list


class Split(NamedTuple):
    """Training, validation and test part of a series, in order of time.

    Attributes
    ----------
    training, validation, test : ndarray or table
        Parts of an array are views.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> parts = bptt.data.split(np.arange(100.0), validation=0.1, test=0.2)
    >>> parts.training.shape, parts.validation.shape, parts.test.shape
    ((70,), (10,), (20,))
    """

    training: Any
    validation: Any
    test: Any


def split(
    series: npt.ArrayLike,
    validation: float = 0.1,
    test: float = 0.1,
    *,
    context: int = 0,
    time: str | None = None,
    group: str | None = None,
) -> Split:
    """Split a series by time into a training, validation and test part, without shuffling.

    Shuffling would train the model on steps after the test steps, and make the test error too small.

    Parameters
    ----------
    series : array-like or table (N, ...)
        Real numbers, one row per step. The parts of an array or a memory map are views. The parts of a table
        of pandas or polars are tables.
    validation, test : float
        Fractions of the steps, in [0, 1). The part of a fraction of 0 is empty.
    context : int
        Number of earlier steps that the validation and the test part begin with. With `context=window`, the
        first window of a part is followed by the first step that belongs to this part.
    time : str, optional
        Column of a table that holds the time of each row. Default: an index of dates.
    group : str, optional
        Column of a table that tells the series of a panel from each other. Each series is split.

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

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> training, validation, test = bptt.data.split(np.arange(100.0), validation=0.1, test=0.2)
    >>> len(training), validation
    (70, array([70., 71., 72., 73., 74., 75., 76., 77., 78., 79.]))
    """
    refuse_list(series, "series", "split each, [split(one) for one in series]")
    fractions = [real(validation, "validation", 0.0, 1.0), real(test, "test", 0.0, 1.0)]
    context = integer(context, "context", 0)
    if time is not None or group is not None:
        if not is_frame(series):
            raise TypeError(
                f"series must be a table of pandas or polars if time or group is given; got {short(series)}. "
                "Fix: leave time and group out."
            )
        rows = group_rows(series, Columns(time, group), "series")
        parts = [_bounds(len(each), fractions, context) for each in rows]
        pairs = [list(zip(rows, bounds, strict=True)) for bounds in zip(*parts, strict=True)]
        training, judging, testing = (
            take(series, np.concatenate([each[part] for each, part in pair])) for pair in pairs
        )
        return Split(training, judging, testing)
    check_one_series(series, "series")
    array = parse_real(series, "series")
    bounds = _bounds(len(array) if array.ndim else 0, fractions, context)
    if is_frame(series):
        return Split(*(take(series, part) for part in bounds))
    return Split(*(array[part] for part in bounds))


def _bounds(N: int, fractions: Sequence[float], context: int) -> tuple[slice, slice, slice]:
    """Return the rows of each part of a series of N steps."""
    sizes = [round(N * fraction) for fraction in fractions]
    first = N - sum(sizes)
    if first < 1 or any(fraction and not size for fraction, size in zip(fractions, sizes, strict=True)):
        raise ValueError(
            f"series must have a step for each part; got {N} steps, of which {first} would be for training, "
            f"{sizes[0]} for validation, {sizes[1]} for the test. "
            "Fix: pass smaller fractions, or a longer series."
        )
    second = first + sizes[0]

    def later(name: str, start: int, stop: int) -> slice:
        if start == stop:
            return slice(start, stop)
        if start < context:
            raise ValueError(
                f"context must be at most {start}, the steps before the {name} part; got {context}. "
                "Fix: pass a smaller context, smaller fractions, or a longer series."
            )
        return slice(start - context, stop)

    return slice(first), later("validation", first, second), later("test", second, N)
