"""Data beyond memory: a long series read a batch at a time, and batches from a function that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag, size
from bptt.arrays import as_real
from bptt.train.batches import check_iterable


class Sliceable(Protocol):
    """An array that may lie elsewhere, such as a dataset of h5py or zarr: slices of it are read on demand."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: slice, /) -> Any: ...


class Stream:
    """A series of any length, cut into `batch_size` rows that are read side by side.

    Row b holds the steps from b*n to (b+1)*n - 1, where n = N // batch_size, or (N - horizon) // batch_size
    without a target. A batch is `(x, target)`, copies of the series' dtype: x (T, B, F), or (T, B) of ids;
    target (T, B, K), or (T, B) of classes. T = `steps` except in the last, which holds what is left of the
    rows. The steps beyond the last row, fewer than batch_size, are never given as x.

    One batch at a time is read, when it is asked for: of a memory map (`numpy.load(path, mmap_mode="r")`)
    nothing else is touched. Where k divides `steps`, `Trainer(truncate=k)` trains as on a single batch of all
    steps. With `truncate=(every, back)` no error goes back beyond its batch's first step: let `steps` be many
    times `back`.

    Parameters
    ----------
    x : array-like (N,) or (N, F)
        Real numbers: an array, a memory map, or anything that has `shape` and a NumPy `dtype` and gives
        arrays for slices, as datasets of h5py and zarr do. (N,) of integers are ids, as `Embedding` reads
        them; other numbers are F = 1.
    target : array-like (N,) or (N, K), optional
        Likewise, one for each step of x: (N,) of integers are classes, as `CrossEntropy` reads them; other
        numbers are K = 1. None: x itself, `horizon` steps later.
    steps, batch_size : int
        T and B.
    horizon : int
        How far ahead the target lies, where it is x.

    Raises
    ------
    TypeError
        Not real numbers; a setting of the wrong kind.
    ValueError
        Not (N,) or (N, F); a target for more or fewer steps than x has; fewer than batch_size * steps steps,
        or, without a target, than batch_size * steps + horizon; a setting out of range; a horizon for a
        given target. While it is iterated: a slice that has not the shape it should have.
    """

    carries_state = True

    def __init__(
        self,
        x: npt.ArrayLike | Sliceable,
        target: npt.ArrayLike | Sliceable | None = None,
        *,
        steps: int,
        batch_size: int = 1,
        horizon: int = 1,
    ) -> None:
        self._x = _Series(x, "x", "F")
        self._target = self._x if target is None else _Series(target, "target", "K")
        self.steps = size(steps, "steps")
        self.batch_size = size(batch_size, "batch_size")
        self.horizon = size(horizon, "horizon")
        count = len(self._x)
        if len(self._target) != count:
            raise ValueError(
                f"target must have {count} steps, as many as x; got {len(self._target)}. "
                "Fix: cut both to the same steps."
            )
        if target is not None and self.horizon != 1:
            raise ValueError(
                f"horizon must be left out where a target is given; got {self.horizon}. "
                f"Fix: shift the target, x[:-{self.horizon}] and target[{self.horizon}:]."
            )
        self._ahead = self.horizon if target is None else 0
        need = self.batch_size * self.steps + self._ahead
        if count < need:
            sizes = "batch_size * steps" + " + horizon" * (target is None)
            raise ValueError(
                f"x must have at least {sizes} = {need} steps; got {count}. "
                "Fix: take fewer rows or steps, or a longer series."
            )
        self._row = (count - self._ahead) // self.batch_size

    def __len__(self) -> int:
        return -(-self._row // self.steps)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        for start in range(0, self._row, self.steps):
            steps = min(self.steps, self._row - start)
            starts = [row * self._row + start for row in range(self.batch_size)]
            ahead = [begin + self._ahead for begin in starts]
            yield self._x.read(starts, steps), self._target.read(ahead, steps)


class Batches:
    """The batches that a function gives: anew in every pass, whatever they are read from.

    ::

        def read():
            for path in paths:
                piece = np.load(path, mmap_mode="r")  # (T + 1, B, F)
                yield piece[:-1], piece[1:]

        trainer.fit(bptt.data.Batches(read, carries_state=True), epochs=3)

    Parameters
    ----------
    make : callable
        Called without arguments at the start of every pass, it returns a new iterator of batches, as
        `Trainer.fit` takes them: a generator function does, or one that returns a list. With arguments:
        `lambda: read(folder)`.
    carries_state : bool
        Each batch continues the rows of the one before, so that the Trainer hands the state on.
    length : int, optional
        How many batches there are in a pass: what `len` and the progress bar show. It is not checked.

    Raises
    ------
    TypeError
        `make` is no function but what a function returned; `carries_state` or `length` of the wrong kind.
        While it is iterated: `make` returned no iterable of batches.
    ValueError
        `length` is less than 1. While it is iterated: `make` returned the iterator of the last pass again.
    """

    def __new__(cls, *args: Any, length: int | None = None, **options: Any) -> Batches:
        # Whoever asks whether there is a len looks at the class, not at the object.
        return super().__new__(_Counted if cls is Batches and length is not None else cls)

    def __init__(
        self,
        make: Callable[[], Iterable[Any]],
        *,
        carries_state: bool = False,
        length: int | None = None,
    ) -> None:
        if not callable(make):
            used = ", used up after one pass" if hasattr(make, "__next__") else ""
            raise TypeError(
                f"make must be a function that returns a new iterator of batches; got {type(make).__name__}"
                f"{used}. Fix: pass the function without calling it, Batches(read), not Batches(read())."
            )
        self.carries_state = flag(carries_state, "carries_state")
        self.length = None if length is None else size(length, "length")
        self._make = make
        self._last: Iterable[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        made = self._make()
        try:
            check_iterable(made, "make()")
        except TypeError:
            raise TypeError(
                f"make must return an iterable of batches; got {type(made).__name__}. "
                "Fix: yield each batch, or return a list of them."
            ) from None
        if iter(made) is made:
            if made is self._last:
                raise ValueError(
                    "make must return a new iterator in every pass; got the same "
                    f"{type(made).__name__} again, which the last pass read. Fix: create it inside make."
                )
            self._last = made
        yield from made


class _Counted(Batches):
    """Batches that say how many they are."""

    def __len__(self) -> int:
        return self.length or 0


class _Series:
    """An array (N,) or (N, `features`), read a piece at a time."""

    def __init__(self, values: Any, name: str, features: str) -> None:
        self._name = name
        self._values = values if _is_sliceable(values) else as_real(values, name)
        self._shape: tuple[int, ...] = tuple(self._values.shape)
        if len(self._shape) not in (1, 2):
            raise ValueError(
                f"{name} must have shape (N,) or (N, {features}); got {self._shape}. Fix: one row a step, "
                "one column per value; arrays (T, B, F) are batches already, and go into a list."
            )
        kind = as_real(self._values[:0], name).dtype.kind  # reads nothing
        self._columns = self._shape[1:] or (() if kind in "iu" else (1,))

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, starts: Sequence[int], steps: int) -> npt.NDArray[Any]:
        """A copy (T, B, ...): `steps` steps from each start."""
        return np.stack([self._piece(start, start + steps) for start in starts], axis=1)

    def _piece(self, start: int, stop: int) -> npt.NDArray[Any]:
        name = f"{self._name}[{start}:{stop}]"
        piece = as_real(self._values[start:stop], name)
        shape = (stop - start, *self._shape[1:])
        if piece.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, {self._name} having {self._shape}; got {piece.shape}. "
                "Fix: leave the data as they are while they are read; slices count steps from 0."
            )
        return piece.reshape(stop - start, *self._columns)


def _is_sliceable(values: object) -> bool:
    """Whether it may be kept as it is and read by slices. NumPy's own arrays go through as_real, uncopied."""
    return (
        not isinstance(values, np.ndarray)
        and isinstance(getattr(values, "shape", None), tuple)
        and isinstance(getattr(values, "dtype", None), np.dtype)
        and hasattr(values, "__getitem__")
    )
