"""What a rank does to its own process: it takes its share of the cores, and ends the job where it fails."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType

from bptt import runtime
from bptt.train.communicator import Alone, Comm

FORWARDING = 0.5
"""Seconds for the launcher to pass on what was said: when it hears of the end, it drops the rest."""

Hook = Callable[[type[BaseException], BaseException, "TracebackType | None"], object]


def read_comm(comm: Comm | None) -> Comm:
    """The communicator, or that of one process. From here on, an exception that ends the script of one of its
    ranks ends the job.

    Raises
    ------
    TypeError
        Neither None nor a communicator.
    """
    if comm is None:
        return Alone()
    if not all(hasattr(comm, name) for name in vars(Comm) if not name.startswith("_")):
        raise TypeError(
            f"comm must be a communicator of mpi4py, or None; got {comm!r:.60} of type "
            f"{type(comm).__name__}. Fix: pass mpi4py.MPI.COMM_WORLD."
        )
    if comm.size > 1:
        _end_job_on_exception(comm)
    return comm


def share_cores(comm: Comm) -> None:
    """Use as many threads as there are cores for each rank on this machine, unless somebody chose a number.

    Ranks that `mpiexec` has bound to cores of their own share these with nobody. For all ranks to call.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    here = (platform.node(), cores)
    sharing = sum(node == here[0] and not cores.isdisjoint(others) for node, others in comm.allgather(here))
    if not runtime.threads_chosen():
        runtime.set_num_threads(max(1, runtime.get_num_threads() // sharing))


def end_job(comm: Comm, error: BaseException) -> None:
    """Say what broke on this rank, and end all of them: the others would wait for it for ever."""
    if not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error, file=sys.__stderr__)
    _tell(comm, error)
    abort(comm)


def abort(comm: Comm) -> None:
    """End all ranks, this one too, with exit code 1."""
    sys.stdout.flush()
    time.sleep(FORWARDING)
    comm.Abort(1)
    os._exit(1)  # MPICH's returns, until the launcher has killed this process


def _end_job_on_exception(comm: Comm) -> None:
    before: Hook = sys.excepthook
    if getattr(before, "ends_job", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, trace)
        _tell(comm, error)
        abort(comm)

    hook.ends_job = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _tell(comm: Comm, error: BaseException) -> None:
    # Not to `sys.stderr`: a rank may be hushed, so that the first one alone talks.
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    print(f"rank {comm.rank} of {comm.size} failed and ends the job: {what}", file=sys.__stderr__)
