"""The result of a check, which prints as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        |value - expected| of the worst entry, and the largest error allowed.
    passed : bool
        Whether no entry exceeds its bound. NaN always exceeds it.
    """

    name: str
    entries: int
    index: tuple[int, ...]
    value: float
    expected: float
    error: float
    bound: float
    passed: bool


@dataclass(frozen=True)
class Report:
    """Result of a check; `print(report)` shows it as a table.

    Attributes
    ----------
    title : str
        The check and the layer.
    rows : tuple of Comparison
        One per tensor.
    """

    title: str
    rows: tuple[Comparison, ...]

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
        return "\n".join(lines)


class CheckError(AssertionError):
    """A check failed. The message is the table, and `report` holds every comparison."""

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


def conclude(title: str, rows: list[Comparison], raises: bool) -> Report:
    """Return the report on these tensors.

    Raises CheckError if a tensor failed and `raises` is set.
    """
    report = Report(title, tuple(rows))
    if raises and not report.passed:
        raise CheckError(report)
    return report
