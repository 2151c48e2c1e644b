"""What `mpiexec` runs for test_mpi.py: python mpi_job.py JOB FOLDER."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.data import Shard, TextStream
from bptt.train import Trainer

STEPS = 50
TEXT = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 8 * 20 * STEPS + 1))


def parts(**options: Any) -> tuple[bptt.CrossEntropy, bptt.Adam, dict[str, Any]]:
    return bptt.CrossEntropy(), bptt.Adam(1e-3), {"clip": bptt.ClipNorm(0.1), "progress": False} | options


def trainer(comm: Any, **options: Any) -> Trainer:
    """Of some 13,000 parameters in float32."""
    model = bptt.Sequential(
        bptt.Embedding(8, 16, seed=1), bptt.LSTM(16, 48, seed=2), bptt.Linear(48, 8, seed=3)
    )
    loss, optimizer, own = parts(**options)
    return Trainer(model, loss, optimizer, comm=comm, **own)


def data(comm: Any) -> Shard:
    """A pass has STEPS batches of 8 rows."""
    return Shard(TextStream(TEXT, batch_size=8, steps=20), comm)


class AtUpdate(Callback):
    """Does something on the second rank, at one update."""

    def __init__(self, update: int, act: Any) -> None:
        self.at, self.act = update, act

    def update(self, trainer: TrainerView, update: Any) -> None:
        if trainer.rank == 1 and len(trainer.history["loss"]) == self.at:
            self.act()


def fail() -> None:
    raise LookupError("the disk is on fire")


def bytes_on_loopback() -> int:
    """Received on the interface lo since the machine started."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


def main(job: str, folder: Path) -> None:
    from mpi4py import MPI

    comm, run = MPI.COMM_WORLD, folder / "run"
    if job == "train":
        made = trainer(comm)
        comm.Barrier()
        before = bytes_on_loopback() if sys.platform == "linux" else 0
        made.fit(data(comm))
        comm.Barrier()
        if comm.rank == 0:
            sent = bytes_on_loopback() - before if sys.platform == "linux" else 0
            np.savez(folder / "trained", weights=made.model.flat_parameters, bytes=sent)
    elif job == "fail":
        trainer(comm, callbacks=[AtUpdate(3, fail)]).fit(data(comm))
    elif job == "fail outside":
        made = trainer(comm)
        if comm.rank == 1:
            fail()
        made.fit(data(comm))
    elif job == "fail to read":
        Shard([] if comm.rank == 0 else 3, comm)  # type: ignore[arg-type]
    elif job == "killed":
        kill = AtUpdate(33, lambda: os.kill(os.getpid(), signal.SIGKILL))
        trainer(comm, callbacks=[kill, bptt.Checkpoint(run, every_updates=10)]).fit(data(comm))
    elif job == "resume":
        loss, optimizer, own = parts()
        made = Trainer.resume(run, loss, optimizer, comm=comm, **own)
        done = optimizer.steps
        made.fit(data(comm))
        if comm.rank == 0:
            np.savez(folder / "trained", weights=made.model.flat_parameters, done=done)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
