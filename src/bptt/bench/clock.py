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
"""Length of a turn in seconds: a shorter call is repeated until the turn is over.

On a virtual machine, a core that has slept during a pause is slower for about 10 ms.
"""
LONG = 0.05
"""Seconds: a longer call needs no untimed call before it to warm the caches and to wake its threads."""


@dataclass(frozen=True)
class Timing:
    """The median and the minimum of all rounds, in microseconds."""

    median: float
    minimum: float


def take_turns(runs: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """Return the seconds per call of each peer, one number for each round.

    A round gives each peer a turn, in rotating order. There are rounds for `seconds`, at least 3 and at most
    100. Before each turn, the process waits until its threads are idle. A short call is then repeated without
    timing as often as in its turn, because threads and cores that slept need more than one call to wake up.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    with _no_collection():
        # This is the second call, because the first call may compile.
        estimates = {name: _repeated(run, 1) for name, run in runs.items()}
        names = list(runs)
        end = time.perf_counter() + seconds
        for rounds in range(MAX_ROUNDS):
            if rounds >= MIN_ROUNDS and time.perf_counter() > end:
                break
            turn = rounds % len(names)
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

    Thread pools spin after their last work: PyTorch's OpenMP for 4 to 8 ms, ONNX Runtime for more than 30 ms.
    If there are as many threads as cores, the next peer would be slower during this time. A pause is longer
    than a clock tick of the system, because the system counts the time of other threads at each tick.
    """
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        busy, begin = time.process_time(), time.perf_counter()
        time.sleep(pause)
        # Falling asleep and waking up need some processor time, too.
        if time.process_time() - busy < 0.4 * (time.perf_counter() - begin):
            return


def _turn(run: Callable[[], Any], estimate: float) -> float:
    calls = max(1, min(10_000, round(TURN / estimate)))
    if estimate < LONG:
        _repeated(run, calls)
    return _repeated(run, calls)


def _repeated(run: Callable[[], Any], calls: int) -> float:
    """Return the seconds per call."""
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
