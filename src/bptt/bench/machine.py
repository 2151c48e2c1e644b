"""The machine of the benchmark: its name, its cores, and the speed of one thread."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt import _core
from bptt.bench.limits import Speed
from bptt.bench.peers import versions

TRIES = 5

READ_SIZES = tuple(2**power for power in range(14, 27))
"""Sizes of the arrays whose read bandwidth is measured, in bytes: from the first cache to main memory."""
READS = 20
"""Measurements for each of these sizes. The best counts."""


def peak() -> float:
    """Return the GFLOP/s of one thread. The best of several tries counts, because other processes disturb."""
    return max(_core.fma_peak() for _ in range(TRIES))


def speed() -> Speed:
    """Measure the speed of one thread."""
    return Speed(peak(), {size: round(read_bandwidth(size), 1) for size in READ_SIZES})


def read_bandwidth(size: int) -> float:
    """
    Return the rate at which one thread reads an array again and again, in GB/s.

    NumPy's maximum of an int8 array reads 64 bytes per instruction and does little else. Small arrays are
    read many times in one call, through a view that repeats the array.
    """
    array = np.ones(size, np.int8)  # the pages of unwritten zeros would share one page of memory
    repeats = max(1, READ_SIZES[-1] // 8 // size)
    view = np.lib.stride_tricks.as_strided(array, (repeats, size), (0, 1), writeable=False)
    return max(_read_rate(view) for _ in range(READS))


def _read_rate(view: npt.NDArray[np.int8]) -> float:
    begin = time.perf_counter()
    view.max()
    return 1e-9 * view.size / (time.perf_counter() - begin)


def barrier() -> float:
    """
    Nanoseconds that two threads need to meet, which tells how near each other their cores are.

    0 if there was no second one: on one core, or as long as others want it.
    """
    for _ in range(TRIES):
        found = _core.barrier_time()
        if found or bptt.get_num_threads() == 1:
            return found
        time.sleep(0.1)  # threads that made room for others look again after a while
    return 0.0


def describe(peers: list[str]) -> dict[str, Any]:
    """What a reader must know to place the figures, JSON-safe."""
    return {
        "processor": processor(),
        "cores": len(cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": bptt.isa(),
        "versions": {
            "bptt": bptt.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            **versions(peers),
        },
    }


def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> list[int]:
    """The cores that this process may use, one hardware thread of each before the second of any."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    free = sorted(os.sched_getaffinity(0))
    return sorted(free, key=lambda core: (_siblings(core).index(core), core))


def load() -> float | None:
    """How many threads wanted to run during the last minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """
    Limit the cores of processes started inside, because some thread pools obey no other limit.

    Where the system knows no such limit, nothing happens.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores()[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _siblings(core: int) -> list[int]:
    """The hardware threads of a core, itself among them."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text("ascii")
    except OSError:
        return [core]
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found if core in found else [core]
