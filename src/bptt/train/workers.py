"""Call a function many times in parallel processes.

An error in one call, or a process that dies, loses no other call.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection
from typing import Any, NamedTuple

from bptt import runtime
from bptt.train.interrupts import interrupts_ignored

GRACE = 5.0
"""Seconds that a process gets to end before it is killed."""

Job = Mapping[str, Any]
"""The keyword arguments of one call."""


class Outcome(NamedTuple):
    """The result of one call.

    Attributes
    ----------
    value : Any
        Return value; None after an error.
    error : str
        Traceback of the error; "" if there was none.
    seconds : float
        Time of the call.
    """

    value: Any
    error: str
    seconds: float


def call_here(function: Callable[..., Any], job: Job) -> Outcome:
    """Call the function in this process."""
    begin = time.perf_counter()
    try:
        value, error = function(**job), ""
    except Exception:
        value, error = None, traceback.format_exc()
    return Outcome(value, error, time.perf_counter() - begin)


def call_in_processes(
    function: Callable[..., Any],
    jobs: Sequence[Job],
    *,
    processes: int,
    threads: int,
    done: Callable[[int, Outcome], None],
) -> None:
    """Call `function(**job)` for every job, and `done(index, outcome)` in this process after each call.

    An exception in this process, also Ctrl-C, ends all processes.

    Parameters
    ----------
    function : callable
        A function that can be pickled. In an interactive session on Linux, any function.
    jobs : sequence of mappings
    processes : int
        Largest number of processes at a time.
    threads : int
        Number of threads of bptt in each process.

    Raises
    ------
    TypeError
        The function or a job cannot be pickled.
    RuntimeError
        A process died before it was ready.
    """
    context, sent = _context(function)
    waiting = list(enumerate(jobs))[::-1]
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                workers.append(_Worker(context, sent, threads))
                workers[-1].give(*waiting.pop())
            ready = connection.wait([worker.link for worker in workers])
            for worker in [worker for worker in workers if worker.link in ready]:
                outcome = worker.take()
                if outcome is None:
                    continue
                index = worker.index
                if waiting and worker.alive:
                    worker.give(*waiting.pop())
                else:
                    workers.remove(worker)
                    worker.end()
                done(index, outcome)
    finally:
        with interrupts_ignored():
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.end()


class _Worker:
    """A process that makes one call after the other."""

    def __init__(self, context: Any, function: Any, threads: int) -> None:
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, function, threads), name="bptt.sweep")
        self.process.start()
        theirs.close()
        self.alive, self._ready = True, False
        self.index = -1

    def give(self, index: int, job: Job) -> None:
        """Send the job to the process."""
        self.index, self._begin = index, time.perf_counter()
        try:
            message = pickle.dumps(dict(job))
        except Exception as error:
            raise TypeError(
                f"settings must hold values that can be pickled; got {job!r:.100} ({error!s:.100}). "
                "Fix: pass numbers, texts and functions of a module."
            ) from None
        with suppress(OSError):  # the process has died; `take` says how
            self.link.send_bytes(message)

    def take(self) -> Outcome | None:
        """Return the outcome of the job. If the process died, the outcome is an error.

        None: the process has only said that it is ready.
        """
        try:
            message = self.link.recv_bytes()
        except (EOFError, OSError):
            self.process.join(GRACE)
            self.alive, code = False, self.process.exitcode
            if not self._ready:
                raise RuntimeError(
                    f"a process of the sweep ended before it was ready, with exit code {code}; its error is "
                    "printed above. Fix: call sweep under `if __name__ == '__main__':`, and define the "
                    "function in a file or module."
                ) from None
            why = f"RuntimeError: the process ended with exit code {code}"
            return Outcome(None, why, time.perf_counter() - self._begin)
        if not self._ready:
            self._ready = True
            return None
        return Outcome(*pickle.loads(message))

    def end(self) -> None:
        """Wait until the process has ended: it ends when the link is closed."""
        self.link.close()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(link: Any, function: Any, threads: int) -> None:
    """Make calls until the other end of the link is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started the sweep handles Ctrl-C
    runtime.set_num_threads(threads)
    if isinstance(function, bytes):
        function = pickle.loads(function)
    link.send_bytes(b"ready")
    while True:
        try:
            outcome = call_here(function, pickle.loads(link.recv_bytes()))
        except EOFError:
            return
        try:
            message = pickle.dumps(tuple(outcome))
        except Exception:
            message = pickle.dumps((None, traceback.format_exc(), outcome.seconds))
        link.send_bytes(message)


def _context(function: Callable[..., Any]) -> tuple[Any, Any]:
    """Return how processes are started, and what they get as the function.

    New processes start from nothing, because a fork of a process with threads may hang. Only a session
    without a file, such as a notebook, needs a fork: no new process could import its functions.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    interactive = getattr(function, "__module__", None) == "__main__" and not os.path.isfile(file)
    if interactive and sys.platform == "linux":
        return multiprocessing.get_context("fork"), function
    try:
        return multiprocessing.get_context("spawn"), pickle.dumps(function)
    except Exception as error:
        raise TypeError(
            f"run must be a function that can be pickled; got {function!r:.80} ({error!s:.120}). Fix: define "
            "it with def at the top level of a file, or pass processes=0 to run in this process."
        ) from None
