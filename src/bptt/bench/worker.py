"""The worker process, which times cases with a number of threads and sends each row immediately.

`session` starts the worker with a limited number of cores. The worker reads one JSON object from standard
input, and writes one JSON object per line to standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import bptt
from bptt.bench import machine
from bptt.bench.measure import measure
from bptt.bench.memory import measure as measure_memory
from bptt.bench.shapes import case_of

Say = Callable[[dict[str, Any]], None]


def work(order: dict[str, Any], say: Say) -> None:
    """Run an order: threads, peers, seconds, seed and cases."""
    threads = order["threads"]
    bptt.set_num_threads(threads)
    say({"machine": machine.describe(order["peers"])})
    cases = [case_of(values) for values in order["cases"]]
    for case in cases:
        if case.mode == "memory":
            say({"memory": measure_memory(case, threads).plain()})
    timed = [case for case in cases if case.mode != "memory"]
    if timed:
        speed = machine.speed()  # after the measurements of memory, because its arrays are large
        say({"machine": asdict(speed)})
        for case in timed:
            row = measure(case, order["peers"], threads, order["seconds"], speed, order["seed"])
            say({"row": row.plain()})


def main() -> None:
    """Run the order from standard input. Only messages go to standard output."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)  # redirect the output of compilers and libraries to standard error

        def say(message: dict[str, Any]) -> None:
            print(json.dumps(message), file=channel, flush=True)

        work(json.load(sys.stdin), say)


if __name__ == "__main__":
    main()
