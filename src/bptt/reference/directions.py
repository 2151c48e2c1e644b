"""The directions of a layer: how they read time, and how their outputs are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bptt.reference.common import Array


@dataclass(frozen=True)
class Directions:
    """How the directions of every layer of a stack read time, and how their outputs become y.

    Attributes
    ----------
    reverse : bool
        The only direction reads from the end. Of two directions, the second always does.
    merge : {"concat", "sum", "mean", "mul"}
    """

    reverse: bool = False
    merge: str = "concat"

    def from_end(self, direction: int) -> int:
        """Return 1 if this direction reads from the end, else 0: the argument of `in_time`."""
        return int(direction == 1 or self.reverse)

    def joined(self, outputs: Sequence[Array]) -> Array:
        """Return y from the outputs of the directions, which are in the order of time."""
        if self.merge == "concat":
            return np.concatenate(outputs, axis=2)
        forward, reverse = outputs
        if self.merge == "mul":
            return forward * reverse
        return forward + reverse if self.merge == "sum" else (forward + reverse) / 2.0

    def split(self, dy: Array, outputs: Sequence[Array]) -> list[Array]:
        """Return the error of each direction's outputs from the error of y."""
        if self.merge == "concat":
            return np.split(dy, len(outputs), axis=2)
        forward, reverse = outputs
        if self.merge == "mul":
            return [dy * reverse, dy * forward]
        return [dy, dy] if self.merge == "sum" else [dy / 2.0, dy / 2.0]
