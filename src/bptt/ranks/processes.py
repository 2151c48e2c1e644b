"""Set up the process of a rank: it uses its fraction of the cores, and ends the job if it fails."""

from __future__ import annotations

import os
import platform
import sys
import traceback

from bptt import leaving, runtime
from bptt.ranks.communicator import Alone, Comm, watched


def check_comm(comm: Comm | None) -> Comm:
    """Return the communicator that training uses: for None, the communicator of one process.

    From then on, the job ends if a rank leaves before the other ranks are done. All ranks must call this
    function at the same point.

    Raises
    ------
    TypeError
        `comm` is neither None nor a communicator.
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
    """Divide the cores of this machine among its ranks, unless the user chose a number of threads.

    Only ranks with a core in common share cores: `mpiexec` may bind each rank to different cores. All ranks
    must call this function.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    here = (platform.node(), cores)
    sharing = sum(
        node == here[0] and not cores.isdisjoint(rank_cores) for node, rank_cores in comm.allgather(here)
    )
    if not runtime.threads_chosen():
        runtime.set_num_threads(max(1, runtime.get_num_threads() // sharing))


def end_job(comm: Comm, error: BaseException) -> None:
    """Print the error of this rank and end all ranks: the other ranks would wait for this rank forever."""
    if not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error, file=sys.__stderr__)
    leaving.tell(comm, leaving.failure(error))
    leaving.abort(comm)
