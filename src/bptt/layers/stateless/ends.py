"""The final outputs of both directions of a bidirectional layer."""

from __future__ import annotations

from typing import Any

from bptt.arrays import Floats
from bptt.layers.stateless.last import Last


class Ends(Last):
    """Return the final output of each direction of a bidirectional layer.

    From x (T, B, 2*H), use the first H outputs of a row's last valid step, and the last H outputs of its
    first valid step. A row without a valid step gives zeros, as in `Last`. Arguments and errors are those of
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

    def columns(self, width: int) -> tuple[tuple[slice, bool], ...]:
        return ((slice(width // 2), True), (slice(width // 2, None), False))
