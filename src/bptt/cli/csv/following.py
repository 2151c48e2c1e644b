"""The times of the rows after the last row of a table."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from bptt.cli.csv.tables import Table
from bptt.cli.csv.time_column import DAY, Numbers
from bptt.cli.csv.time_order import usual_step

_EPOCH = datetime(1970, 1, 1)
_TOLERANCE = 1e-6  # usual steps
_SHORTEST_MONTH = 28  # days
_FEWEST = 3  # rows: two rows have only one step


def times(table: Table, steps: int) -> dict[str, list[str]]:
    """Return the times of the next rows, one text per row, by the names of the table's time columns.

    Dates are in ISO 8601. Empty if the table has no time column, if its steps are not equal, or if it has
    times of day without dates. Months, quarters and years count as equal.
    """
    if table.times is None or len(table.values) < _FEWEST:
        return {}
    values = table.times.values
    if not table.times.in_seconds:
        following = _evenly(values, steps)
        return {} if following is None else {next(iter(table.stamps)): [f"{time:.15g}" for time in following]}
    if not table.times.dated:
        return {}
    following = _evenly(values, steps)
    if following is None:
        following = _monthly(values, steps)
    if following is None:
        return {}
    try:
        moments = [_EPOCH + timedelta(seconds=round(time, 3)) for time in following.tolist()]
    except OverflowError:
        return {}
    dates = [moment.date().isoformat() for moment in moments]
    hours = [moment.time().isoformat() for moment in moments]
    if len(table.stamps) == 2:
        return dict(zip(table.stamps, (dates, hours), strict=True))
    only_dates = not (np.concatenate((values, following)) % DAY).any()
    whole = dates if only_dates else [" ".join(pair) for pair in zip(dates, hours, strict=True)]
    return {next(iter(table.stamps)): whole}


def _evenly(values: Numbers, steps: int) -> Numbers | None:
    """Continue sorted values that are evenly spaced; None for others."""
    usual = usual_step(values)
    if not usual or np.abs(np.diff(values) - usual).max() > _TOLERANCE * usual:
        return None
    following: Numbers = values[-1] + (values[-1] - values[0]) / (len(values) - 1) * np.arange(1, steps + 1)
    return following


def _monthly(values: Numbers, steps: int) -> Numbers | None:
    """Continue times on the first or the last day of months, or on another day up to the 28th.

    Return None for other times, or if the numbers of months between the rows differ.
    """
    days, seconds = np.divmod(values, DAY)
    try:
        dates = days.astype("datetime64[D]")
    except (OverflowError, ValueError):
        return None
    months = dates.astype("datetime64[M]")
    day = (dates - months.astype("datetime64[D]")).astype(int)
    left = ((months + 1).astype("datetime64[D]") - dates).astype(int)
    between = np.diff(months.astype(int))
    if len({*between}) > 1 or between[0] < 1 or len({*seconds}) > 1:
        return None
    following = months[-1] + between[0] * np.arange(1, steps + 1)
    if len({*left}) == 1:
        result = (following + 1).astype("datetime64[D]") - left[0]
    elif len({*day}) == 1 and day[0] < _SHORTEST_MONTH:
        result = following.astype("datetime64[D]") + day[0]
    else:
        return None
    after: Numbers = result.astype("datetime64[s]").astype(np.float64) + seconds[0]
    return after
