"""Read batches in the background."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from bptt.arguments import size
from bptt.data.batches import check_iterable, is_restorable

_END = object()


class Prefetch:
    """Read batches in a background thread while the model processes earlier batches.

    Useful when loading is slow (disk, network, decompression); no gain for arrays already in memory. Python
    code that computes batches shares the interpreter lock with the rest of the program.

    `data` determines the batches and their order. An exception of `data` is raised when its batch is
    requested. All other attributes come from `data`: `rng`, `state_dict`, `carries_state`. To resume a run in
    the middle of an epoch, `data` must not share its generator with a layer.

    Parameters
    ----------
    data : iterable of batches
        As for `Trainer.fit`.
    count : int
        Largest number of batches to hold, besides the batch in use.

    Raises
    ------
    TypeError, ValueError
        `data` is not an iterable of batches, or `count` is not a positive int.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = bptt.data.Windows(np.arange(100.0), steps=20, batch_size=4)
    >>> len(list(bptt.data.Prefetch(data)))
    20
    """

    def __init__(self, data: Iterable[Any], count: int = 2) -> None:
        check_iterable(data, "data")
        self.data = data
        self._count = size(count, "count")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "data":  # copying and unpickling ask before `data` is set
            raise AttributeError(name)
        return getattr(self.data, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("data", "_count"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.data, name, value)

    @property
    def restorable(self) -> bool:
        """Whether the data can be restored to the position of a saved run."""
        return is_restorable(self.data)

    def __len__(self) -> int:
        if not isinstance(self.data, Sized):
            raise TypeError(f"{type(self.data).__name__} has no length, so Prefetch has no length either")
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(self._count)
        stopped = threading.Event()

        def offer(batch: Any, error: BaseException | None = None) -> bool:
            while not stopped.is_set():
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
        finally:  # stop the thread even if the caller leaves the loop early
            stopped.set()
            reader.join()

    def __repr__(self) -> str:
        return f"Prefetch({self.data!r}, count={self._count})"
