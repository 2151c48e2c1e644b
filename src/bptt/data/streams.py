"""Data beyond memory: a long series read a batch at a time, and batches from a function that reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generator, size, takes
from bptt.arrays import as_real
from bptt.data.batches import check_iterable
from bptt.data.order import load_generator
from bptt.data.tables import check_one_series, parse_real


class Sliceable(Protocol):
    """An array that may lie elsewhere, such as a dataset of h5py or zarr: slices of it are read on demand."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: slice, /) -> Any: ...


class Stream:
    """A series of any length, cut into `batch_size` rows that are read side by side.

    Row b holds the steps from b*n to (b+1)*n - 1, where n = N // batch_size, or (N - ahead) // batch_size
    without a target. A batch is `(x, target)`, copies of the series' dtype: x (T, B, F), or (T, B) of ids;
    target (T, B, K), or (T, B) of classes. T = `steps` except in the last batch, which holds the rest
    of the rows. The steps after the last row, fewer than batch_size, are never used as x.

    Each batch is read when it is needed. Nothing else of a memory map (`numpy.load(path, mmap_mode="r")`) is
    read. If k divides `steps`, `Trainer(truncate=k)` trains as on a single batch of all steps. With
    `truncate=(k1, k2)`, errors stop at the first step of a batch, so let `steps` be many times k2.

    Parameters
    ----------
    x : array-like (N,) or (N, F)
        Real numbers: an array, a memory map, or anything that has `shape` and a NumPy `dtype` and gives
        arrays for slices, as datasets of h5py and zarr do. (N,) of integers are ids, as `Embedding` reads
        them; other numbers are F = 1.
    target : array-like (N,) or (N, K), optional
        Likewise, one for each step of x: (N,) of integers are classes, as `CrossEntropy` reads them; other
        numbers are K = 1. None: x itself, `ahead` steps later.
    steps, batch_size : int
        T and B.
    ahead : int
        How many steps ahead the target lies, if x is its own target.

    Raises
    ------
    TypeError
        x or the target does not hold real numbers, or a setting has the wrong type.
    ValueError
        x is not (N,) or (N, F). The target has more or fewer steps than x. x has fewer than batch_size *
        steps steps, or, without a target, fewer than batch_size * steps + ahead. A setting is out of range.
        Both `target` and `ahead` are given. During iteration: a slice has the wrong shape.
    """

    carries_state = True
    time_first = True
    per_step = True

    def __init__(
        self,
        x: npt.ArrayLike | Sliceable,
        target: npt.ArrayLike | Sliceable | None = None,
        *,
        steps: int,
        batch_size: int = 1,
        ahead: int = 1,
    ) -> None:
        self._x = _Series(x, "x", "F")
        self._target = self._x if target is None else _Series(target, "target", "K")
        self.steps = size(steps, "steps")
        self.batch_size = size(batch_size, "batch_size")
        self.ahead = size(ahead, "ahead")
        count = len(self._x)
        if len(self._target) != count:
            raise ValueError(
                f"target must have {count} steps, as many as x; got {len(self._target)}. "
                "Fix: cut both to the same steps."
            )
        if target is not None and self.ahead != 1:
            raise ValueError(
                f"ahead must be left out where a target is given; got {self.ahead}. "
                f"Fix: shift the target, x[:-{self.ahead}] and target[{self.ahead}:]."
            )
        self._shift = self.ahead if target is None else 0
        need = self.batch_size * self.steps + self._shift
        if count < need:
            sizes = "batch_size * steps" + " + ahead" * (target is None)
            raise ValueError(
                f"x must have at least {sizes} = {need} steps; got {count}. "
                "Fix: take fewer rows or steps, or a longer series."
            )
        self._row = (count - self._shift) // self.batch_size

    def __len__(self) -> int:
        return -(-self._row // self.steps)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        for start in range(0, self._row, self.steps):
            steps = min(self.steps, self._row - start)
            starts = [row * self._row + start for row in range(self.batch_size)]
            targets = [begin + self._shift for begin in starts]
            yield self._x.read(starts, steps), self._target.read(targets, steps)


class Batches:
    """The batches that a function gives, from a new call in every pass.

    ::

        def read(epoch, rng):
            for i in rng.permutation(len(paths)):
                piece = np.load(paths[i], mmap_mode="r")  # (T + 1, B, F)
                yield piece[:-1], piece[1:]

        trainer.fit(bptt.data.Batches(read, seed=0), epochs=3)

    A function with these two arguments can draw random numbers and be resumed: the epoch and the state of
    `rng` are saved with the training run and put back.

    Parameters
    ----------
    make : callable
        Called at the start of every pass: as `make()` if it needs no arguments, else as `make(epoch, rng)`.
        It returns a new iterator of batches, as `Trainer.fit` takes them. A generator function does, or a
        function that returns a list. `epoch` counts the passes from 0; `rng` is a numpy.random.Generator.
    carries_state : bool
        Each batch continues the rows of the batch before, so that the Trainer carries the state over.
    length : int, optional
        Number of batches in a pass: what `len` and the progress bar show. It is not checked.
    seed : int, numpy.random.Generator or None
        Of `rng`.

    Attributes
    ----------
    rng : numpy.random.Generator
    epoch : int
        Number of the next pass.

    Raises
    ------
    TypeError
        `make` is no function but what a function returned, or takes other arguments; `carries_state` or
        `length` of the wrong kind. While it is iterated: `make` returned no iterable of batches.
    ValueError
        `length` is less than 1. While it is iterated: `make` returned the iterator of the last pass again.

    Warns
    -----
    UserWarning
        From `Trainer.fit`, where it resumes a run and `make` takes no arguments: random numbers that it draws
        cannot be put back.
    """

    def __new__(cls, *args: Any, length: int | None = None, **options: Any) -> Batches:
        # Whoever asks whether there is a len looks at the class, not at the object.
        return super().__new__(_Counted if cls is Batches and length is not None else cls)

    def __init__(
        self,
        make: Callable[..., Iterable[Any]],
        *,
        carries_state: bool = False,
        length: int | None = None,
        seed: Seed = None,
    ) -> None:
        if not callable(make):
            used = ", used up after one pass" if hasattr(make, "__next__") else ""
            raise TypeError(
                f"make must be a function that returns a new iterator of batches; got {type(make).__name__}"
                f"{used}. Fix: pass the function without calling it, Batches(read), not Batches(read())."
            )
        self.carries_state = flag(carries_state, "carries_state")
        self.length = None if length is None else size(length, "length")
        self.rng = generator(seed)
        self.epoch = 0
        self._make = make
        if not (takes(make, 0) or takes(make, 2)):
            raise TypeError(
                f"make must take the arguments (epoch, rng), or none; got {inspect.signature(make)}. "
                "Fix: def make(epoch, rng), or Batches(lambda: read(folder))."
            )
        self._takes_rng = not takes(make, 0)
        self._last: Iterable[Any] | None = None

    @property
    def restorable(self) -> bool:
        """Whether a resumed run sees the batches of a run that never stopped: `make` takes (epoch, rng)."""
        return self._takes_rng

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and where its random numbers are drawn from."""
        return {"epoch": self.epoch, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises
        ------
        ValueError
            The state of another kind of generator.
        """
        load_generator(self.rng, state["rng"])
        self.epoch = int(state["epoch"])

    def __iter__(self) -> Iterator[Any]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        batches = self._make(epoch, self.rng) if self._takes_rng else self._make()
        try:
            check_iterable(batches, "make()")
        except TypeError:
            raise TypeError(
                f"make must return an iterable of batches; got {type(batches).__name__}. "
                "Fix: yield each batch, or return a list of them."
            ) from None
        if iter(batches) is batches:
            if batches is self._last:
                raise ValueError(
                    "make must return a new iterator in every pass; got the same "
                    f"{type(batches).__name__} again, which the last pass read. Fix: create it inside make."
                )
            self._last = batches
        yield from batches


class _Counted(Batches):
    """Batches that say how many they are."""

    def __len__(self) -> int:
        return self.length or 0


class _Series:
    """An array (N,) or (N, `features`), read a piece at a time."""

    def __init__(self, values: Any, name: str, features: str) -> None:
        self._name = name
        check_one_series(values, name)
        self._values = values if _is_sliceable(values) else parse_real(values, name)
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
