"""Small random changes of data, which measure how far rounding may carry a result."""

from __future__ import annotations

import numpy as np

from bptt.checks.training_step import Tensor


class Move:
    """Perturb each number by `size` times a draw from N(0, 1), relative to the number.

    `between` adds `floor` times another draw. If a gate underflows to zero in only one of the two
    implementations, these draws put the gate on both sides of a kink at zero.
    """

    def __init__(self, size: float, floor: float, seed: tuple[int, int]) -> None:
        self.size, self.floor = size, floor
        self.rng = np.random.default_rng(seed)

    def __call__(self, data: Tensor) -> Tensor:
        if self.size == 0.0 or data.dtype.kind != "f":
            return data
        return data.astype(np.float64) * (1.0 + self.size * self.rng.standard_normal(data.shape))

    def between(self, data: Tensor) -> Tensor:
        """Perturb the arrays that a tape keeps between its gates."""
        if self.size == 0.0:
            return data
        return self(data) + self.floor * self.rng.standard_normal(data.shape)


STILL = Move(0.0, 0.0, (0, 0))
"""No perturbation."""
