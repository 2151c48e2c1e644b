"""The times of the rows after the last row of a table."""

from __future__ import annotations

import numpy as np

from bptt.cli.csv.tables import Table
from bptt.cli.csv.time_column import Numbers
from bptt.data.times import next_times

_FIRST, _LAST = (np.datetime64(year, "s").astype(np.float64) for year in ("1700", "2200"))
"""Seconds since 1970 that nanoseconds in 64 bits can hold, with room for a forecast."""


def times(table: Table, steps: int) -> dict[str, list[str]]:
    """Return the times of the next rows, one text per row, by the names of the table's time columns.

    Dates are in ISO 8601. Empty if the table has no time column, if two rows have the same time, or if it has
    times of day without dates.
    """
    if table.times is None or len(table.values) < 2 or not (np.diff(table.times.values) > 0).all():
        return {}
    values = table.times.values
    if not table.times.in_seconds:
        whole = bool((values == np.rint(values)).all() and np.abs(values).max() < 2**53)
        following = next_times(values.astype(np.int64) if whole else values, steps)
        return {next(iter(table.stamps)): [f"{time:.15g}" for time in following.tolist()]}
    if not table.times.dated or values[0] < _FIRST or values[-1] > _LAST:
        return {}
    moments = next_times(_moments(values), steps).astype("datetime64[ms]")
    dates, clocks = zip(*(str(moment).split("T") for moment in moments), strict=True)
    hours = [clock.removesuffix(".000") for clock in clocks]
    if len(table.stamps) == 2:
        return dict(zip(table.stamps, (list(dates), hours), strict=True))
    only_dates = (moments == moments.astype("datetime64[D]")).all() and not (values % 86400).any()
    whole_texts = dates if only_dates else [" ".join(pair) for pair in zip(dates, hours, strict=True)]
    return {next(iter(table.stamps)): list(whole_texts)}


def _moments(seconds: Numbers) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """Return seconds since 1970 as datetime64[ns], rounded to microseconds."""
    return np.rint(seconds * 1e6).astype("datetime64[us]").astype("datetime64[ns]")
