"""Run long NumPy calls so that Ctrl-C stops them."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def interruptible(work: Callable[[Callable[[], bool]], Result]) -> Result:
    """Run `work` in a thread while the calling thread waits for signals.

    LAPACK ignores signals: one decomposition of a large matrix takes seconds. The calling thread raises
    KeyboardInterrupt at once. `work` ends at its next look at `stopped`, and its result is dropped.

    Parameters
    ----------
    work : callable
        `work(stopped)` gets a function that says whether the caller has left. A loop looks at it every step.

    Returns
    -------
    The result of `work`. Exceptions of `work` are raised in the calling thread.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        return work(lambda: False)
    results: list[Result] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def run() -> None:
        try:
            results.append(work(stop.is_set))
        except BaseException as error:
            errors.append(error)

    # The context holds the caller's numpy.errstate.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    try:
        thread.start()  # waits too, for the thread to begin
        thread.join()
    except BaseException:
        stop.set()
        raise
    if errors:
        raise errors[0]
    return results[0]
