"""What a run over several processes asks of MPI, so that nothing here need import it."""

from __future__ import annotations

from typing import Any, Protocol


class Comm(Protocol):
    """The part of `mpi4py.MPI.Comm` that is used. Sums and broadcasts of arrays are the capital ones."""

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
