"""Inputs and targets of a forecast from tables, by the names of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from bptt.data.frames import Columns, check_names, is_frame, numbers, numeric_names, split_groups
from bptt.data.scaling import Standardize
from bptt.data.tables import named

Numbers = npt.NDArray[Any]


class Part(NamedTuple):
    """One series of a table.

    Attributes
    ----------
    label : str
        Its name in error messages.
    group : Any
        The value of the group column; None without groups.
    x, target : ndarray (N, F), (N, K)
    """

    label: str
    group: Any
    x: Numbers
    target: Numbers


def _scaled(values: Numbers, names: Sequence[Any], scaling: Standardize) -> Numbers:
    """Scale columns by the labels that the scaling was learned from; labels may be numbers."""
    if scaling.columns is None:
        raise ValueError(
            "scaling must know the names of its columns; got one that was learned from an array. "
            "Fix: pass Standardize.fit(training), with a table."
        )
    missing = [name for name in names if name not in scaling.columns]
    if missing:
        raise ValueError(
            f"scaling must have the columns {list(names)!s:.200}; it has {list(scaling.columns)!s:.200}. "
            f"Fix: pass Standardize.fit(training, columns={list(names)!s:.200})."
        )
    return scaling.take([scaling.columns.index(name) for name in names]).apply(values)


def are_frames(series: Any) -> bool:
    """Return whether `series` is a table, or a list of tables."""
    return all(is_frame(part) for _, part in named(series, "series"))


def as_names(value: Any) -> list[Any]:
    """Return one name, or a list of names, as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def read_parts(
    series: Any,
    target: Any,
    inputs: Sequence[Any] | None,
    columns: Columns,
    scaling: Standardize | None,
) -> list[Part]:
    """Read each series of a table, or of a list of tables.

    Parameters
    ----------
    series : table or list of tables
    target : name, list of names or None
        Columns to forecast; None: the inputs.
    inputs : sequence of names or None
        Columns to read; None: all but those of `columns`.
    columns : Columns
    scaling : Standardize or None
        Scales inputs and targets, by their names.

    Raises
    ------
    TypeError, ValueError
        A name is not that of a column, or as `numbers` and `split_groups`.
    """
    parts: list[Part] = []
    for label, frame in named(series, "series"):
        names = numeric_names(frame, columns) if inputs is None else as_names(inputs)
        inputs = names
        targets = names if target is None else as_names(target)
        check_names(frame, names, "columns", label)
        check_names(frame, targets, "target", label)
        for group, rows in split_groups(frame, columns, label):
            name = label if group is None else f"{label}[{columns.group} == {group!r:.60}]"
            arrays = []
            for which in (names, targets):
                values = numbers(rows, which, name)
                arrays.append(values if scaling is None else _scaled(values, which, scaling))
            parts.append(Part(name, group, *arrays))
    return parts
