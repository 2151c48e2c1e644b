"""The mean and the maximum over a sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import flag
from bptt.arrays import Floats, as_real, to_floats
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.out import check_out, written
from bptt.layers.passes.ragged import packed_rows
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless

Valid = npt.NDArray[np.bool_]
"""(T, B): the steps that count."""


class Pool(Stateless):
    """A layer that makes one vector of all valid steps of a row."""

    call_options: ClassVar[frozenset[str]] = frozenset(("lengths", "skip"))

    def __init__(self, *, batch_first: bool = False, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.batch_first = flag(batch_first, "batch_first")
        self.allocate()

    def config(self) -> dict[str, Any]:
        return {"batch_first": self.batch_first, "dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        array = as_real(x, "x")
        layout = "(B, T, F)" if self.batch_first else "(T, B, F)"
        if array.ndim not in (2, 3):
            raise ValueError(
                f"x must have shape {layout} or (T, F); got {array.shape}. Fix: pass 2 or 3 axes."
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
        return written(out, self._pool(array, self._valid(array, lengths, skip))[0]), None

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
        y, saved = self._pool(array, self._valid(array, lengths, skip))
        y.flags.writeable = False
        return written(out, y), None, LayerTape(self, saved, array.shape, y.shape)

    def _infer(self, x: Floats) -> Floats:
        return self._pool(x, None)[0]

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
    """

    def _reduce(self, x: Floats, valid: Valid | None) -> tuple[Floats, npt.NDArray[np.int64]]:
        return _core.max_pool(x, valid, self.batch_first)

    def _spread(self, saved: npt.NDArray[np.int64], dy: Floats, shape: tuple[int, ...]) -> Floats:
        return _core.max_pool_backward(dy, saved, shape, self.batch_first)
