"""The last step of a sequence."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag
from bptt.arrays import Floats, as_real, to_floats
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.out import check_out, written
from bptt.layers.passes.ragged import Counts, packed_rows
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


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


class Last(Stateless):
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
    """

    call_options: ClassVar[frozenset[str]] = frozenset(("lengths", "skip"))

    def __init__(self, *, batch_first: bool = False, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.batch_first = flag(batch_first, "batch_first")
        self.allocate()

    def config(self) -> dict[str, Any]:
        return {"batch_first": self.batch_first, "dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        array = as_real(x, "x")
        layout = "(B, T, H)" if self.batch_first else "(T, B, H)"
        if array.ndim not in (2, 3):
            raise ValueError(
                f"x must have shape {layout} or (T, H); got {array.shape}. Fix: pass 2 or 3 axes."
            )
        return to_floats(array, "x", self.dtype)

    def __call__(
        self,
        x: Any,
        state: None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, None]:
        """Run inference, and return (y, None). With `out`, y is written to this array."""
        self._check_state(state, "state")
        check_out(out, self.dtype)
        array = self._convert(x)
        return written(out, self._take(array, self._valid(array, lengths, skip))), None

    def forward(
        self,
        x: Any,
        state: None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, None, LayerTape]:
        """Run the layer for training, and return (y, None, tape).

        y is read-only. With `out`, y is written to this array.
        """
        self._check_state(state, "state")
        check_out(out, self.dtype)
        array = self._convert(x)
        valid = self._valid(array, lengths, skip)
        y = self._take(array, valid)
        y.flags.writeable = False
        return written(out, y), None, LayerTape(self, valid, array.shape, y.shape)

    def columns(self, width: int) -> tuple[tuple[slice, bool], ...]:
        """Return the columns of x that are read, each with whether they are read at the last step.

        The other columns are read at the first step.
        """
        return ((slice(None), True),)

    def _infer(self, x: Floats) -> Floats:
        return self._take(x, None)

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
