"""A rank that leaves: however it leaves, and at whatever stage, the job ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.test_mpi import Job, missing, mpiexec

SCRIPT = Path(__file__).with_name("leaving_job.py")

WAYS = (
    "return",
    "exit",
    "exit 3",
    "exit text",
    "raise SystemExit",
    "exception",
    "Ctrl-C",
    "SIGTERM",
    "SIGKILL",
)
QUIET = ("return", "exit")
"""Ways in which nothing tells the interpreter of a failure."""
STAGES = ("import", "own collective", "shard", "trainer", "data", "callback", "after")
BEFORE = ("import", "own collective")
"""Stages at which bptt has no communicator."""
SHORT = [
    ("exception", "import"),
    ("exit 3", "own collective"),
    ("exit", "shard"),
    ("raise SystemExit", "trainer"),
    ("SIGTERM", "data"),
    ("Ctrl-C", "callback"),
    ("exit text", "after"),
]


def is_seen(way: str, stage: str) -> bool:
    """Before bptt has a communicator, it notices failures alone: docs/howto/distributed.md says so."""
    return stage not in BEFORE or way not in (*QUIET, "raise SystemExit")


ALL = [(way, stage) for way in WAYS for stage in STAGES if is_seen(way, stage)]


@pytest.fixture(autouse=True)
def _with_mpi() -> None:
    if missing():
        pytest.skip(missing())


def leave(way: str, stage: str, ranks: int = 2) -> Job:
    """Raises TimeoutExpired where the job hangs."""
    root = str(SCRIPT.parent.parent)
    path = os.pathsep.join(entry for entry in (os.environ.get("PYTHONPATH"), root) if entry)
    return mpiexec(ranks, SCRIPT, way, stage, PYTHONPATH=path)


@pytest.mark.parametrize(
    ("way", "stage"), [pytest.param(*pair, marks=[] if pair in SHORT else pytest.mark.grid) for pair in ALL]
)
def test_the_job_ends(way: str, stage: str) -> None:
    done = leave(way, stage)
    assert done.code != 0
    assert "done" not in done.out


def test_the_job_ends_with_more_ranks() -> None:
    done = leave("return", "trainer", 3)
    assert done.code != 0
    assert "rank 1 of 3 left while other ranks continued, and ends the job" in done.err


def test_ranks_that_leave_together_end_well() -> None:
    done = leave("return", "none")
    assert (done.code, done.out.count("done")) == (0, 2)  # the launcher may join two ranks' lines
    assert "ends the job" not in done.err


def test_the_short_list_has_every_stage_and_every_way_of_the_interpreter() -> None:
    assert {stage for _, stage in SHORT} == set(STAGES)
    assert {way for way, _ in SHORT} == set(WAYS) - {"SIGKILL", "return"}  # tested below, and in test_mpi.py
    assert set(SHORT) <= set(ALL)
