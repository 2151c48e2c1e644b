"""Batches from arrays whose first axis is the sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generator, size
from bptt.data.shuffled import Shuffled
from bptt.data.tables import is_list_of_arrays, parse_real
from bptt.data.weights import parse_weights
from bptt.layers.passes.ragged import parse_lengths

Numbers = npt.NDArray[Any]


class Arrays(Shuffled):
    """Batches of N sequences of equal length, or padded to equal length.

    A batch is `(x, target)` or `(x, target, lengths)`. With a mask or weights, it is a dict. x is (T, B, F),
    or (T, B) for ids. The Trainer swaps the axes for models with `batch_first=True`. The last
    batch may have fewer rows. Only one batch at a time is copied, so x may be a memory map.

    Parameters
    ----------
    x : array-like (N, T, F) or (N, T)
        N sequences of T steps. Integers (N, T) are ids for `Embedding`. Other numbers (N, T) have F = 1.
    y : array-like
        Targets. One per sequence: integers (N,) are classes for `CrossEntropy`; other numbers are (N,) for
        K = 1, or (N, K). One per step: (N, T, K), or integers (N, T), which are classes.
    batch_size : int
        Number of sequences per batch, B.
    lengths : array-like of int (N,), optional
        Number of valid steps of each sequence, 0 to T. Later steps are padding.
    mask : array-like of bool, optional
        False for targets that do not count: (N,) for targets per sequence, (N, T) for targets per step.
    weight : array-like of float, optional
        Weights of the targets in the loss, at least 0, in the shape of the mask.
    per_step : bool, optional
        Whether there is one target per step. Default: True if y has three axes, or is (N, T) integers. Pass a
        bool if K = T. With True, other numbers (N, T) have K = 1.
    shuffle : bool
        Whether every pass has a new order of the sequences.
    seed : int, numpy.random.Generator or None
        Random seed of the shuffling.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays by the keys of the batches, with the sequences on the first axis.
    count : int
        Number of sequences, N.

    Raises
    ------
    TypeError, ValueError
        An array does not hold real numbers, or has another number of axes, sequences or steps. There is no
        sequence. A setting has the wrong type or is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x, y = np.ones((100, 20, 3)), np.zeros(100, int)  # (N, T, F) and (N,)
    >>> data = bptt.data.Arrays(x, y, batch_size=32, shuffle=True, seed=0)
    >>> x_batch, target = next(iter(data))
    >>> len(data), x_batch.shape, target.shape
    (4, (20, 32, 3), (32,))
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        batch_size: int = 32,
        lengths: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
        per_step: bool | None = None,
        shuffle: bool = False,
        seed: Seed = None,
    ) -> None:
        self.batch_size = size(batch_size, "batch_size")
        self.shuffle = flag(shuffle, "shuffle")
        self.rng = generator(seed)
        rows = _parse_x(x)
        N, T = rows.shape[:2]
        target, self.per_step = _parse_y(y, N, T, per_step)
        self.arrays = {"x": rows, "target": target}
        if lengths is not None:
            self.arrays["lengths"] = parse_lengths(lengths, T, N)
        if mask is not None:
            self.arrays["mask"] = self._one_per_target(mask, "mask", N, T)
            if self.arrays["mask"].dtype != np.bool_:
                raise TypeError(
                    f"mask must be an array of bool; got {self.arrays['mask'].dtype}. "
                    "Fix: pass mask.astype(bool)."
                )
        if weight is not None:
            self.arrays["weight"] = parse_weights(weight, "weight", (N, T) if self.per_step else (N,))

    @property
    def count(self) -> int:
        """Number of sequences, N."""
        return len(self.arrays["x"])

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self.rng.permutation(self.count) if self.shuffle else np.arange(self.count)
        for start in range(0, self.count, self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = {name: self._batch(name, array[rows]) for name, array in self.arrays.items()}
            yield tuple(batch.values()) if set(batch) <= {"x", "target", "lengths"} else batch

    def _batch(self, name: str, rows: Numbers) -> Numbers:
        """Return the rows of a batch, with the time axis first if the array has one."""
        has_steps = name == "x" or (name != "lengths" and self.per_step)
        return rows.swapaxes(0, 1) if has_steps else rows

    def _one_per_target(self, values: npt.ArrayLike, name: str, N: int, T: int) -> Numbers:
        array, expected = parse_real(values, name), (N, T) if self.per_step else (N,)
        if array.shape != expected:
            targets = "step" if self.per_step else "sequence"
            raise ValueError(
                f"{name} must have shape {expected}, one entry for each target, because there is one target "
                f"per {targets}; got {array.shape}. Fix: pass per_step={not self.per_step} if that is wrong."
            )
        return array

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())
        return f"Arrays({shapes}, in batches of {self.batch_size})"


def _parse_x(x: npt.ArrayLike) -> Numbers:
    sequences: Any = x
    if is_list_of_arrays(x) and len({np.shape(row)[:1] for row in map(np.asarray, sequences)}) > 1:
        raise ValueError(
            "x must hold sequences of equal length; got a list with different lengths. Fix: use "
            "bptt.data.Ragged(x, y, batch_size=...), or x, lengths = bptt.data.pad(x, batch_first=True)."
        )
    array = parse_real(x, "x")
    if array.ndim not in (2, 3):
        raise ValueError(
            f"x must have shape (N, T, F), or (N, T) for ids; got {array.shape}. Fix: pass one row of values "
            "for each step of each sequence; for one long series, use Windows or Stream."
        )
    if 0 in array.shape:
        raise ValueError(
            f"x must hold at least one sequence, step and value; got shape {array.shape}. "
            "Fix: pass arrays that are not empty."
        )
    return array if array.ndim == 3 or array.dtype.kind in "iu" else array[:, :, None]


def _parse_y(y: npt.ArrayLike, N: int, T: int, per_step: bool | None) -> tuple[Numbers, bool]:
    """Return the targets, and whether there is one for each step."""
    array = parse_real(y, "y")
    classes = array.dtype.kind in "iu"
    if per_step is None:
        per_step = array.ndim == 3 or (classes and array.shape == (N, T))
    lead = (N, T) if flag(per_step, "per_step") else (N,)
    if array.shape[: len(lead)] != lead or not len(lead) <= array.ndim <= len(lead) + 1 or 0 in array.shape:
        expected = "(N, T, K) or (N, T)" if per_step else "(N,) or (N, K)"
        swapped = per_step and array.shape[:2] == (T, N)
        fix = (
            "pass y.swapaxes(0, 1)"
            if swapped
            else f"pass one target for each {'step' * per_step or 'sequence'}"
        )
        raise ValueError(
            f"y must have shape {expected} with {' and '.join(map('{} = {}'.format, 'NT', lead))}; got "
            f"{array.shape}. Fix: {fix}."
        )
    if array.ndim == len(lead) and not classes:
        array = array[..., None]
    return array, per_step
