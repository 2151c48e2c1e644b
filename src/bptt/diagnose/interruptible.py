"""Run long NumPy calls so that Ctrl-C stops them."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def interruptible(work: Callable[[Callable[[], bool]], Result]) -> Result:
    """Run `work` in a thread while the calling thread waits for signals.

    LAPACK ignores signals, and one decomposition of a large matrix takes seconds. The calling thread raises
    KeyboardInterrupt at once. `work` ends when it next calls `stopped`, and its result is discarded.

    Parameters
    ----------
    work : callable
        `work(stopped)` receives a function that returns whether the caller was interrupted. A loop should
        call it in every step.

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

    # The copied context applies the caller's numpy.errstate in the thread.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    try:
        thread.start()  # inside `try`, because it waits until the thread begins
        thread.join()
    except BaseException:
        stop.set()
        raise
    if errors:
        raise errors[0]
    return results[0]
