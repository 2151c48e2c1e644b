"""Empty cells of a table: filled, or their rows dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity
from bptt.cli.options import CommandError, note

Numbers = npt.NDArray[np.float64]


def fill(path: Path, values: Numbers, names: Sequence[str], how: str) -> Numbers:
    """Return values (N, F) without NaN, and say in a note what was done.

    Parameters
    ----------
    values : ndarray (N, F)
        Rows in order of time; NaN where a cell is empty.
    how : {"forward", "linear", "drop"}
        Repeat the last value, draw a straight line between the neighbours (at either end, repeat the nearest
        value), or drop the rows.

    Raises
    ------
    CommandError
        A column has no number; every row has an empty cell and would be dropped; the first cell of a column
        is empty, and `how` is "forward".
    """
    empty = np.isnan(values)
    if not empty.any():
        return values
    columns = ", ".join(f"{name} ({n})" for name, n in zip(names, empty.sum(axis=0), strict=True) if n)
    if how == "drop":
        kept = ~empty.any(axis=1)
        if not kept.any():
            raise CommandError(
                f"{path} must have rows without empty cells for --fill drop; got none."
                " Fix: pass --fill linear."
            )
        dropped = quantity(int(np.count_nonzero(~kept)), "row")
        note(f"{path}: dropped {dropped} with empty cells; empty cells: {columns:.300}.")
        whole: Numbers = values[kept]
        return whole
    filled: Numbers = values.copy()
    rows = np.arange(len(values))
    for k, name in enumerate(names):
        known = rows[~empty[:, k]]
        if not len(known):
            raise CommandError(f"{path}: column {name:.60} must hold numbers; all its cells are empty.")
        if how == "forward" and known[0] > 0:
            raise CommandError(
                f"{path}: column {name:.60} must begin with a number for --fill forward; its first cell is"
                " empty. Fix: pass --fill linear or --fill drop."
            )
        if how == "forward":
            filled[:, k] = values[known[np.searchsorted(known, rows, side="right") - 1], k]
        else:
            filled[:, k] = np.interp(rows, known, values[known, k])
    note(f"{path}: filled empty cells (--fill {how}): {columns:.300}.")
    return filled
