"""The final outputs of the directions of a recurrent layer."""

from __future__ import annotations

from typing import Any

from bptt.arguments import flag
from bptt.arrays import Floats
from bptt.layers.stateless.last import Last


class Ends(Last):
    """Return the final output of each direction of a layer that reads from the end.

    x (T, B, 2*H) comes from a bidirectional layer. `Ends` joins the first H outputs of a row's last valid
    step and the last H outputs of its first valid step. After a layer with `reverse=True`, use all outputs of
    the first valid step. A row without a valid step gives zeros, as in `Last`.

    Parameters
    ----------
    reverse : bool
        True: x comes from a layer with `reverse=True`. A `Sequential` sets it to the layer's value.
    batch_first, dtype
        As in `Last`.

    Raises
    ------
    TypeError, ValueError
        As in `Last`. Or when called, if the number of outputs is odd, except with `reverse`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> model = bptt.Sequential(bptt.LSTM(3, 8, bidirectional=True), bptt.Ends())
    >>> y, state = model(np.ones((20, 4, 3)))
    >>> y.shape
    (4, 16)
    """

    def __init__(self, *, reverse: bool = False, batch_first: bool = False, dtype: Any = "float32") -> None:
        super().__init__(batch_first=batch_first, dtype=dtype)
        self.reverse = flag(reverse, "reverse")

    def config(self) -> dict[str, Any]:
        return {"reverse": self.reverse} | super().config()

    def _convert(self, x: Any) -> Floats:
        array = super()._convert(x)
        if array.shape[-1] % 2 and not self.reverse:
            raise ValueError(
                f"x must have an even last axis, half of it for each direction; got {array.shape}. "
                "Fix: pass a bidirectional layer's output, or use Last()."
            )
        return array

    def columns(self, width: int) -> tuple[tuple[slice, bool], ...]:
        if self.reverse:
            return ((slice(None), False),)
        return ((slice(width // 2), True), (slice(width // 2, None), False))
