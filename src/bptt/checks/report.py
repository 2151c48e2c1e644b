"""The result of a check, which prints as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Comparison:
    """The comparison of one tensor.

    Attributes
    ----------
    name : str
        Such as "y", "state", "dx", "dstate", "dh_norm", "dc_norm" or "gradients[weight_ih_l0]". The parts of
        a state that is a tuple are "state[0]", "state[1]".
    entries : int
        Number of entries that were compared.
    index : tuple of int
        Index of the worst entry: its error is the largest multiple of its bound.
    value, expected : float
        The worst entry, and its expected value.
    error, bound : float
        `|value - expected|` of the worst entry, and the largest error allowed.
    passed : bool
        Whether no entry exceeds its bound. NaN always exceeds it.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> report = bptt.gradcheck(bptt.Linear(3, 8, seed=0), np.ones((20, 4, 3)))
    >>> row = report.rows[0]
    >>> row.name, row.entries, row.error < row.bound
    ('dx', 32, True)
    """

    name: str
    entries: int
    index: tuple[int, ...]
    value: float
    expected: float
    error: float
    bound: float
    passed: bool


class Difference(NamedTuple):
    """The first value on which two implementations disagree.

    Attributes
    ----------
    place : str
        The layer or the tensor, such as "layer 0", "layer 1, reverse" or "y".
    step, row, unit : int
        Time step, row of the batch and unit, each counted from 0.
    gate : str
        Such as "gate f", "c" or "h"; or "gates read in the order i, f, o, g instead of i, f, g, o". "" if
        unknown.
    value, expected : float
        What the layer has there, and what it should have.
    """

    place: str
    step: int
    row: int
    unit: int
    gate: str
    value: float
    expected: float

    def __str__(self) -> str:
        gate = f", {self.gate}" if self.gate else ""
        where = f"{self.place}, step {self.step}, row {self.row}, unit {self.unit}{gate}"
        return f"{where}: {self.value!r}, expected {self.expected!r}"


@dataclass(frozen=True)
class Report:
    """Result of a check; `print(report)` shows it as a table.

    Attributes
    ----------
    title : str
        The check and the layer.
    rows : tuple of Comparison
        One per tensor.
    first : Difference or None
        The first value of the forward pass that differs. None if the check passed, if only gradients differ,
        or if the check was `gradcheck`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> report = bptt.gradcheck(bptt.Linear(3, 8, seed=0), np.ones((20, 4, 3)))
    >>> report.title, report.passed, len(report.rows)
    ("gradcheck Linear(in_features=3, out_features=8, dtype='float64')", True, 3)
    """

    title: str
    rows: tuple[Comparison, ...]
    first: Difference | None = None

    @property
    def passed(self) -> bool:
        """Whether every tensor passed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """Comparisons of the tensors that failed."""
        return tuple(row for row in self.rows if not row.passed)

    def __getitem__(self, name: str) -> Comparison:
        """Return the comparison of the tensor `name`."""
        return {row.name: row for row in self.rows}[name]

    def __str__(self) -> str:
        outcome = "passed" if self.passed else f"FAILED in {len(self.failures)} of {len(self.rows)} tensors"
        width = max([6, *(len(row.name) for row in self.rows)])
        lines = [f"{self.title}: {outcome}"]
        lines.append(f"  {'tensor':<{width}} {'entries':>8} {'error':>9} {'bound':>9}  worst at")
        for row in self.rows:
            line = f"  {row.name:<{width}} {row.entries:>8} {row.error:>9.2e} {row.bound:>9.2e}"
            line = f"{line}  {list(row.index)}"
            lines.append(line if row.passed else f"{line} FAILED: {row.value!r}, expected {row.expected!r}")
        if self.first is not None:
            lines.append(f"  first difference: {self.first}")
        return "\n".join(lines)


class CheckError(AssertionError):
    """A check failed. The message is the table of the report.

    Attributes
    ----------
    report : Report
        All comparisons.

    Examples
    --------
    >>> import bptt
    >>> class Wrong(bptt.Linear):
    ...     def backward(self, tape, dy=None, dstate=None, *, need_dx=True):
    ...         return super().backward(tape, 1.01 * dy, dstate, need_dx=need_dx)
    >>> try:
    ...     bptt.gradcheck(Wrong(2, 1), [[1.0, 2.0]])
    ... except bptt.testing.CheckError as error:
    ...     print([row.name for row in error.report.failures])
    ['dx', 'gradients[weight]', 'gradients[bias]']
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def compare(
    name: str,
    value: npt.NDArray[Any],
    expected: npt.NDArray[Any],
    bound: npt.NDArray[Any],
    shape: tuple[int, ...],
    positions: npt.NDArray[np.intp] | None = None,
) -> Comparison:
    """Compare some entries of a tensor.

    Parameters
    ----------
    name : str
        Name of the tensor.
    value, expected, bound : array of shape (N,)
        Entries of the tensor, their expected values, and the largest errors allowed.
    shape : tuple of int
        Shape of the tensor.
    positions : array of shape (N,), optional
        Positions of the entries in the flattened tensor. None: `value` holds all entries.
    """
    if value.size == 0:
        return Comparison(name, 0, (), 0.0, 0.0, 0.0, 0.0, True)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which counts as the worst error
        error = np.abs(value - expected)
        excess = error / np.maximum(bound, np.finfo(np.float64).tiny)
    worst = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    position = worst if positions is None else int(positions[worst])
    return Comparison(
        name,
        value.size,
        tuple(int(i) for i in np.unravel_index(position, shape)),
        float(value[worst]),
        float(expected[worst]),
        float(error[worst]),
        float(bound[worst]),
        bool((error <= bound).all()),
    )


def conclude(
    title: str,
    rows: list[Comparison],
    raises: bool,
    first: Callable[[], Difference | None] = lambda: None,
) -> Report:
    """Return the report on these tensors.

    `first` finds the first difference. It is called if a tensor failed.

    Raises CheckError if a tensor failed and `raises` is set.
    """
    report = Report(title, tuple(rows))
    if not report.passed:
        report = replace(report, first=first())
    if raises and not report.passed:
        raise CheckError(report)
    return report
