"""Fill the empty cells of a table, or drop their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity
from bptt.cli.options import CommandError, note

Numbers = npt.NDArray[np.float64]


def fill(
    path: Path, values: Numbers, names: Sequence[str], how: str
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Return values without NaN, and which of the N rows they have. Print a note about the changes.

    Parameters
    ----------
    values : ndarray (N, F)
        Rows in order of time; NaN for empty cells.
    how : {"forward", "linear", "drop"}
        "forward": repeat the last value. "linear": interpolate linearly, and repeat the nearest value at the
        ends. "drop": drop the rows.

    Raises
    ------
    CommandError
        A column has no number. `how` is "drop" and every row has an empty cell. Or `how` is "forward" and the
        first cell of a column is empty.
    """
    empty: npt.NDArray[np.bool_] = np.isnan(values)
    if not empty.any():
        return values, np.ones(len(values), bool)
    columns = ", ".join(f"{name} ({n})" for name, n in zip(names, empty.sum(axis=0), strict=True) if n)
    if how == "drop":
        complete = np.logical_not(empty.any(axis=1))
        if not complete.any():
            raise CommandError(
                f"{path} must have rows without empty cells for --fill drop; got none."
                " Fix: pass --fill linear."
            )
        dropped = quantity(int(np.count_nonzero(~complete)), "row")
        note(f"{path}: dropped {dropped} with empty cells; empty cells: {columns:.300}.")
        return values[complete], complete
    filled: Numbers = values.copy()
    rows = np.arange(len(values))
    for k, name in enumerate(names):
        known = rows[~empty[:, k]]
        if not len(known):
            raise CommandError(
                f"{path}: column {name:.60} must hold numbers; all its cells are empty. Fix: leave the column"
                " out with --columns."
            )
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
    return filled, np.ones(len(values), bool)
