"""Parse the batches that users pass, and cut them into windows of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_real
from bptt.layers import Embedding, Module, Recurrent
from bptt.layers.containers.container import iter_layers
from bptt.layers.passes.ragged import parse_lengths
from bptt.losses.rows import row_mask

_KEYS = ("x", "target", "mask", "weight", "lengths", "reset")


@dataclass(frozen=True)
class Batch:
    """One batch, or one window of a batch: arrays in the model's order of axes."""

    x: npt.NDArray[Any]
    target: npt.NDArray[Any] | None = None
    mask: npt.NDArray[Any] | None = None
    weight: npt.NDArray[Any] | None = None
    lengths: npt.NDArray[Any] | None = None
    reset: npt.NDArray[Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a model's call besides x and the state."""
        options = {"lengths": self.lengths, "reset": self.reset}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class Window:
    """A window of a batch, for one forward and backward pass.

    Attributes
    ----------
    read : Batch
        Time steps `start` to `stop` of the batch, which the model reads.
    counted : Batch
        The last part of `read`, whose losses count.
    context : int
        Number of steps of `read` before `counted`. Errors are backpropagated into these steps.
    fraction : float
        Fraction of the batch that is processed after this window: 1.0 for the last window.
    generators_before : Any
        For `Run`: the generators' states before the batch was drawn.
    """

    read: Batch
    counted: Batch
    start: int
    stop: int
    context: int
    fraction: float
    generators_before: Any = None


class ModelAxes:
    """The time axis of a model's inputs, and the rows of its outputs that count.

    Parameters
    ----------
    model : Module

    Attributes
    ----------
    forward_only : bool
        Whether no layer reads from the end, so that the model's state may be carried forward.
    batch_first : bool
        Whether the model reads batches (B, T, ...).
    """

    def __init__(self, model: Module) -> None:
        parts = list(iter_layers(model))
        recurrent = [part for part in parts if isinstance(part, Recurrent)]
        self.forward_only = not any(part.bidirectional for part in recurrent)
        self.batch_first = any(part.batch_first for part in recurrent)
        self._features = 0 if isinstance(parts[0], Embedding) else 1

    def refuse_bidirectional(self, what: str) -> None:
        """Raise ValueError for a bidirectional model: `what` needs a state that can be carried forward."""
        if not self.forward_only:
            raise ValueError(
                f"{what} needs a model that reads forward only; got a bidirectional layer, whose reverse "
                f"direction starts at the end. Fix: pass bidirectional=False, or leave {what} out and pass "
                "whole sequences."
            )

    def time_axis(self, x: npt.NDArray[Any]) -> int:
        """Return 1 for a batch (B, T, ...), otherwise 0: an unbatched sequence has its time axis first."""
        return 1 if self.batch_first and self._batched(x) else 0

    def tokens(self, batch: Batch) -> int:
        """Return the number of time steps times rows, or the sum of the lengths."""
        if batch.lengths is not None:
            return int(np.sum(batch.lengths))
        return math.prod(self._lead(batch.x))

    def per_step(self, batch: Batch, y: npt.NDArray[Any]) -> bool:
        """Return whether the model's output `y` has one row per time step, not one per sequence."""
        return y.shape[:-1] == self._lead(batch.x)

    def mask(self, batch: Batch, y: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Return a mask of the rows of the model's output `y` that count; None if all rows count.

        Time steps after the end of a row, rows of length 0, and masked rows do not count.
        """
        return self.counted(batch, per_step=self.per_step(batch, y))

    def counted(self, batch: Batch, *, per_step: bool) -> npt.NDArray[Any] | None:
        """Return the mask of rows that count, for outputs with one row per time step or per sequence."""
        if batch.lengths is None or not self._batched(batch.x):
            return batch.mask
        rows: tuple[int, ...] = self._lead(batch.x)
        axis = self.time_axis(batch.x)
        if per_step:
            valid = np.arange(rows[axis])[:, None] < batch.lengths
            valid = valid.T if axis == 1 else valid
        else:
            rows = (rows[1 - axis],)
            valid = np.asarray(batch.lengths) > 0
            if valid.all():  # the loss is faster without a mask
                return batch.mask
        return valid if batch.mask is None else valid & row_mask(batch.mask, rows).reshape(rows)

    def rows(self, batch: Batch, *, per_step: bool) -> tuple[int, ...]:
        """Return the shape of the model's output without its last axis."""
        lead = self._lead(batch.x)
        if per_step:
            return lead
        return (lead[1 - self.time_axis(batch.x)],) if self._batched(batch.x) else ()

    def with_batch_first(self, batch: Batch, *, per_step: bool) -> Batch:
        """Return views (B, T, ...) of a batch (T, B, ...). `per_step`: the target has a time axis, too."""

        def swapped(array: npt.NDArray[Any] | None, swap: bool = True) -> npt.NDArray[Any] | None:
            return array.swapaxes(0, 1) if swap and array is not None else array

        return Batch(
            x=batch.x.swapaxes(0, 1),
            target=swapped(batch.target, per_step),
            mask=swapped(batch.mask, per_step),
            weight=swapped(batch.weight, per_step),
            lengths=batch.lengths,
            reset=swapped(batch.reset),
        )

    def _lead(self, x: npt.NDArray[Any]) -> tuple[int, ...]:
        """Return the sizes of the axes of time and batch."""
        return x.shape[: x.ndim - self._features]

    def _batched(self, x: npt.NDArray[Any]) -> bool:
        return len(self._lead(x)) == 2

    def windows(
        self, batch: Batch, k1: int | None, k2: int | None = None, *, padding: bool = False
    ) -> Iterator[Window]:
        """Cut a batch into windows of `k1` time steps. The last window may be shorter. None: no cut.

        Windows after the end of every row are left out, unless `padding` is True. Ranks need `padding` for an
        equal number of windows if their longest rows differ. With `k2` above `k1`, a window starts `k2` steps
        before its end, or slightly earlier: at the end of an earlier window, where the state is known.

        Raises
        ------
        ValueError
            The batch has more than one window, and its target, mask or weight has no time axis.
        """
        axis = self.time_axis(batch.x)
        T = batch.x.shape[axis] if batch.x.ndim else 1  # x is a number: the model raises the error
        lengths, longest = batch.lengths, T
        if lengths is not None and self._batched(batch.x):
            lengths = parse_lengths(lengths, T, batch.x.shape[1 - axis])
            longest = T if padding else int(np.max(lengths, initial=1))
        over_time = {
            "target": batch.target,
            "mask": batch.mask,
            "weight": batch.weight,
            "reset": batch.reset,
        }
        without = [
            (name, array)
            for name, array in over_time.items()
            if array is not None and (array.ndim <= axis or array.shape[axis] != T)
        ]
        if k1 is None or k1 >= (longest if without else T):
            yield Window(batch, batch, 0, T, 0, 1.0)
            return
        if without:
            name, array = without[0]
            raise ValueError(
                f"{name} must have {T} steps on axis {axis}, like x, to be cut into windows of {k1}; "
                f"got shape {array.shape}. Fix: leave truncate out, or pass a {name} for every step."
            )

        def part(begin: int, end: int) -> Batch:
            cut = (slice(None),) * axis + (slice(begin, end),)
            parts = {name: None if array is None else array[cut] for name, array in over_time.items()}
            part_lengths = None if lengths is None else np.clip(lengths - begin, 0, end - begin)
            return Batch(batch.x[cut], lengths=part_lengths, **parts)

        for start in range(0, longest, k1):
            stop = min(start + k1, T)
            begin = start
            if k2 is not None and k2 > k1:
                begin = min(start, max(0, stop - k2) // k1 * k1)
            counted = part(start, stop)
            read = part(begin, stop) if begin < start else counted
            yield Window(read, counted, begin, stop, start - begin, 1.0 if stop >= longest else stop / T)

    def after(self, y: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Return a view of the outputs whose losses count."""
        if window.context == 0:
            return y
        return y[(slice(None),) * self.time_axis(window.read.x) + (slice(window.context, None),)]


def check_iterable(data: Any, name: str, passes: int = 1) -> None:
    """Raise TypeError unless `data` can be iterated `passes` times and may give batches.

    An array or a mapping can be iterated, too, but gives its rows or its keys instead of batches.
    """
    expected = f"{name} must be an iterable of batches"
    iterable = hasattr(data, "__iter__") or hasattr(data, "__getitem__")
    if not iterable or hasattr(data, "__array__") or isinstance(data, (str, bytes, Mapping)):
        raise TypeError(f"{expected}; got one {type(data).__name__}. Fix: pass a list, {name}=[batch].")
    if passes > 1 and iter(data) is data:
        raise TypeError(
            f"{expected}, once per epoch; got {type(data).__name__}, used up after one epoch. "
            "Fix: pass a list of batches, or an object whose __iter__ starts again."
        )


def batch_count(data: Any) -> int | None:
    """Return the number of batches in `data`; None if `data` have no length."""
    try:
        return len(data)
    except TypeError:  # there is no __len__, or it wraps data that have no length
        return None


def is_restorable(data: Any) -> bool:
    """Return whether a resumed run gets the same batches as a run that never stopped.

    True for lists, for data that save their state, and for the classes of `bptt.data`.
    """
    restorable = getattr(data, "restorable", None)
    if restorable is not None:
        return bool(restorable)
    known = ("state_dict", "rng", "time_first")
    return isinstance(data, Sequence) or any(hasattr(data, name) for name in known)


def parse_batch(item: object, *, need_target: bool) -> Batch:
    """Make a batch from an item of the data.

    The item is `(x, target)`, `(x, target, lengths)` or a mapping with the keys x, target, mask, weight,
    lengths and reset. Without `need_target`, the item may also be x alone.

    Raises
    ------
    TypeError, ValueError
        The item has another form, or a key is unknown or missing.
    """
    if isinstance(item, Mapping):
        arrays = dict(item)
    elif isinstance(item, (tuple, list)) and len(item) in (2, 3):
        arrays = dict(zip(("x", "target", "lengths"), item, strict=False))
    elif not need_target and not isinstance(item, (tuple, list)):
        arrays = {"x": item}
    else:
        actual = (
            f"{type(item).__name__} of {len(item)}"
            if isinstance(item, (tuple, list))
            else type(item).__name__
        )
        raise TypeError(
            f"data must give batches (x, target) or dicts with x, target and mask; got a {actual}. "
            "Fix: pass bptt.data.Arrays(x, target), or wrap the arrays of one batch, [(x, target)]."
        )
    for name in arrays:
        if name not in _KEYS:
            raise ValueError(
                f"a batch must hold only {', '.join(_KEYS)}; got {name!r}. Fix: rename {name!r} or leave it "
                "out."
            )
    missing = [name for name in ("x", "target")[: 1 + need_target] if arrays.get(name) is None]
    if missing:
        raise ValueError(
            f"a batch must hold {missing[0]!r}; got {sorted(map(str, arrays))}. Fix: add {missing[0]!r}."
        )
    return Batch(**{name: as_real(arrays[name], name) for name in _KEYS if arrays.get(name) is not None})
