"""Batches in a random order that is drawn for every pass."""

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
        """Return the state of the generator that draws the order of the next passes."""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned. The next passes then have the same order.

        Raises
        ------
        ValueError
            `state` is the state of another kind of generator.
        """
        load_generator(self.rng, state["rng"])
