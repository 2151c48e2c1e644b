"""The mean and the maximum over a sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import packed_rows
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.over_time import OverTime

Valid = npt.NDArray[np.bool_]
"""(T, B): the steps that count."""


class Pool(OverTime):
    """A layer that makes one vector of all valid steps of a row."""

    def _over_time(
        self, x: Floats, lengths: npt.ArrayLike | None, skip: npt.ArrayLike | None
    ) -> tuple[Floats, Any]:
        return self._pool(x, self._valid(x, lengths, skip))

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        if not need_dx:
            return None
        shape = tape.x_shape
        if len(shape) == 3:
            return self._spread(tape.saved, dy, shape)
        return self._spread(tape.saved, dy[None], self._as_batch(shape)).reshape(shape)

    def _pool(self, x: Floats, valid: Valid | None) -> tuple[Floats, Any]:
        """Return y, and the array that `_spread` needs."""
        if x.ndim == 3:
            return self._reduce(x, valid)
        y, saved = self._reduce(x.reshape(self._as_batch(x.shape)), valid)
        return y[0], saved

    def _as_batch(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a batch of one row."""
        return (1, *shape) if self.batch_first else (shape[0], 1, shape[1])

    def _valid(self, x: Floats, lengths: npt.ArrayLike | None, skip: npt.ArrayLike | None) -> Valid | None:
        layout = Layout(self.batch_first, unbatched=x.ndim == 2)
        T, B, _ = layout.sequence_in(x).shape
        packed = packed_rows(lengths, skip, layout, T, B)
        return None if packed is None else np.ascontiguousarray(packed.valid)

    @abstractmethod
    def _reduce(self, x: Floats, valid: Valid | None) -> tuple[Floats, Any]:
        """Return y (B, F) of a batch, and the array that `_spread` needs."""

    @abstractmethod
    def _spread(self, saved: Any, dy: Floats, shape: tuple[int, ...]) -> Floats:
        """Return dx of a batch of this shape."""


class MeanPool(Pool):
    """Return the mean over the steps of x, (T, B, F) to (B, F).

    An unbatched x (T, F) gives (F,). With `lengths` or `skip`, return the mean over each row's
    valid steps. Other steps are never read. A row without a valid step gives zeros.

    Parameters
    ----------
    batch_first : bool
        True: x is (B, T, F).
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
    >>> x = [[[0.0], [1.0]], [[2.0], [3.0]], [[4.0], [5.0]]]  # (T, B, F)
    >>> y, state = bptt.MeanPool()(x, lengths=[2, 3])
    >>> y
    array([[1.],
           [3.]], dtype=float32)
    """

    def _reduce(self, x: Floats, valid: Valid | None) -> tuple[Floats, Valid | None]:
        return _core.mean_pool(x, valid, self.batch_first), valid

    def _spread(self, saved: Valid | None, dy: Floats, shape: tuple[int, ...]) -> Floats:
        return _core.mean_pool_backward(dy, saved, shape, self.batch_first)


class MaxPool(Pool):
    """Return the maximum over the steps of x, (T, B, F) to (B, F).

    Each of the F columns has its maximum at another step. The error of a column goes to the first step that
    has the maximum. An unbatched x (T, F) gives (F,). With `lengths` or `skip`, only valid steps count. The
    padding is never read. A row without a valid step gives zeros.

    Parameters
    ----------
    batch_first : bool
        True: x is (B, T, F).
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
    >>> x = [[[9.0], [1.0]], [[2.0], [3.0]], [[4.0], [5.0]]]  # (T, B, F)
    >>> y, state = bptt.MaxPool()(x)
    >>> y
    array([[9.],
           [5.]], dtype=float32)
    """

    def _reduce(self, x: Floats, valid: Valid | None) -> tuple[Floats, npt.NDArray[np.int64]]:
        return _core.max_pool(x, valid, self.batch_first)

    def _spread(self, saved: npt.NDArray[np.int64], dy: Floats, shape: tuple[int, ...]) -> Floats:
        return _core.max_pool_backward(dy, saved, shape, self.batch_first)
