"""Set up the process of a rank: it takes its fraction of the cores, and ends the job if it fails."""

from __future__ import annotations

import os
import platform
import sys
import traceback

from bptt import leaving, runtime
from bptt.ranks.communicator import Alone, Comm, watched


def check_comm(comm: Comm | None) -> Comm:
    """Return the communicator that training uses, or that of one process.

    From here on, the job ends if one of the ranks leaves before the others are done. All ranks call this
    function at the same point.

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
    return watched(comm)


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
    leaving.tell(comm, leaving.failure(error))
    leaving.abort(comm)
