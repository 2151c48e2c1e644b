"""Promise 10: thousands of calls of every kind, errors included, leave the size of the process as it was."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.promises.amount import amount

import bptt

CALLS = amount(500, 10_000)
FILES = {"save", "load", "a damaged file"}
"""Calls that take milliseconds."""
MOST = 2**20 if getattr(sys, "_is_gil_enabled", lambda: True)() else 2**22
"""Bytes that the process may grow. One leaked tape or file a round is a multiple of it. Without the GIL,
Python keeps more memory for later."""
X = np.ones((5, 2, 3), np.float32)
Call = Callable[[], object]


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def raises(call: Call) -> Call:
    """The call, without the error that it raises."""

    def run() -> None:
        with suppress(ValueError, TypeError):
            call()
            raise AssertionError

    return run


def calls(folder: Path) -> dict[str, Call]:
    model = bptt.Sequential(bptt.LSTM(3, 4, 2, seed=0), bptt.GRU(4, 4, seed=1), bptt.Linear(4, 2, seed=2))
    optimizer = bptt.Adam()
    path = folder / "model"
    bad = folder / "bad"
    bptt.save(path, model)
    bad.write_bytes(path.read_bytes()[:-1])

    def train() -> None:
        model.zero_grad()
        y, _, tape = model.forward(X)
        model.backward(tape, y)
        optimizer.step(model)

    def stream() -> None:
        model.stream(2).run(X)

    def unfinished() -> None:
        _, _, tape = model.forward(X)
        with suppress(ValueError):
            model.backward(tape, X)

    tape: Any = model.forward(X)[2]
    return {
        "call": lambda: model(X),
        "train": train,
        "stream": stream,
        "freeze": lambda: model.freeze()(X),
        "int8": lambda: model.freeze("int8")(X),
        "bfloat16": lambda: model.freeze("bfloat16")(X),
        "a wrong shape": raises(lambda: model(X[..., :2])),
        "a wrong type": raises(lambda: model("text")),
        "a foreign tape": raises(lambda: bptt.GRU(3, 4).backward(tape)),
        "a refused backward pass": unfinished,
        "save": lambda: bptt.save(path, model),
        "load": lambda: bptt.load(path),
        "a damaged file": raises(lambda: bptt.load(bad)),
    }


def grown(call: Call, rounds: int) -> tuple[int, int]:
    """Bytes of the process, and blocks of Python's allocator, that the rounds leave."""
    for _ in range(max(100, rounds // 5)):
        call()
    gc.collect()
    bytes_before, blocks_before = resident(), sys.getallocatedblocks()
    for _ in range(rounds):
        call()
    gc.collect()
    return resident() - bytes_before, sys.getallocatedblocks() - blocks_before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads the resident size from /proc")
def test_calls_leave_nothing(
    tmp_path: Path,
    subtests: pytest.Subtests,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)  # which takes nearly all of the time of a save
    most = 0
    kinds = calls(tmp_path)
    for name, call in kinds.items():
        rounds = amount(150, CALLS) if name in FILES else CALLS
        with subtests.test(name):
            more_bytes, more_blocks = grown(call, rounds)
            assert more_bytes < MOST
            assert more_blocks < rounds  # a leak is a block in each round; caches grow by fewer
            most = max(most, more_bytes)
    record_property(
        "figure", f"{most / 2**20:.1f} MiB more after {CALLS:,} calls, the most of {len(kinds)} kinds"
    )
