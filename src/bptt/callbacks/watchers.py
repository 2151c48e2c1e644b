"""Call all callbacks of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bptt.callbacks.callback import Callback
from bptt.callbacks.progress import ProgressBar


class Watchers:
    """The callbacks of one rank, schedules that need the validation loss, and the progress bar.

    Parameters
    ----------
    callbacks : iterable of Callback
    schedule : object
        Learning-rate schedule. The schedule, or a schedule in its attribute `then`, may be a callback, too.
    progress : bool
        Whether to show a progress bar.
    rank : int
        Number of this rank. Only rank 0 calls callbacks with `every_rank = False`.
    """

    def __init__(self, callbacks: Iterable[Callback], schedule: Any, *, progress: bool, rank: int) -> None:
        watchers = [*callbacks]
        while schedule is not None:
            if isinstance(schedule, Callback) and not any(schedule is callback for callback in watchers):
                watchers.append(schedule)
            schedule = getattr(schedule, "then", None)
        if progress:
            watchers.append(ProgressBar())
        self._all = tuple(callback for callback in watchers if callback.every_rank or rank == 0)

    def ask(self, event: str, *details: Any) -> None:
        """Call a method of the callbacks in order, and stop at the first exception."""
        for callback in self._all:
            getattr(callback, event)(*details)

    def tell(self, event: str, *details: Any) -> None:
        """Call a method of every callback even if one raises, so that all have seen the same updates."""
        raised: BaseException | None = None
        for callback in self._all:
            try:
                getattr(callback, event)(*details)
            except BaseException as error:
                raised = raised or error
        if raised is not None:
            raise raised
