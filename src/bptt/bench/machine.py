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
from bptt.bench.peers import REDUCED, versions

GAINS = {"vdpbf16ps": 2.0, "vpdpbusd": 4.0}
"""Multiply-adds of an instruction of reduced precision, as multiples of a float32 multiply-add's."""

TRIES = 5

READ_SIZES = tuple(2**power for power in range(14, 27))
"""Sizes of the arrays whose read bandwidth is measured, in bytes: from the first cache to main memory."""
READS = 20
"""Number of measurements for each of these sizes. The fastest measurement counts."""


def peak() -> float:
    """Return the GFLOP/s of one thread: the best of several tries, because other processes interfere."""
    return max(_core.fma_peak() for _ in range(TRIES))


def speed() -> Speed:
    """Measure the speed of one thread."""
    return Speed(peak(), {size: round(read_bandwidth(size), 1) for size in READ_SIZES}, gains())


def gains() -> dict[str, float]:
    """Return the multiply-adds of an instruction in each reduced precision, as multiples of float32."""
    names = {precision: _core.instruction_of(precision) for precision in REDUCED}
    return {precision: GAINS.get(name, 1.0) for precision, name in names.items()}


def read_bandwidth(size: int) -> float:
    """Return the rate at which one thread reads an array again and again, in GB/s.

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
    """Return the nanoseconds of a barrier of two threads, which shows how near their cores are.

    Return 0 if there is no second thread: on one core, or if other processes use the second core.
    """
    for _ in range(TRIES):
        nanoseconds = _core.barrier_time()
        if nanoseconds or bptt.get_num_threads() == 1:
            return nanoseconds
        time.sleep(0.1)  # a thread that yielded its core to other processes tries again after a while
    return 0.0


def describe(peers: list[str]) -> dict[str, Any]:
    """Return processor, system and versions as JSON values, for readers of the results."""
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
    """Return the name of the processor, or of its architecture if the system does not report the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> list[int]:
    """Return the cores that this process may use; the second hardware threads of cores come last."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    free = sorted(os.sched_getaffinity(0))
    return sorted(free, key=lambda core: (_siblings(core).index(core), core))


def load() -> float | None:
    """Return the load average of the last minute; None if the system does not report it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Limit the cores of processes that the block starts, because some thread pools obey no other limit.

    If the system has no such limit, do nothing.
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
    """Return the hardware threads of a core, including `core`."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text("ascii")
    except OSError:
        return [core]
    siblings: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        siblings += range(int(first), int(last or first) + 1)
    return siblings if core in siblings else [core]
