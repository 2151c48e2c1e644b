"""The limits of one call of `fit`: epochs, updates and seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bptt.arguments import real, size
from bptt.callbacks.callback import NO_LIMIT
from bptt.ranks.ranks import Ranks
from bptt.train.run import Run


@dataclass(frozen=True)
class Budget:
    """Limits of a run. The epochs and updates of a run that is resumed count, its seconds do not.

    Attributes
    ----------
    epochs : int
        Largest number of epochs; `NO_LIMIT` for no limit.
    updates : int or None
        Largest number of updates.
    seconds : float or None
        Time of this call of `fit` after which no update begins.
    begin : float
        `time.perf_counter()` at the start of this call.
    """

    epochs: int
    updates: int | None
    seconds: float | None
    begin: float = field(default_factory=lambda: time.perf_counter())

    def spent(self, run: Run, ranks: Ranks) -> bool:
        """Return whether no update may follow, though the epochs are not complete. Collective."""
        if self.updates is not None and run.updates >= self.updates:
            return True
        if self.seconds is None:
            return False
        return ranks.holds(time.perf_counter() - self.begin >= self.seconds)

    def shared(self) -> dict[str, float | None]:
        """Return the limits that all ranks must share."""
        return {"epochs": self.epochs, "max_updates": self.updates, "max_seconds": self.seconds}


def parse_budget(epochs: int | None, max_updates: int | None, max_seconds: float | None) -> Budget:
    """Check the limits of `fit`. Without any limit, there is one epoch."""
    updates = None if max_updates is None else size(max_updates, "max_updates")
    seconds = None if max_seconds is None else real(max_seconds, "max_seconds", 0.0, above=True)
    if epochs is None:
        return Budget(1 if updates is None and seconds is None else NO_LIMIT, updates, seconds)
    return Budget(size(epochs, "epochs"), updates, seconds)
