"""The last step of a sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import Counts, packed_rows
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.over_time import OverTime


class ValidSteps(NamedTuple):
    """The first and the last step of the rows of a batch.

    Attributes
    ----------
    rows : ndarray of int64
        The rows with a step.
    first, last : ndarray of int64
        The first and the last step of each of these rows.
    """

    rows: Counts
    first: Counts
    last: Counts


class Last(OverTime):
    """Return the last step of x, (T, B, H) to (B, H).

    An unbatched x (T, H) gives (H,). With `lengths` or `skip`, return each row's last valid step. A row
    without a valid step gives zeros: its length is 0, all its steps are skipped, or x has no steps.

    After a layer with `bidirectional=True` or `reverse=True`, use `Ends`. At the last step, the reverse
    direction has read one step only.

    Parameters
    ----------
    batch_first : bool
        True: x is (B, T, H).
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        When called: if x has neither 2 nor 3 axes, lengths are out of range, or `skip` has a wrong shape.

    Examples
    --------
    >>> import bptt
    >>> x = [[[0.0], [1.0]], [[2.0], [3.0]], [[4.0], [5.0]]]  # (T, B, H)
    >>> y, state = bptt.Last()(x, lengths=[1, 3])
    >>> y
    array([[0.],
           [5.]], dtype=float32)
    """

    width_name = "H"

    def _over_time(
        self, x: Floats, lengths: npt.ArrayLike | None, skip: npt.ArrayLike | None
    ) -> tuple[Floats, ValidSteps | None]:
        valid = self._valid(x, lengths, skip)
        return self._take(x, valid), valid

    def columns(self, width: int) -> tuple[tuple[slice, bool], ...]:
        """Return the columns of x that are read, each with whether they are read at the last step.

        The other columns are read at the first step.
        """
        return ((slice(None), True),)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        if not need_dx:
            return None
        dx = np.zeros(tape.x_shape, self.dtype)
        layout = self._layout(dx.ndim)
        steps, rows = layout.sequence_in(dx), dy[np.newaxis] if layout.unbatched else dy
        for columns, at_end in self.columns(dx.shape[-1]):
            if tape.saved is None:
                step = slice(-1, None) if at_end else slice(1)
                steps[step, :, columns] = rows[:, columns]
            else:
                of = tape.saved.rows
                steps[tape.saved.last if at_end else tape.saved.first, of, columns] = rows[of, columns]
        return dx

    def _take(self, x: Floats, valid: ValidSteps | None) -> Floats:
        layout = self._layout(x.ndim)
        steps = layout.sequence_in(x)
        y = np.zeros(steps.shape[1:], self.dtype)
        for columns, at_end in self.columns(x.shape[-1]):
            if valid is None:
                y[:, columns] = steps[-1 if at_end else 0, :, columns] if len(steps) else 0
            else:
                y[valid.rows, columns] = steps[valid.last if at_end else valid.first, valid.rows, columns]
        return y[0] if layout.unbatched else y

    def _valid(
        self, x: Floats, lengths: npt.ArrayLike | None, skip: npt.ArrayLike | None
    ) -> ValidSteps | None:
        layout = self._layout(x.ndim)
        T, B, _ = layout.sequence_in(x).shape
        packed = packed_rows(lengths, skip, layout, T, B)
        if packed is None:
            return None
        rows = np.flatnonzero(packed.lengths)
        valid = packed.valid[:, rows] if T else np.ones((1, 0), np.bool_)
        return ValidSteps(rows, np.argmax(valid, axis=0), T - 1 - np.argmax(valid[::-1], axis=0))

    def _layout(self, ndim: int) -> Layout:
        return Layout(self.batch_first, unbatched=ndim == 2)
