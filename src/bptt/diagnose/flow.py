"""What becomes of an error on its way back through time: its norm at every step, in numbers and in words."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.rows import Row
from bptt.diagnose.words import advice, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Norms = npt.NDArray[np.float64]

VANISHED, EXPLODED = 1e-3, 1e3
"""An error below the one has vanished, above the other exploded: times what it was where it came in."""

WIDTH = 100
"""Letters to a line of `print(flow)`."""


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow:
    """What `bptt.gradient_flow` found. One row per layer and direction: R rows, T steps.

    `print(flow)` shows it as a table with verdicts and remedies; a notebook shows the picture as well.

    Attributes
    ----------
    dh_norm : ndarray (R, T)
        2-norm over batch and units of the whole dL/dh_t: what comes in at step t plus what flows back to it.
    dc_norm : ndarray (R, T) or None
        The same of dL/dc_t; NaN in rows of cells without c, None where no cell has it.
    rows : tuple of Row
        Which layer and direction each row is; `rows[k].name` in words.
    """

    dh_norm: Norms
    dc_norm: Norms | None
    rows: tuple[Row, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The rows in words: "layer 0", "layer 1, reverse direction, of model[2]"."""
        return tuple(row.name for row in self.rows)

    @cached_property
    def ways(self) -> tuple[Norms, ...]:
        """`dh_norm` of each row in the order of the way back: entry k is k steps back from where the error
        came in.

        A forward direction goes back from its last step to step 0. A reverse direction, whose recursion ends
        at step 0, goes from there to the last step. Steps that the error came in too late for are not on it.
        """
        return tuple(h[came] for h, came in zip(self.dh_norm, self._ways, strict=True))

    @cached_property
    def c_ways(self) -> tuple[Norms, ...] | None:
        """`dc_norm` on the same ways."""
        if self.dc_norm is None:
            return None
        return tuple(c[came] for c, came in zip(self.dc_norm, self._ways, strict=True))

    @cached_property
    def rate(self) -> Norms:
        """(R,): geometric mean of the growth of dh_norm per step back; below 1 it shrinks, above 1 it grows.

        Over the steps at which the norm can be told: down to where it underflows, up to where it overflows.
        0 where the error is cut off on the way, as by a reset, or by relu units that are all off. NaN where
        there is no step back to go.
        """
        return np.array([_rate(way, _floor(row)) for row, way in zip(self.rows, self.ways, strict=True)])

    @cached_property
    def horizon(self) -> npt.NDArray[np.int64]:
        """(R,): steps back until dh_norm is below 1e-3 of what it was where the error came in; T if never."""
        T = self.dh_norm.shape[1]
        return np.array([_first(way < VANISHED * way[0], T) for way in self.ways], np.int64)

    @cached_property
    def verdict(self) -> tuple[str, ...]:
        """For each row "exploding" if dh_norm rises above 1e3 times what it was where the error came in, or
        overflows; else "vanishing" if it falls below 1e-3 of that, or no error comes in; else "healthy". "not
        finite" where NaN comes first.
        """
        return tuple(map(_verdict, self.ways))

    @cached_property
    def carried(self) -> tuple[bool, ...]:
        """For each row, whether its cell state brings the error all the way back: dc_norm stays above 1e-3 of
        what it was. False without a cell state.
        """
        if self.c_ways is None:
            return (False,) * len(self.rows)
        return tuple(_verdict(way) == "healthy" for way in self.c_ways)

    def turn(self, k: int) -> int:
        """Steps back at which the error of row k explodes, or if it does not, its horizon."""
        way = self.ways[k]
        return _exploded(way) if self.verdict[k] == "exploding" else int(self.horizon[k])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the norms against steps back, one line per row, on a log scale with both limits.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Write the picture there, as its ending says: .png or .svg.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError, OSError
            What is no path; one with another ending; a file that cannot be written.
        """
        from bptt.diagnose.flow_picture import plot_flows

        return plot_flows({"": self}, path)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, numbers and strings."""
        found = {
            "rows": list(self.names),
            "cells": [row.stack.kind for row in self.rows],
            "rate": self.rate.tolist(),
            "horizon": self.horizon.tolist(),
            "verdict": list(self.verdict),
            "dh_norm": self.dh_norm.tolist(),
        }
        return found if self.dc_norm is None else found | {"dc_norm": self.dc_norm.tolist()}

    def __str__(self) -> str:
        said = (textwrap.fill(sentence, WIDTH, subsequent_indent="  ") for sentence in advice(self))
        return "\n".join([table(self), *said])

    def __repr__(self) -> str:
        parts = (f"{name}: {verdict}" for name, verdict in zip(self.names, self.verdict, strict=True))
        return f"GradientFlow({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        from bptt.diagnose.report import flow_html

        return flow_html(self)

    def _repr_png_(self) -> bytes | None:
        from bptt.diagnose import canvas

        return canvas.png(self.plot()) if canvas.available() else None

    @cached_property
    def _ways(self) -> tuple[slice, ...]:
        ways = []
        T = self.dh_norm.shape[1]
        for row, norms in zip(self.rows, self.dh_norm, strict=True):
            # NaN is no zero. Where no error came in at all, the way is the whole one.
            came = _first((norms if row.reverse else norms[::-1]) != 0, 0)
            ways.append(slice(came, None) if row.reverse else slice(T - 1 - came, None, -1))
        return tuple(ways)


def _first(flags: npt.NDArray[np.bool_], default: int) -> int:
    found = np.flatnonzero(flags)
    return int(found[0]) if found.size else default


def _floor(row: Row) -> float:
    """Below it a norm is about to underflow; a float64 one does so at the root, being a sum of squares."""
    info = np.finfo(row.stack.dtype)
    return 1e6 * float(info.tiny if info.bits == 32 else np.sqrt(info.tiny))


def _rate(way: Norms, floor: float) -> float:
    if len(way) < 2 or np.isnan(way[0]):
        return float("nan")
    told = _first(~np.isfinite(way), len(way))
    zero = _first(way[:told] == 0, told)
    if zero < told and (zero == 0 or way[zero - 1] > floor):
        return 0.0
    if zero < 2:
        return float("inf") if np.isinf(way[:2]).any() else float("nan")
    return float(np.exp((np.log(way[zero - 1]) - np.log(way[0])) / (zero - 1)))


def _exploded(way: Norms) -> int:
    """The first step back at which it has; as many as there are if it never does."""
    return _first((way > EXPLODED * way[0]) | np.isinf(way), len(way))


def _verdict(way: Norms) -> str:
    grown = _exploded(way)
    if _first(np.isnan(way), len(way)) < grown:
        return "not finite"
    if grown < len(way):
        return "exploding"
    return "vanishing" if way[0] == 0 or (way < VANISHED * way[0]).any() else "healthy"
