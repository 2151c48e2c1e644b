"""Data larger than memory: a long series, read one batch at a time, and batches from a function."""

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
    """An array outside memory, such as a dataset of h5py or zarr. Slices are read on demand."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: slice, /) -> Any: ...


class Stream:
    """A series of any length, cut into `batch_size` rows that are read side by side.

    Row b holds the steps from b*n to (b+1)*n - 1, where n = N // batch_size, or (N - ahead) // batch_size
    without a target. A batch is `(x, target)`, copies in the series' dtype. x is (T, B, F), or (T, B) for
    ids. target is (T, B, K), or (T, B) for classes. T = `steps` except in the last batch, which holds the
    rest of the rows. The steps after the last row, fewer than batch_size, are never used as x.

    Each batch is read when it is needed. No other part of a memory map (`numpy.load(path, mmap_mode="r")`) is
    read. If k divides `steps`, `Trainer(truncate=k)` trains as on a single batch of all steps. With
    `truncate=(k1, k2)`, errors stop at the first step of a batch, so `steps` should be much larger than k2.

    Parameters
    ----------
    x : array-like (N,) or (N, F)
        Real numbers: an array, a memory map, or another object with `shape` and a NumPy `dtype`, such as a
        dataset of h5py or zarr. Its slices must be arrays. Integers (N,) are ids for `Embedding`. Other
        numbers (N,) have F = 1.
    target : array-like (N,) or (N, K), optional
        Targets, one for each step of x. Integers (N,) are classes for `CrossEntropy`. Other numbers (N,) have
        K = 1. None: the target is x itself, `ahead` steps later.
    steps, batch_size : int
        Number of time steps per batch, T, and number of rows, B.
    ahead : int
        Number of steps from the input to its target, if `target` is None.

    Raises
    ------
    TypeError
        x or the target does not hold real numbers, or a setting has the wrong type.
    ValueError
        x is not (N,) or (N, F). The target has more or fewer steps than x. x has fewer than batch_size *
        steps steps, or, without a target, fewer than batch_size * steps + ahead. A setting is out of range.
        Both `target` and `ahead` are given. During iteration: a slice has the wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = bptt.data.Stream(np.arange(101.0), steps=10, batch_size=2)
    >>> x, target = next(iter(data))
    >>> len(data), x.shape, target[:3, :, 0].tolist()
    (5, (10, 2, 1), [[1.0, 51.0], [2.0, 52.0], [3.0, 53.0]])
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
                "Fix: cut x and target to the same steps."
            )
        if target is not None and self.ahead != 1:
            raise ValueError(
                f"ahead must be left out if a target is given; got {self.ahead}. "
                f"Fix: shift the target, x[:-{self.ahead}] and target[{self.ahead}:]."
            )
        self._shift = self.ahead if target is None else 0
        need = self.batch_size * self.steps + self._shift
        if count < need:
            sizes = "batch_size * steps" + " + ahead" * (target is None)
            raise ValueError(
                f"x must have at least {sizes} = {need} steps; got {count}. "
                "Fix: pass a smaller batch_size, fewer steps, or a longer series."
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
    """Batches from a function, which is called in every pass.

    A function with the arguments `epoch` and `rng` may draw random numbers, and a resumed run gets the same
    batches: the epoch and the state of `rng` are saved and restored with the training run.

    Parameters
    ----------
    make : callable
        Function that is called at the start of every pass: as `make()` if it needs no arguments, otherwise as
        `make(epoch, rng)`. It must return a new iterable of batches for `Trainer.fit`, for example as a
        generator function. `epoch` counts the passes from 0. `rng` is a numpy.random.Generator.
    carries_state : bool
        Whether each batch continues the rows of the previous batch. Then the Trainer carries the state over.
    length : int, optional
        Number of batches in a pass, for `len` and the progress bar. The number is not checked.
    seed : int, numpy.random.Generator or None
        Random seed of `rng`.

    Attributes
    ----------
    rng : numpy.random.Generator
    epoch : int
        Number of the next pass.

    Raises
    ------
    TypeError
        `make` is not a function, or has other arguments. `carries_state` or `length` has the wrong type.
        During iteration: `make` did not return an iterable of batches.
    ValueError
        `length` is less than 1. During iteration: `make` returned the iterator of the previous pass again.

    Warns
    -----
    UserWarning
        From `Trainer.fit`, if it resumes a run and `make` has no arguments: the random numbers that `make`
        draws cannot be restored.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> def read(epoch, rng):
    ...     for _ in range(2):
    ...         x = rng.standard_normal((20, 4, 3))  # (T, B, F)
    ...         yield x, x.sum(axis=0)
    >>> data = bptt.data.Batches(read, seed=0)
    >>> [target.shape for x, target in data]
    [(4, 3), (4, 3)]
    """

    def __new__(cls, *args: Any, length: int | None = None, **options: Any) -> Batches:
        # Python looks for __len__ in the class, not in the object, so only a subclass can have a length.
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
            once = ", used up after one pass" if hasattr(make, "__next__") else ""
            raise TypeError(
                f"make must be a function that returns a new iterator of batches; got {type(make).__name__}"
                f"{once}. Fix: pass the function without calling it, Batches(read), not Batches(read())."
            )
        self.carries_state = flag(carries_state, "carries_state")
        self.length = None if length is None else size(length, "length")
        self.rng = generator(seed)
        self.epoch = 0
        self._make = make
        if not (takes(make, 0) or takes(make, 2)):
            raise TypeError(
                f"make must have the arguments (epoch, rng), or no arguments; got {inspect.signature(make)}. "
                "Fix: define make(epoch, rng), or pass Batches(lambda: read(folder))."
            )
        self._takes_rng = not takes(make, 0)
        self._last: Iterable[Any] | None = None

    @property
    def restorable(self) -> bool:
        """Whether a resumed run gets the batches of a run that never stopped: `make` takes (epoch, rng)."""
        return self._takes_rng

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch and the state of `rng`."""
        return {"epoch": self.epoch, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned.

        Raises
        ------
        ValueError
            `state` is the state of another kind of generator.
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
                    f"{type(batches).__name__} as in the last pass. Fix: create the iterator inside make."
                )
            self._last = batches
        yield from batches


# Without this, help() shows the open arguments of __new__, which a copy calls without any.
# inspect.signature reads this attribute; mypy does not know it.
_, *_arguments = inspect.signature(Batches.__init__).parameters.values()
Batches.__signature__ = inspect.Signature(_arguments)  # type: ignore[attr-defined]


class _Counted(Batches):
    """`Batches` with a length."""

    def __len__(self) -> int:
        return self.length or 0


class _Series:
    """An array (N,) or (N, `features`), read piece by piece."""

    def __init__(self, values: Any, name: str, features: str) -> None:
        self._name = name
        check_one_series(values, name)
        self._values = values if _is_sliceable(values) else parse_real(values, name)
        self._shape: tuple[int, ...] = tuple(self._values.shape)
        if len(self._shape) not in (1, 2):
            raise ValueError(
                f"{name} must have shape (N,) or (N, {features}); got {self._shape}. Fix: pass one row per "
                "step, one column per value; if the arrays are batches (T, B, F), pass a list to fit instead."
            )
        kind = as_real(self._values[:0], name).dtype.kind  # reads nothing
        self._columns = self._shape[1:] or (() if kind in "iu" else (1,))

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, starts: Sequence[int], steps: int) -> npt.NDArray[Any]:
        """Return a copy (T, B, ...) of `steps` steps from each start."""
        return np.stack([self._piece(start, start + steps) for start in starts], axis=1)

    def _piece(self, start: int, stop: int) -> npt.NDArray[Any]:
        name = f"{self._name}[{start}:{stop}]"
        piece = as_real(self._values[start:stop], name)
        shape = (stop - start, *self._shape[1:])
        if piece.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, because {self._name} has shape {self._shape}; got "
                f"{piece.shape}. Fix: do not change the data while they are read; slices count steps from 0."
            )
        return piece.reshape(stop - start, *self._columns)


def _is_sliceable(values: object) -> bool:
    """Return whether `values` can be read by slices. NumPy arrays go through `as_real`, without a copy."""
    return (
        not isinstance(values, np.ndarray)
        and isinstance(getattr(values, "shape", None), tuple)
        and isinstance(getattr(values, "dtype", None), np.dtype)
        and hasattr(values, "__getitem__")
    )
