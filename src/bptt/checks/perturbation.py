"""Small random changes of data, which measure how far rounding may carry a result."""

from __future__ import annotations

import numpy as np

from bptt.checks.training_step import Tensor


class Move:
    """Perturb each number by `size` times a draw from N(0, 1), relative to the number.

    `tape` is the least size for the arrays that a tape keeps. `between` adds `floor` times another draw. If a
    gate underflows to zero in only one of the two implementations, these draws put the gate on both sides of
    a kink at zero.
    """

    def __init__(self, size: float, floor: float, seed: tuple[int, int], tape: float = 0.0) -> None:
        self.size, self.floor, self.tape = size, floor, max(size, tape, key=abs)
        self.rng = np.random.default_rng(seed)

    def __call__(self, data: Tensor) -> Tensor:
        return self._moved(data, self.size)

    def kept(self, data: Tensor) -> Tensor:
        """Perturb the states and gates of a tape."""
        return self._moved(data, self.tape)

    def between(self, data: Tensor) -> Tensor:
        """Perturb the arrays that a tape keeps between its gates."""
        if self.size == 0.0:
            return data
        return self.kept(data) + self.floor * self.rng.standard_normal(data.shape)

    def _moved(self, data: Tensor, size: float) -> Tensor:
        if size == 0.0 or data.dtype.kind != "f":
            return data
        return data.astype(np.float64) * (1.0 + size * self.rng.standard_normal(data.shape))


STILL = Move(0.0, 0.0, (0, 0))
"""No perturbation."""
