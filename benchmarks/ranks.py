"""Time training steps of one batch on 1, 2, ... ranks, and the sum of their gradients, in milliseconds.

    pip install 'bptt[mpi]' mpich
    python benchmarks/ranks.py                  # 1 and 2 ranks, one thread each, through shared memory
    python benchmarks/ranks.py --ranks 1,2,4 --threads 2
    python benchmarks/ranks.py --tcp            # and by TCP over the loopback interface (MPICH)

The sum is timed twice: in a step, where a rank also waits for slower ranks, and separately, after all ranks
have met. To time real machines: mpiexec -hosts a,b -n 2 python benchmarks/ranks.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

import bptt

TCP = {"MPIR_CVAR_NOLOCAL": "1", "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"}
SHAPES = {
    "LSTM 40 -> 128, T=50 B=64": (40, 128, 50, 64),
    "LSTM 64 -> 512, T=50 B=64": (64, 512, 50, 64),
}
WARM, STEPS = 5, 30


class Timed:
    """A communicator that records the times of its sums."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.sums: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.comm, name)

    def Allreduce(self, *buffers: Any) -> None:
        start = time.perf_counter()
        self.comm.Allreduce(*buffers)
        self.sums.append(time.perf_counter() - start)


class Clock(bptt.Callback):
    """Record the time of each update."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def update(self, trainer: bptt.Trainer, update: Any) -> None:
        self.times.append(time.perf_counter())


def measure(comm: Any, name: str) -> dict[str, Any]:
    """Return the medians of this rank, in milliseconds."""
    inputs, hidden, steps, rows = SHAPES[name]
    model = bptt.Sequential(bptt.LSTM(inputs, hidden, seed=0), bptt.Linear(hidden, inputs, seed=1))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((steps, rows, inputs), np.float32)
    timed, clock = Timed(comm), Clock()
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.Adam(), comm=timed, callbacks=[clock], progress=False
    )
    trainer.fit([rows_of(x, comm)] * (WARM + STEPS))
    found = {
        "parameters": model.parameter_count,
        "step": statistics.median(np.diff(clock.times)[WARM:]),
        "sum": statistics.median(timed.sums[WARM:-1]) if comm.size > 1 else 0.0,  # the last ends the epoch
        "alone": 0.0,
    }
    if comm.size > 1:
        sent, summed = np.ones((2, model.parameter_count))
        for _ in range(WARM + STEPS):
            comm.Barrier()
            timed.Allreduce(sent, summed)
        found["alone"] = statistics.median(timed.sums[-STEPS:])
    return {key: value if key == "parameters" else 1e3 * value for key, value in found.items()}


def rows_of(x: Any, comm: Any) -> tuple[Any, Any]:
    """Return this rank's rows. The target is the input itself."""
    own = np.ascontiguousarray(x[:, comm.rank :: comm.size])
    return own, own


def on_a_rank() -> None:
    """Measure, and print the results on the first rank."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    found = {name: measure(comm, name) for name in SHAPES}
    if comm.rank == 0:
        print(json.dumps({"ranks": comm.size, "threads": bptt.get_num_threads(), "found": found}))


def launch(ranks: int, threads: int, variables: dict[str, str]) -> dict[str, Any]:
    launcher = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")
    if launcher is None:
        sys.exit("there is no mpiexec: pip install mpich")
    done = subprocess.run(
        [launcher, "-n", str(ranks), sys.executable, __file__, "--rank"],
        env={**os.environ, "BPTT_NUM_THREADS": str(threads), **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Time training steps over ranks.")
    parser.add_argument("--ranks", default="1,2", help="numbers of ranks")
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--tcp", action="store_true", help="by TCP, too")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        on_a_rank()
        return
    ways = {"memory": {}} | ({"TCP": TCP} if options.tcp else {})
    print(f"{options.threads} thread(s) a rank, {os.cpu_count()} cores; ms, medians of {STEPS} steps")
    print("| model | parameters | ranks | by | step | sum in a step | of the step | sum alone |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for by, variables in ways.items():
        for ranks in map(int, options.ranks.split(",")):
            if ranks == 1 and by != "memory":
                continue
            for name, one in launch(ranks, options.threads, variables)["found"].items():
                share = one["sum"] / one["step"]
                print(
                    f"| {name} | {one['parameters']:,} | {ranks} | {by if ranks > 1 else ''} "
                    f"| {one['step']:.1f} | {one['sum']:.2f} | {share:.0%} | {one['alone']:.2f} |"
                )


if __name__ == "__main__":
    main()
