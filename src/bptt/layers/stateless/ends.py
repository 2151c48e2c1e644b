"""The final outputs of both directions of a bidirectional layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.arrays import Floats
from bptt.layers.passes.ragged import Counts
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.last import Last


class Ends(Last):
    """Return the final output of each direction of a bidirectional layer.

    From x (T, B, 2*H), use the first H outputs of a row's last valid step, and the last H outputs of its
    first step. A row without a valid step gives zeros, as in `Last`. Arguments and errors are those of
    `Last`. If the number of outputs is odd, a call raises ValueError.
    """

    def _convert(self, x: Any) -> Floats:
        array = super()._convert(x)
        if array.shape[-1] % 2:
            raise ValueError(
                f"x must have an even last axis, half of it for each direction; got {array.shape}. "
                "Fix: pass a bidirectional layer's output, or use Last()."
            )
        return array

    def _take(self, x: Floats, lengths: Counts | None) -> Floats:
        y = super()._take(x, lengths)
        half = x.shape[-1] // 2
        steps = np.moveaxis(x, self._time_axis(x.ndim), 0)
        if len(steps):
            y[..., half:] = steps[0][..., half:]
        if lengths is not None:
            y[lengths == 0] = 0
        return y

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        half = dy.shape[-1] // 2
        forward, reverse = dy.copy(), dy.copy()
        forward[..., half:] = 0
        reverse[..., :half] = 0
        dx = super()._backward(tape, forward, need_dx)
        if dx is not None:
            if tape.saved is not None:
                reverse[tape.saved == 0] = 0
            np.moveaxis(dx, self._time_axis(dx.ndim), 0)[:1] += reverse
        return dx
