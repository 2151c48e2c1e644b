"""One vector, at every step of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.arguments import flag, size
from bptt.arrays import Floats, as_real, to_floats
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class Repeat(Stateless):
    """Return x at every step of a new time axis, (B, F) to (steps, B, F).

    An autoencoder puts it between the encoder's `Last` and the decoder. An unbatched x (F,) gives (steps, F).
    In a model that gets `lengths`, `reset` or `skip`, the layers after it get them too: `steps` must then be
    the number of steps of the model's input.

    Parameters
    ----------
    steps : int
        Number of time steps, at least 1.
    batch_first : bool
        True: y is (B, steps, F).
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `steps` is below 1. When called: if x has neither 1 nor 2 axes.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> model = bptt.Sequential(bptt.GRU(3, 8), bptt.Last(), bptt.Repeat(20), bptt.GRU(8, 3))
    >>> y, state = model(np.ones((20, 4, 3)))
    >>> y.shape
    (20, 4, 3)
    """

    def __init__(self, steps: int, *, batch_first: bool = False, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.steps = size(steps, "steps")
        self.batch_first = flag(batch_first, "batch_first")
        self.allocate()

    @property
    def steps_made(self) -> frozenset[int]:
        return frozenset((self.steps,))

    @property
    def keeps_width(self) -> bool:
        return True

    def config(self) -> dict[str, Any]:
        return {"steps": self.steps, "batch_first": self.batch_first, "dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        array = as_real(x, "x")
        if array.ndim not in (1, 2):
            fix = "put Last(), Ends() or a pool before Repeat" if array.ndim == 3 else "pass 1 or 2 axes"
            raise ValueError(
                f"x must have shape (B, F) or (F,), one vector per row; got {array.shape}. Fix: {fix}."
            )
        return to_floats(array, "x", self.dtype)

    def _axis(self, ndim: int) -> int:
        """Return the time axis of y for an x with `ndim` axes."""
        return 1 if self.batch_first and ndim == 2 else 0

    def _infer(self, x: Floats) -> Floats:
        return np.repeat(np.expand_dims(x, self._axis(x.ndim)), self.steps, self._axis(x.ndim))

    def _forward(self, x: Floats) -> tuple[Floats, None]:
        return self._infer(x), None

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        if not need_dx:
            return None
        # In float64, the sum of many steps has no error of its own.
        axis = self._axis(len(tape.x_shape))
        dx: Floats = np.add.reduce(dy, axis, dtype=np.float64).astype(self.dtype)
        return dx
