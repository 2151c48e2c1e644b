"""The norm of a backpropagated error at every step, with rates and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bptt.diagnose import curves
from bptt.diagnose.curves import Norms
from bptt.diagnose.rows import Row


@dataclass(frozen=True, eq=False, repr=False)
class FlowNorms:
    """The numbers of a `GradientFlow`.

    One row per layer and direction: R rows, T steps. T is the length of the longest sequence of the batch:
    steps of padding are left out.

    Attributes
    ----------
    dh_norm : ndarray (R, T)
        2-norm over batch and units of dL/dh_t: the error that arrives at step t plus the error that flows
        back from step t + 1.
    dc_norm : ndarray (R, T) or None
        The 2-norm of dL/dc_t. NaN in rows of cells without c; None if no cell has c.
    rows : tuple of Row
        The layer and direction of each row. `rows[k].name` describes them in words.
    per_step : bool
        Whether the model has one output per step. False if it has one per sequence, as after `Last`.
    in_use : frozenset of str
        Arguments that the Trainer uses already: "clip", "clip_state", "truncate", "regularizer".
    """

    dh_norm: Norms
    dc_norm: Norms | None
    rows: tuple[Row, ...]
    per_step: bool = True
    in_use: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The rows in words: "layer 0", "layer 1, reverse direction, of model[2]"."""
        return tuple(row.name for row in self.rows)

    @cached_property
    def ways(self) -> tuple[Norms, ...]:
        """`dh_norm` of each row, in the order of backpropagation.

        Entry k is the norm k steps back from the step where the error arrives. In a forward direction, the
        error flows from the last step to step 0. In a reverse direction, it flows from step 0 to step T - 1.
        Steps that the error does not reach are left out.
        """
        return tuple(h[passed] for h, passed in zip(self.dh_norm, self._passed, strict=True))

    @cached_property
    def c_ways(self) -> tuple[Norms, ...] | None:
        """`dc_norm` at the steps of `ways`. None if no cell has c."""
        if self.dc_norm is None:
            return None
        return tuple(c[passed] for c, passed in zip(self.dc_norm, self._passed, strict=True))

    @cached_property
    def rate(self) -> Norms:
        """(R,): geometric mean of the growth of dh_norm per step back.

        The error shrinks if the mean is below 1, and grows if it is above 1. The mean ends where the norm
        underflows or overflows. 0 if the error is cut off, for example by a reset or by relu units that are
        all off. NaN if no step back is left.
        """
        pairs = zip(self.rows, self.ways, strict=True)
        return np.array([curves.growth(way, _floor(row)) for row, way in pairs])

    @cached_property
    def horizon(self) -> npt.NDArray[np.int64]:
        """(R,): steps back until dh_norm is below 1e-3 of its value on arrival.

        T if it stays above.
        """
        T = self.dh_norm.shape[1]
        return np.array([curves.first(curves.vanished(way), T) for way in self.ways], np.int64)

    @cached_property
    def verdict(self) -> tuple[str, ...]:
        """One word for each row.

        - "exploding": dh_norm rises above 1e3 times its value on arrival, or overflows.
        - "vanishing": dh_norm falls below 1e-3 of its value on arrival, or no error arrives.
        - "healthy": dh_norm stays between both limits.
        - "no flow": the error arrives at the first step that this direction reads, so no step back is left.
        - "not finite": dh_norm becomes NaN before it explodes.
        """
        return tuple(map(curves.verdict, self.ways))

    @cached_property
    def carried(self) -> tuple[bool, ...]:
        """For each row, whether the cell state carries the error back to the first step.

        True if dc_norm stays between the limits from the step where an error reaches c. False without a cell
        state.
        """
        if self.c_ways is None:
            return (False,) * len(self.rows)
        return tuple(curves.verdict(curves.arrived(way)) in ("healthy", "no flow") for way in self.c_ways)

    def turn(self, k: int) -> int:
        """Return the steps back at which the error of row k explodes.

        This is the horizon of the row if its error does not explode.
        """
        return curves.exploded(self.ways[k]) if self.verdict[k] == "exploding" else int(self.horizon[k])

    @cached_property
    def _passed(self) -> tuple[slice, ...]:
        """The steps of `ways`."""
        slices = []
        T = self.dh_norm.shape[1]
        for row, norms in zip(self.rows, self.dh_norm, strict=True):
            # NaN differs from 0. Without any error, all steps are kept.
            arrival = curves.first((norms if row.reverse else norms[::-1]) != 0, 0)
            slices.append(slice(arrival, None) if row.reverse else slice(T - 1 - arrival, None, -1))
        return tuple(slices)


def _floor(row: Row) -> float:
    """Return the norm below which a float of this layer is about to underflow."""
    return 1e6 * float(np.finfo(row.stack.dtype).tiny)
