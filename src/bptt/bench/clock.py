"""Timing in turns, so that other load on the machine affects all peers equally."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MIN_ROUNDS = 3
MAX_ROUNDS = 100
TURN = 0.02
"""
Seconds: a call that is shorter is repeated within its turn, as in a loop.

A virtual machine's second core that has slept for a pause is slower than in a loop for some 10 ms.
"""
LONG = 0.05
"""Seconds: a call that is longer needs none before it to warm the caches and to wake its threads."""


@dataclass(frozen=True)
class Timing:
    """The median and the minimum of all rounds, in microseconds."""

    median: float
    minimum: float


def take_turns(runs: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """
    Seconds per call, one figure for each round.

    A round gives each peer a turn, in rotating order. Rounds go on for `seconds`, at least 3 and at most 100.
    Before each turn the process is left alone until it is quiet, and a short call is made, untimed, as often
    as in its turn: threads and cores that slept take longer than one call to be as fast as in a loop.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    with _no_collection():
        # The second call: the first may have compiled.
        estimates = {name: _repeated(run, 1) for name, run in runs.items()}
        names = list(runs)
        end = time.perf_counter() + seconds
        for done in range(MAX_ROUNDS):
            if done >= MIN_ROUNDS and time.perf_counter() > end:
                break
            turn = done % len(names)
            for name in names[turn:] + names[:turn]:
                wait_until_quiet()
                times[name].append(_turn(runs[name], estimates[name]))
    return times


def timing(seconds: list[float], per_call: int = 1) -> Timing:
    """Summarize the rounds of one peer. A call counts as `per_call` steps."""
    scale = 1e6 / per_call
    return Timing(scale * statistics.median(seconds), scale * min(seconds))


def wait_until_quiet(limit: float = 0.3, pause: float = 0.012) -> None:
    """Sleep until no thread of this process is busy, or `limit` seconds have passed.

    Thread pools spin for a while after their last work, PyTorch's OpenMP 4 to 8 ms, ONNX Runtime's over 30:
    on as many cores as threads, that time would be charged to whoever comes next. A pause is longer than the
    system's clock tick, at which the time of threads that run elsewhere is counted.
    """
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        busy, begin = time.process_time(), time.perf_counter()
        time.sleep(pause)
        # Going to sleep and waking up take some processor time themselves.
        if time.process_time() - busy < 0.4 * (time.perf_counter() - begin):
            return


def _turn(run: Callable[[], Any], estimate: float) -> float:
    calls = max(1, min(10_000, round(TURN / estimate)))
    if estimate < LONG:
        _repeated(run, calls)
    return _repeated(run, calls)


def _repeated(run: Callable[[], Any], calls: int) -> float:
    """Seconds per call."""
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - begin) / calls


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
