"""The times of the rows of a series: their order, gaps, and the times that follow."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity, short

Times = npt.NDArray[Any]
"""datetime64[ns], or numbers that count steps."""

GAP = 1.5
"""A step is a gap if it is longer than this many usual steps. Months differ by less."""
USUAL = 0.7
"""Fraction of steps that are equal in a series with gaps."""
_DAY = np.timedelta64(1, "D")


def as_times(values: Any, name: str) -> Times:
    """Return the times in a column or an index as datetime64[ns], or as numbers.

    Times with a time zone are converted to UTC.

    Raises
    ------
    TypeError
        The values are neither dates, nor text in ISO 8601, nor numbers.
    ValueError
        A time is missing.
    """
    accessor = getattr(values, "dt", values)  # of a pandas Series
    if getattr(accessor, "tz", None) is not None:
        values = accessor.tz_convert(None)
    elif hasattr(accessor, "to_timestamp") and hasattr(accessor, "qyear"):  # periods
        values = accessor.to_timestamp()
    array = np.asarray(values)
    if array.dtype.kind in "OUT":
        try:
            array = np.array(array.tolist(), "datetime64[ns]")
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} must hold dates, or numbers; got {short(array.flat[0])}. Fix: parse the text first, "
                "with pandas.to_datetime or polars' str.to_datetime."
            ) from None
    if array.dtype.kind not in "Mmiuf":
        raise TypeError(
            f"{name} must hold dates, or numbers; got {array.dtype}. Fix: name the column of the times."
        )
    array = array.astype("datetime64[ns]") if array.dtype.kind == "M" else array
    array = array.astype(np.int64) if array.dtype.kind == "m" else array
    missing = np.flatnonzero(np.isnat(array) if array.dtype.kind == "M" else np.isnan(array))
    if len(missing):
        raise ValueError(
            f"{name} must have a time in every row; row {missing[0]} has none. Fix: drop the row."
        )
    return array


def check_order(times: Times, name: str, fix: str) -> None:
    """Raise ValueError if a time is not later than the time before. `fix` sorts the rows."""
    wrong = np.flatnonzero(~(times[1:] > times[:-1]))
    if not len(wrong):
        return
    row = int(wrong[0]) + 1
    before, after = (_shown(times[i]) for i in (row - 1, row))
    if times[row] < times[row - 1]:
        raise ValueError(
            f"{name} must have its rows in order of time; row {row} has {after}, after {before}. Fix: {fix}."
        )
    raise ValueError(
        f"{name} must have each time once; rows {row - 1} and {row} both have {after}. Fix: pass group= with "
        "the column that tells the series of a panel from each other, or leave one of the rows out."
    )


def warn_of_gaps(times: Times, name: str) -> None:
    """Warn if steps between rows are much longer than the usual step.

    Weekends between business days are no gaps.
    """
    steps = _steps(times)
    positive = steps[steps > 0]
    if not len(positive):
        return
    usual = np.median(positive)
    gaps = np.flatnonzero(steps > GAP * usual)
    if len(gaps):
        first = int(gaps[0])
        warnings.warn(
            f"{name} has {quantity(len(gaps), 'gap')}: {_shown(times[first + 1])} follows "
            f"{_shown(times[first])}, {steps[first] / usual:.3g} usual steps later. Rows are read as evenly "
            "spaced. Fix: add the missing rows and fill them, or pass the parts as a list of series.",
            UserWarning,
            stacklevel=4,
        )


def next_times(times: Times, count: int) -> Times:
    """Return the `count` times that follow, at the usual step: months, business days, or a constant step.

    A series with one row has steps of 1, or of one day.
    """
    ahead = np.arange(1, count + 1)
    if times.dtype.kind != "M":
        step = np.median(np.diff(times)) if len(times) > 1 else 1
        whole = times.dtype.kind in "iu" and step == np.rint(step)
        counted: Times = times[-1] + ahead * (int(step) if whole else step)
        return counted
    if len(times) < 2:
        following: Times = times[-1] + ahead * _DAY.astype("timedelta64[ns]")
        return following
    months = _next_months(times, ahead)
    if months is not None:
        return months
    days = times.astype("datetime64[D]")
    if _are_business_days(times) and _usual(np.busday_count(days[:-1], days[1:])) == 1:
        return np.busday_offset(days[-1], ahead).astype("datetime64[ns]")
    steps = np.diff(times).astype(np.int64)
    step = _usual(steps)
    step = int(np.median(steps)) if step is None else step
    return times[-1] + (ahead * step).astype("timedelta64[ns]")  # type: ignore[no-any-return]


def _next_months(times: Times, ahead: npt.NDArray[Any]) -> Times | None:
    """Return the times that follow at the same day of every n-th month, or at its last day.

    None if the times are not spaced like this.
    """
    month, day = times.astype("datetime64[M]"), times.astype("datetime64[D]")
    clock, place = times - day, (day - month.astype("datetime64[D]")).astype(int)
    every = _usual(np.diff(month).astype(int))
    at_end = ((day + 1).astype("datetime64[M]") != month).all()
    if not every or (clock != clock[0]).any() or not (at_end or (place == place[0]).all()):
        return None
    following = month[-1] + ahead * every
    first, last = following.astype("datetime64[D]"), (following + 1).astype("datetime64[D]") - 1
    dates = last if at_end else np.minimum(first + place[0], last)
    result: Times = dates.astype("datetime64[ns]") + clock[0]
    return result


def _usual(steps: npt.NDArray[Any]) -> int | None:
    """Return the step that most steps equal; None if there is none."""
    values, counts = np.unique(steps, return_counts=True)
    best = int(np.argmax(counts))
    return int(values[best]) if counts[best] >= USUAL * len(steps) else None


def _steps(times: Times) -> npt.NDArray[Any]:
    """Return the distances between rows: in business days if no row is on a weekend."""
    if times.dtype.kind == "M":
        days = times.astype("datetime64[D]")
        if _are_business_days(times):
            return np.asarray(np.busday_count(days[:-1], days[1:]))
        return np.diff(times).astype(np.int64)
    return np.diff(times)


def _are_business_days(times: Times) -> bool:
    """Return whether the times are days from Monday to Friday, with a weekend between them."""
    days = times.astype("datetime64[D]")
    if (times != days).any() or not np.is_busday(days).all():
        return False
    return bool((np.diff(days) != np.busday_count(days[:-1], days[1:]) * _DAY).any())


def _shown(time: Any) -> str:
    if isinstance(time, np.datetime64):
        text = str(time.astype("datetime64[s]")).replace("T", " ")
        return text.removesuffix(" 00:00:00")
    return f"{time}"
