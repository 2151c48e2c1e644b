"""The last step of a sequence."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag
from bptt.arrays import Floats, as_real, read_only, to_floats
from bptt.layers.passes.ragged import Counts, parse_lengths
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class Last(Stateless):
    """Return the last step of x, (T, B, H) to (B, H).

    An unbatched x (T, H) gives (H,). With `lengths`, return each row's last valid step. A row without a valid
    step gives zeros, whether its length is 0 or x has no steps.

    After a bidirectional layer, use `Ends`. At the last step, the reverse direction has read one step only.

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
        When called: if x has neither 2 nor 3 axes, or lengths are out of range.
    """

    call_options: ClassVar[frozenset[str]] = frozenset(("lengths",))

    def __init__(self, *, batch_first: bool = False, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.batch_first = flag(batch_first, "batch_first")
        self._allocate("default")

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
        self, x: Any, state: None = None, *, lengths: npt.ArrayLike | None = None
    ) -> tuple[Floats, None]:
        """Run inference, and return (y, None)."""
        self._check_state(state, "state")
        array = self._convert(x)
        return self._take(array, self._read(lengths, array)), None

    def forward(
        self, x: Any, state: None = None, *, lengths: npt.ArrayLike | None = None
    ) -> tuple[Floats, None, LayerTape]:
        """Run the layer for training, and return (y, None, tape). y is read-only."""
        self._check_state(state, "state")
        array = self._convert(x)
        counts = self._read(lengths, array)
        y = self._take(array, counts)
        y.flags.writeable = False
        saved = None if counts is None else read_only(counts)
        return y, None, LayerTape(self, saved, array.shape, y.shape)

    def _infer(self, x: Floats) -> Floats:
        return self._take(x, None)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        if not need_dx:
            return None
        dx = np.zeros(tape.x_shape, self.dtype)
        steps = np.moveaxis(dx, self._time_axis(dx.ndim), 0)
        if tape.saved is None:
            steps[-1:] = dy
        else:
            rows = np.flatnonzero(tape.saved)
            steps[tape.saved[rows] - 1, rows] = dy[rows]
        return dx

    def _take(self, x: Floats, lengths: Counts | None) -> Floats:
        steps = np.moveaxis(x, self._time_axis(x.ndim), 0)
        y = np.zeros(steps.shape[1:], self.dtype)
        if lengths is None:
            y[...] = steps[-1] if len(steps) else 0
        else:
            rows = np.flatnonzero(lengths)
            y[rows] = steps[lengths[rows] - 1, rows]
        return y

    def _read(self, lengths: npt.ArrayLike | None, x: Floats) -> Counts | None:
        if lengths is None:
            return None
        if x.ndim != 3:
            raise ValueError(f"lengths needs a batch; got x of shape {x.shape}. Fix: pass x[:length].")
        axis = self._time_axis(x.ndim)
        return parse_lengths(lengths, x.shape[axis], x.shape[1 - axis])

    def _time_axis(self, ndim: int) -> int:
        return 1 if self.batch_first and ndim == 3 else 0
