"""What `mpiexec` runs for test_kind_rank_leaves.py: python leaving_job.py WAY STAGE."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

from mpi4py import MPI

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.data import Shard

COMM = MPI.COMM_WORLD
STAGE, WAY = sys.argv[2], sys.argv[1]


class Leave(BaseException):
    """Unwinds to the end of the script, for a return."""


def fail() -> None:
    raise LookupError("the disk is on fire")


def raise_exit() -> None:
    raise SystemExit(3)


def finish() -> None:
    raise Leave


WAYS = {
    "return": finish,
    "exit": sys.exit,
    "exit 3": lambda: sys.exit(3),
    "exit text": lambda: sys.exit("no data"),
    "raise SystemExit": raise_exit,
    "exception": fail,
    "Ctrl-C": lambda: signal.raise_signal(signal.SIGINT),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def at(stage: str) -> None:
    """The second rank leaves here, if it is the stage asked for."""
    if stage == STAGE and COMM.rank == 1:
        WAYS[WAY]()


class AtUpdate(Callback):
    def update(self, trainer: TrainerView, update: Any) -> None:
        if len(trainer.history["loss"]) == 2:
            at("callback")


def batches() -> Any:
    from tests.training import batch

    for seed in range(4):
        if seed == 2:
            at("data")
        yield batch(seed, rows=2)


def main() -> None:
    from tests.training import model, trainer

    at("import")
    if STAGE == "own collective":
        at(STAGE)
        COMM.Barrier()
    data = Shard(bptt.data.Batches(batches), COMM)
    at("shard")
    made = trainer(model(), comm=COMM, callbacks=[AtUpdate()])
    at("trainer")
    made.fit(data)
    at("after")
    made.evaluate(data)
    print("done", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(Leave):
        main()
