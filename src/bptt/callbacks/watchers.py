"""All callbacks of a run, called together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bptt.callbacks.callback import Callback
from bptt.callbacks.progress import ProgressBar


class Watchers:
    """The callbacks of one rank: those given, schedules that follow the validation, the progress bar.

    Parameters
    ----------
    callbacks : iterable of Callback
    schedule : object
        The learning rate's schedule. It, or a schedule that follows it, may be a callback, too.
    progress : bool
        Show a progress bar.
    rank : int
        Ranks other than the first leave out callbacks with `every_rank = False`.
    """

    def __init__(self, callbacks: Iterable[Callback], schedule: Any, *, progress: bool, rank: int) -> None:
        every = [*callbacks]
        while schedule is not None:
            if isinstance(schedule, Callback) and not any(schedule is known for known in every):
                every.append(schedule)
            schedule = getattr(schedule, "then", None)
        if progress:
            every.append(ProgressBar())
        self._all = tuple(callback for callback in every if callback.every_rank or rank == 0)

    def ask(self, event: str, *details: Any) -> None:
        """Call a method of the callbacks in order. The first exception ends this."""
        for callback in self._all:
            getattr(callback, event)(*details)

    def tell(self, event: str, *details: Any) -> None:
        """Call a method of every callback, even if one raises, so that all know of the same updates."""
        raised: BaseException | None = None
        for callback in self._all:
            try:
                getattr(callback, event)(*details)
            except BaseException as error:
                raised = raised or error
        if raised is not None:
            raise raised
