"""End the whole MPI job if a process leaves it before the other processes are done.

MPI waits for every process, so a rank that is gone would leave the other ranks waiting for ever. `import
bptt` installs a function that runs when the interpreter ends, before mpi4py finalizes MPI. An error ends the
job at any time. A rank that leaves without an error is only noticed once it has a communicator of bptt, which
the first `Shard` or `Trainer` makes.
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
"""Seconds that the launcher gets to forward output. It drops the rest when it hears of the job's end."""
POLLING = 0.005
"""Seconds between two looks at whether all have left."""

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers say how many processes they started: MPICH and its relatives, Open MPI, MVAPICH."""
_RANK = "PMIX_RANK"
"""Where one launcher says only the process's own number."""

_meetings: list[Meeting] = []
_status: object = None  # what the interpreter was told to exit with


def processes_started() -> int:
    """Return the number of processes that `mpiexec` says it started, 1 if it says nothing."""
    return max((int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdecimal()), default=1)


def is_launched() -> bool:
    """Return whether this process may be one of several that `mpiexec` started."""
    return processes_started() > 1 or _RANK in os.environ


class Meeting:
    """A point that all ranks pass before each of bptt's collective calls, and when they leave.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Used by bptt alone. Every rank makes its meeting at the same point.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self._sent, self._heard = array("i", (0, 0)), array("i", (0, 0))
        _meetings.append(self)

    def start(self, *, leaving: bool) -> Any:
        """Return a request that is complete when all ranks have come, to leave or to go on."""
        self._sent[0], self._sent[1] = leaving, not leaving
        self._heard[0] = self._heard[1] = 0
        return self.comm.Iallreduce(self._sent, self._heard, op=_mpi().MAX)

    def go_on(self) -> None:
        """Wait for all ranks. End the job if one of them has come to leave."""
        self.start(leaving=False).Wait()
        if self._heard[0]:
            time.sleep(4 * FORWARDING)  # the rank that leaves says so, and ends the job
            abort(self.comm)

    @property
    def is_left_by_all(self) -> bool:
        """Whether no rank is known to have come to continue, at the last meeting."""
        return not self._heard[1]


def notice_exits() -> None:
    """From here on, notice a call of `sys.exit`, `exit` or `quit` that ends this process, and its status."""
    if getattr(sys.exit, "is_noticed", False):
        return

    def exit(status: Any = None, /) -> NoReturn:
        raise _Exit(status)

    exit.is_noticed = True  # type: ignore[attr-defined]
    sys.exit = exit
    for name in {"exit", "quit"} & set(vars(builtins)):  # absent under python -S
        setattr(builtins, name, exit)


def tell(comm: Any, what: str) -> None:
    """Say on the real stderr what a rank did: ranks other than the first may be silenced."""
    print(f"rank {comm.rank} of {comm.size} {what}", file=sys.__stderr__, flush=True)


def failure(error: BaseException) -> str:
    """What `tell` says of a rank that an exception ends."""
    return f"failed and ends the job: {type(error).__name__}: {error}".rstrip(": ")


def abort(comm: Any, code: int = 1) -> NoReturn:
    """End all ranks, this one too, with an exit code."""
    sys.stdout.flush()
    time.sleep(FORWARDING)
    comm.Abort(code)
    os._exit(code)  # MPICH's returns, until the launcher has killed this process


class _Exit(SystemExit):
    """What `sys.exit` raises. The interpreter asks for `code` when nothing has caught it."""

    @property
    def code(self) -> Any:  # type: ignore[override]
        global _status
        status = self.args[0] if self.args else None
        try:
            sys._getframe(1)
        except ValueError:  # no Python code is left to ask
            _status = status
        return status


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"


def _mpi() -> Any:
    """mpi4py.MPI where MPI is running with several processes, else None."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not hasattr(mpi, "COMM_WORLD"):
        return None
    running = mpi.Is_initialized() and not mpi.Is_finalized()
    return mpi if running and mpi.COMM_WORLD.size > 1 else None


def _at_exit(process: int) -> None:
    mpi = _mpi() if os.getpid() == process else None  # a fork is no rank
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
    except BaseException:  # Ctrl-C, or MPI refuses: there is nobody to raise it to
        abort(world)
    if not all_left:
        tell(world, "left while the others went on, and ends the job")
        abort(world)


def _leave() -> bool:
    """Come to all meetings to leave, and return whether all others leave, too."""
    waiting = [(meeting, meeting.start(leaving=True)) for meeting in _meetings]
    while waiting and all(meeting.is_left_by_all for meeting in _meetings):
        waiting = [(meeting, request) for meeting, request in waiting if not request.Test()]
        time.sleep(POLLING)
    return all(meeting.is_left_by_all for meeting in _meetings)


def install() -> None:
    """Watch how this process ends. `import bptt` calls this, once."""
    atexit.register(_at_exit, os.getpid())
    if is_launched():
        notice_exits()
