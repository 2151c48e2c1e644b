"""Batches in an order that is drawn again for every pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.data.order import load_generator


class Shuffled:
    """Batches (T, B, ...) whose order is drawn from `rng` when a pass begins."""

    time_first = True
    per_step: bool
    rng: np.random.Generator

    def state_dict(self) -> dict[str, Any]:
        """Where the order of the passes to come is drawn from."""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave: the passes come as they would have come there.

        Raises
        ------
        ValueError
            The state of another kind of generator.
        """
        load_generator(self.rng, state["rng"])
