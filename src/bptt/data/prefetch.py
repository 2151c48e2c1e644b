"""Batches read ahead in the background."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from bptt.arguments import size
from bptt.data.batches import check_iterable, is_restorable

_END = object()


class Prefetch:
    """Read batches in a background thread while the model works on earlier batches::

        trainer.fit(bptt.data.Prefetch(data), epochs=10)

    Useful when loading is slow (disk, network, decompression); no gain for arrays already in memory. Python
    code that computes batches shares the interpreter lock with the rest of the program.

    The batches and their order are those of `data`. An exception of `data` is raised when its batch is
    requested. All other attributes are those of `data`: `rng`, `state_dict`, `carries_state`. To resume a run
    in the middle of an epoch, `data` must not share its generator with a layer.

    Parameters
    ----------
    data : iterable of batches
        As for `Trainer.fit`.
    count : int
        Largest number of batches to hold, besides the batch in use.

    Raises
    ------
    TypeError, ValueError
        `data` is no iterable of batches; `count` is not a positive int.
    """

    def __init__(self, data: Iterable[Any], count: int = 2) -> None:
        check_iterable(data, "data")
        self.data = data
        self._count = size(count, "count")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "data":  # not while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self.data, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("data", "_count"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.data, name, value)

    @property
    def restorable(self) -> bool:
        """Whether the data can be put back to where a run stopped."""
        return is_restorable(self.data)

    def __len__(self) -> int:
        if not isinstance(self.data, Sized):
            raise TypeError(f"{type(self.data).__name__} does not say how many batches it has")
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(self._count)
        left = threading.Event()

        def offer(batch: Any, error: BaseException | None = None) -> bool:
            while not left.is_set():
                try:
                    ready.put((batch, error), timeout=0.1)
                    return True
                except queue.Full:
                    pass
            return False

        def read() -> None:
            try:
                for batch in self.data:
                    if not offer(batch):
                        return
                offer(_END)
            except BaseException as error:
                offer(None, error)

        reader = threading.Thread(target=read, name="bptt.data.Prefetch", daemon=True)
        reader.start()
        try:
            while True:
                batch, error = ready.get()
                if error is not None:
                    raise error
                if batch is _END:
                    return
                yield batch
        finally:  # also where the loop was left early: nothing is read behind its back
            left.set()
            reader.join()

    def __repr__(self) -> str:
        return f"Prefetch({self.data!r}, count={self._count})"
