"""Both ends of a bidirectional layer's output."""

from __future__ import annotations

import numpy as np

from bptt.arrays import Floats
from bptt.layers.last import Last
from bptt.layers.ragged import Counts
from bptt.layers.tape import LayerTape


class Ends(Last):
    """
    What each direction returned when it had seen the whole sequence: of x (T, B, 2*H), the first H outputs
    of a row's last valid step, and the other H of its first; zeros for a row without steps. Arguments and
    errors are those of `Last`.
    """

    def _take(self, x: Floats, lengths: Counts | None) -> Floats:
        y: Floats = super()._take(x, lengths).copy()
        half = x.shape[-1] // 2
        y[..., half:] = np.moveaxis(x, self._time_axis(x.ndim), 0)[0][..., half:]
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
            np.moveaxis(dx, self._time_axis(dx.ndim), 0)[0] += reverse
        return dx
