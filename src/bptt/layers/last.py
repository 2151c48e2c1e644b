"""The last step of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.arguments import flag
from bptt.arrays import Floats, as_real, to_floats
from bptt.layers.stateless import Stateless
from bptt.layers.tape import LayerTape


class Last(Stateless):
    """
    The last step of x: (T, B, H) to (B, H), unbatched (T, H) to (H,).

    Of a bidirectional layer, the last step holds what the reverse direction saw in that one step only.

    Parameters
    ----------
    batch_first : bool
        True: x is (B, T, H).
    dtype : {"float32", "float64"}
        Type of outputs and gradients. Inside a `Sequential`, that of the whole model.

    Raises
    ------
    TypeError
        An argument of the wrong kind.
    ValueError
        When called: x of another rank, or without steps.
    """

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
        if array.shape[self._time_axis(array.ndim)] == 0:
            raise ValueError(
                f"x must have at least one step to have a last one; got {array.shape}. Fix: pass T >= 1."
            )
        return to_floats(array, "x", self.dtype)

    def _infer(self, x: Floats) -> Floats:
        y: Floats = np.take(x, -1, axis=self._time_axis(x.ndim))
        return y

    def _forward(self, x: Floats) -> tuple[Floats, None]:
        return self._infer(x), None

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        if not need_dx:
            return None
        dx = np.zeros(tape.x_shape, self.dtype)
        np.moveaxis(dx, self._time_axis(dx.ndim), 0)[-1] = dy
        return dx

    def _time_axis(self, ndim: int) -> int:
        return 1 if self.batch_first and ndim == 3 else 0
