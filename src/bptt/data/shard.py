"""Distribute rows over ranks: of n ranks, rank r has rows r, r + n, r + 2n, ... of every batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import fields
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag
from bptt.data.batches import Batch, check_iterable, is_restorable, parse_batch
from bptt.data.order import check_data, data_state, load_data
from bptt.ranks.communicator import Comm
from bptt.ranks.processes import check_comm

Array = npt.NDArray[Any]


class Shard:
    """Select this rank's rows of batches that all ranks read.

    ::

        from mpi4py import MPI

        data = bptt.data.Shard(bptt.data.Windows(series, steps=50, batch_size=64), MPI.COMM_WORLD)
        bptt.Trainer(model, loss, optimizer, comm=MPI.COMM_WORLD).fit(data)

    Rank r of n has rows r, r + n, r + 2n, ... of each batch. In a stream, these rows never change. If a batch
    has fewer rows than there are ranks, the last ranks have no rows. All ranks have the same number of
    batches, and together they have all rows.

    Parameters
    ----------
    data : iterable of batches
        As for `Trainer.fit`, the same on every rank. If its `state_dict` holds a random order, all ranks use
        the order of the first rank.
    comm : mpi4py.MPI.Comm or None
        Communicator of the ranks. None: all rows, as with one rank. Construct the `Shard` on all ranks.
    batch_first : bool
        Whether batches are (B, T, ...), as for layers with `batch_first`. Leave out `batch_first` for objects
        of `bptt.data`, which always give (T, B, ...).

    Raises
    ------
    TypeError
        `data` is not an iterable of batches, or `comm` is not a communicator. During iteration: an item is
        not a batch.
    ValueError
        During iteration: a sequence has no batch axis, or another array of the batch does not have one entry
        for each row.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = bptt.data.Windows(np.arange(100.0), steps=20, batch_size=4)
    >>> batch = next(iter(bptt.data.Shard(data, comm=None)))  # one rank has all rows
    >>> batch["x"].shape
    (20, 4, 1)
    """

    def __init__(self, data: Iterable[Any], comm: Comm | None, *, batch_first: bool = False) -> None:
        world = check_comm(comm)
        check_iterable(data, "data")
        self.data = data
        self.batch_first = flag(batch_first, "batch_first")
        if self.batch_first and self.time_first:
            raise ValueError(
                f"batch_first must be False for {type(data).__name__}, which gives (T, B, ...); got True. "
                "Fix: leave batch_first out; the Trainer swaps the axes for the model."
            )
        self.rank, self.size = world.rank, world.size
        if self.size > 1:
            self.load_state_dict(world.bcast(self.state_dict()))

    @property
    def carries_state(self) -> bool:
        return bool(getattr(self.data, "carries_state", False))

    @property
    def restorable(self) -> bool:
        """Whether the data can be restored to the position of a saved run."""
        return is_restorable(self.data)

    @property
    def time_first(self) -> bool:
        """Whether the data give (T, B, ...) for all models, also for those with `batch_first`."""
        return bool(getattr(self.data, "time_first", False))

    @property
    def per_step(self) -> bool:
        """Whether the data have a target for every time step."""
        return bool(cast("Any", self.data).per_step)

    @property
    def rng(self) -> Any:
        """The random generator of the data."""
        return cast("Any", self.data).rng

    @rng.setter
    def rng(self, generator: Any) -> None:
        cast("Any", self.data).rng = generator

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the data, and a description of them."""
        return {"data": data_state(self.data)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned.

        Raises
        ------
        ValueError
            `state` is the state of other data.
        """
        check_data(self.data, state["data"], "data")
        load_data(self.data, state["data"], "data")

    def __len__(self) -> int:
        return len(cast("Sized", self.data))

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for item in self.data:
            yield self._part(parse_batch(item, need_target=False))

    def _part(self, batch: Batch) -> dict[str, Array]:
        x = batch.x
        for name in ("x", "lengths", "reset"):
            if isinstance(getattr(batch, name), Mapping):
                raise ValueError(
                    f"{name} must be one array, whose rows are divided among the ranks; got a mapping. "
                    "Fix: leave out Shard and pass different rows on every rank."
                )
        axis = 0 if self.batch_first else 1
        if x.ndim < 2 or (x.ndim == 2 and x.dtype.kind not in "iu"):  # steps of integers are ids
            raise ValueError(
                f"x must have a batch axis, (T, B, ...), whose rows are divided among the ranks; got shape "
                f"{x.shape}. Fix: stack sequences along a batch axis, or leave out Shard and pass different "
                "sequences on every rank."
            )
        part: dict[str, Array] = {}
        for name in (entry.name for entry in fields(batch)):
            array = getattr(batch, name)
            if array is None:
                continue
            row_axis = axis if name != "lengths" and _has_steps(name, array, x) else 0
            if array.ndim <= row_axis or array.shape[row_axis] != x.shape[axis]:
                raise ValueError(
                    f"{name} must have {x.shape[axis]} rows on axis {row_axis}, like x {x.shape}; got shape "
                    f"{array.shape}. Fix: pass Shard(..., batch_first=True) if the batch is the first axis "
                    "of x."
                )
            part[name] = array[(slice(None),) * row_axis + (slice(self.rank, None, self.size),)]
        return part


def _has_steps(name: str, array: Array, x: Array) -> bool:
    """Return whether an array has the axes of time and batch of x.

    An array with only two axes has them if it holds classes, a mask or weights.
    """
    one_per_row = name == "weight" or array.dtype.kind in "iub"
    return array.shape[:2] == x.shape[:2] and (array.ndim > 2 or one_per_row)


def deal(states: Sequence[Any], rank: int, size: int) -> Any:
    """Return the state of one rank's rows, from the states of another number of ranks.

    Parameters
    ----------
    states : sequence of states
        Saved states, in the order of ranks: arrays (layers, B, H) in tuples, or None for all ranks.
    rank, size : int
        Number of the new rank, and number of new ranks.

    Raises
    ------
    ValueError
        The rows were not distributed by `Shard`.
    """
    first = states[0]
    if first is None:
        return None
    if isinstance(first, tuple):
        return tuple(deal(parts, rank, size) for parts in zip(*states, strict=True))
    rows = [state.shape[1] for state in states]
    whole = np.empty((first.shape[0], sum(rows), *first.shape[2:]), first.dtype)
    for owner, state in enumerate(states):
        if whole[:, owner :: len(states)].shape != state.shape:
            raise ValueError(f"rows {rows} of {len(states)} ranks cannot be divided among {size} ranks")
        whole[:, owner :: len(states)] = state
    return np.ascontiguousarray(whole[:, rank::size])
