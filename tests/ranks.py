"""Ranks without MPI: threads of this process, each with a communicator like mpi4py's."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

PATIENCE = 60.0
"""Seconds that a rank waits for the others: a test that hangs fails."""


class Aborted(BaseException):
    """What MPI does to the whole process."""


class World:
    def __init__(self, size: int) -> None:
        self.size = size
        self.slots: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)
        self.sums = 0
        self.aborted = False


class ThreadComm:
    """One of `world.size` ranks. The world keeps how often arrays were summed, and whether it was ended."""

    def __init__(self, world: World, rank: int) -> None:
        self.world, self.rank, self.size = world, rank, world.size

    def allgather(self, sendobj: Any, /) -> list[Any]:
        return [pickle.loads(slot) for slot in self._exchange(pickle.dumps(sendobj))]

    def bcast(self, obj: Any, /) -> Any:
        return self.allgather(obj)[0]

    def Bcast(self, buf: Any, /) -> None:
        buf[...] = self.allgather(buf)[0]

    def Allreduce(self, sendbuf: Any, recvbuf: Any, /) -> None:
        self.world.sums += self.rank == 0
        recvbuf[...] = np.sum(self.allgather(sendbuf), axis=0)

    def Barrier(self) -> None:
        self._exchange(None)

    def Abort(self, errorcode: int = 0, /) -> NoReturn:
        self.world.aborted = True
        self.world.barrier.abort()
        raise Aborted(errorcode)

    def _exchange(self, mine: Any) -> list[Any]:
        try:
            self.world.slots[self.rank] = mine
            self.world.barrier.wait()
            everything = list(self.world.slots)
            self.world.barrier.wait()
        except threading.BrokenBarrierError:
            raise Aborted("another rank has ended the job, or does not come") from None
        return everything


def run(size: int, job: Callable[[Any], Any]) -> list[Any]:
    """What `job(comm)` returned on each rank, or the exception that it raised."""
    world = World(size)
    results: list[Any] = [None] * size

    def rank(number: int) -> None:
        try:
            results[number] = job(ThreadComm(world, number))
        except BaseException as error:
            results[number] = error
            if not isinstance(error, Exception):
                world.barrier.abort()

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def returned(results: list[Any]) -> list[Any]:
    """The results, if nothing was raised."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
