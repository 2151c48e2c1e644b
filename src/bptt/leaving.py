"""End the MPI job if a process leaves before the other processes are done.

MPI waits for every process, so the other ranks would wait forever for a rank that has exited. `import bptt`
installs a function that runs when the interpreter exits, before mpi4py finalizes MPI. An error ends the job
at any time. A rank that exits without an error is noticed only if it has a communicator of bptt, which the
first `Shard` or `Trainer` creates.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import time
from array import array
from typing import Any, NoReturn

FORWARDING = 0.5
"""Seconds that the launcher gets to forward output. It drops the rest when the job ends."""
POLLING = 0.005
"""Seconds between two checks whether all ranks have left."""

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables with the number of processes: MPICH and its relatives, Open MPI, MVAPICH."""
_RANK = "PMIX_RANK"
"""Environment variable with the rank, from a launcher that does not set the number of processes."""

_meetings: list[Meeting] = []
_status: object = None  # the argument of the `sys.exit` that ends this process


def processes_started() -> int:
    """Return the number of processes that `mpiexec` started.

    This is 1 if the environment does not say.
    """
    return max((int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdecimal()), default=1)


def is_launched() -> bool:
    """Return whether this process may be one of several that `mpiexec` started."""
    return processes_started() > 1 or _RANK in os.environ


class Meeting:
    """A barrier that all ranks pass before each collective call of bptt.

    Ranks also pass it when they leave the job.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        A communicator that only bptt uses. Every rank creates its `Meeting` at the same point.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self._sent, self._heard = array("i", (0, 0)), array("i", (0, 0))
        _meetings.append(self)

    def start(self, *, leaving: bool) -> Any:
        """Return a request that completes when all ranks have arrived.

        Ranks arrive to leave or to continue.
        """
        self._sent[0], self._sent[1] = leaving, not leaving
        self._heard[0] = self._heard[1] = 0
        return self.comm.Iallreduce(self._sent, self._heard, op=_mpi().MAX)

    def go_on(self) -> None:
        """Wait for all ranks. End the job if one of them leaves."""
        self.start(leaving=False).Wait()
        if self._heard[0]:
            time.sleep(4 * FORWARDING)  # the leaving rank prints a message and ends the job in this time
            abort(self.comm)

    @property
    def is_left_by_all(self) -> bool:
        """Whether no rank is known to continue after the last meeting."""
        return not self._heard[1]


def notice_exits() -> None:
    """Record the status of a later `sys.exit`, `exit` or `quit`."""
    if getattr(sys.exit, "is_noticed", False):
        return

    def exit(status: Any = None, /) -> NoReturn:
        raise _Exit(status)

    exit.is_noticed = True  # type: ignore[attr-defined]
    sys.exit = exit
    for name in {"exit", "quit"} & set(vars(builtins)):  # absent under python -S
        setattr(builtins, name, exit)


def tell(comm: Any, event: str) -> None:
    """Print what this rank did to the original stderr.

    `sys.stderr` may be silenced.
    """
    print(f"rank {comm.rank} of {comm.size} {event}", file=sys.__stderr__, flush=True)


def failure(error: BaseException) -> str:
    """Return what `tell` prints about a rank that an exception ends."""
    return f"failed and ends the job: {type(error).__name__}: {error}".rstrip(": ")


def abort(comm: Any, code: int = 1) -> NoReturn:
    """End all ranks, including this one, with an exit code."""
    sys.stdout.flush()
    time.sleep(FORWARDING)
    comm.Abort(code)
    os._exit(code)  # MPICH's Abort returns before the launcher has killed this process


class _Exit(SystemExit):
    """Exception of `sys.exit`.

    The interpreter reads `code` if no code has caught the exception.
    """

    @property
    def code(self) -> Any:  # type: ignore[override]
        global _status
        status = self.args[0] if self.args else None
        try:
            sys._getframe(1)
        except ValueError:  # no Python caller: the interpreter itself reads `code`
            _status = status
        return status


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"


def _mpi() -> Any:
    """Return mpi4py.MPI if MPI is running with several processes, else None."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not hasattr(mpi, "COMM_WORLD"):
        return None
    running = mpi.Is_initialized() and not mpi.Is_finalized()
    return mpi if running and mpi.COMM_WORLD.size > 1 else None


def _at_exit(process: int) -> None:
    mpi = _mpi() if os.getpid() == process else None  # a forked process is not a rank
    if mpi is None:
        return
    world = mpi.COMM_WORLD
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    if error is not None:
        tell(world, failure(error))
        abort(world)
    if _status:
        tell(world, f"ends the job: sys.exit({_status!r:.200})")
        abort(world, _status if isinstance(_status, int) and 0 < _status < 256 else 1)
    try:
        all_left = _leave()
    except BaseException:  # Ctrl-C or an error of MPI: no caller is left that could handle it
        abort(world)
    if not all_left:
        tell(world, "left while other ranks continued, and ends the job")
        abort(world)


def _leave() -> bool:
    """Start to leave at all meetings, and return whether all other ranks leave, too."""
    waiting = [(meeting, meeting.start(leaving=True)) for meeting in _meetings]
    while waiting and all(meeting.is_left_by_all for meeting in _meetings):
        waiting = [(meeting, request) for meeting, request in waiting if not request.Test()]
        time.sleep(POLLING)
    return all(meeting.is_left_by_all for meeting in _meetings)


def install() -> None:
    """Watch how this process ends. `import bptt` calls this function once."""
    atexit.register(_at_exit, os.getpid())
    if is_launched():
        notice_exits()
