"""The part of MPI that training uses. The package does not import mpi4py."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from bptt import leaving


class Comm(Protocol):
    """The part of `mpi4py.MPI.Comm` that training uses. Capitalised methods work on arrays."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def Allreduce(self, sendbuf: Any, recvbuf: Any, /) -> None: ...
    def Bcast(self, buf: Any, /) -> None: ...
    def Barrier(self) -> None: ...
    def Abort(self, errorcode: int = 0, /) -> None: ...
    def bcast(self, obj: Any, /) -> Any: ...
    def allgather(self, sendobj: Any, /) -> list[Any]: ...


class Alone:
    """The communicator of one process without MPI."""

    rank, size = 0, 1

    def Allreduce(self, sendbuf: Any, recvbuf: Any, /) -> None:
        recvbuf[...] = sendbuf

    def Bcast(self, buf: Any, /) -> None: ...

    def Barrier(self) -> None: ...

    def Abort(self, errorcode: int = 0, /) -> None:
        raise SystemExit(errorcode)

    def bcast(self, obj: Any, /) -> Any:
        return obj

    def allgather(self, sendobj: Any, /) -> list[Any]:
        return [sendobj]


class Watched:
    """A communicator of mpi4py whose collective calls end the job if another rank has left it.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Duplicated, to separate bptt's messages from all other messages. All ranks construct this object at
        the same point.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm.Dup()
        self._meeting = leaving.Meeting(self._comm)
        self.rank: int = comm.rank
        self.size: int = comm.size

    def Allreduce(self, sendbuf: Any, recvbuf: Any, /) -> None:
        self._meeting.go_on()
        self._comm.Allreduce(sendbuf, recvbuf)

    def Bcast(self, buf: Any, /) -> None:
        self._meeting.go_on()
        self._comm.Bcast(buf)

    def Barrier(self) -> None:
        self._meeting.go_on()

    def Abort(self, errorcode: int = 0, /) -> None:
        self._comm.Abort(errorcode)

    def bcast(self, obj: Any, /) -> Any:
        self._meeting.go_on()
        return self._comm.bcast(obj)

    def allgather(self, sendobj: Any, /) -> list[Any]:
        self._meeting.go_on()
        gathered: list[Any] = self._comm.allgather(sendobj)
        return gathered


_keyval: int | None = None


def watched(comm: Comm) -> Comm:
    """Return the `Watched` of an mpi4py communicator with several ranks; return any other unchanged."""
    global _keyval
    mpi: Any = sys.modules.get("mpi4py.MPI")
    if mpi is None or comm.size == 1 or not isinstance(comm, mpi.Intracomm):
        return comm
    if _keyval is None:
        _keyval = mpi.Comm.Create_keyval()
    known = comm.Get_attr(_keyval)
    if known is None:
        leaving.notice_exits()
        known = Watched(comm)
        comm.Set_attr(_keyval, known)
    return known  # type: ignore[no-any-return]
