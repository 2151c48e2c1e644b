"""Compare two threads with two processes of half the batch each, the best that two cores can do.

    python benchmarks/scaling.py [TEXT]

The script times rows of compare.py that should be nearly twice as fast on two threads, and that are small
enough for barriers to matter. With TEXT, only rows whose shape contains it. The two processes are
independent. So the slower process shows the speed that two threads could reach without waiting and without
shared memory. If the cores of a virtual machine are two halves of one real core, or if other processes use
them, even this is less than twice as fast as one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import bptt
from bptt.bench.peers import OURS, make
from bptt.bench.problem import problem
from bptt.bench.shapes import CELLS, GRID, Case, cases

MODES = ("inference", "training")
SMALL = 2.0
"""Work of a turn in GFLOP."""
ROUNDS = 15
SECONDS = 0.05
"""Seconds of a turn, after an equally long turn that does not count."""


def work(core: int, pipe: Connection) -> None:
    """Answer (case, threads) with seconds per call, on one core if there is one thread."""
    everywhere = os.sched_getaffinity(0)
    made: dict[Case, Callable[[], Any]] = {}
    with suppress(EOFError):  # who asks has ended
        while True:
            case, threads = pipe.recv()
            os.sched_setaffinity(0, {core} if threads == 1 else everywhere)
            if case not in made:
                made[case] = make(OURS, problem(case), threads).run
            bptt.set_num_threads(threads)
            run_for(made[case])
            pipe.send(run_for(made[case]))


def run_for(call: Callable[[], Any]) -> float:
    """Return the seconds per call."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def main() -> None:
    text = sys.argv[1] if len(sys.argv) > 1 else ""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for core in sorted(os.sched_getaffinity(0))[:2]:
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(core, theirs), daemon=True).start()
        pipes.append(ours)

    def seconds(case: Case, workers: int, threads: int) -> float:
        for pipe in pipes[:workers]:
            pipe.send((case, threads))
        slowest: float = max(pipe.recv() for pipe in pipes[:workers])
        return slowest

    print(f"{'times as fast as one thread: median (best)':<72}{'two threads':>14}{'two halves':>14}")
    for case in cases(GRID, CELLS, MODES, text):
        if not case.divides or (case.gflop > SMALL and not text):
            continue
        half = replace(case, shape=replace(case.shape, B=case.shape.B // 2))
        found: dict[str, list[float]] = {"two threads": [], "two halves": []}
        for _ in range(ROUNDS):
            one = seconds(case, 1, 1)
            found["two threads"].append(one / seconds(case, 1, 2))
            found["two halves"].append(one / seconds(half, 2, 1))
        shown = [f"{statistics.median(each):.2f} ({max(each):.2f})" for each in found.values()]
        name = f"{case.cell} {case.mode}, {case.shape}"
        print(f"{name:<72}" + "".join(f"{text:>14}" for text in shown), flush=True)


if __name__ == "__main__":
    main()
