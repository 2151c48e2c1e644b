"""Reading batches as users hand them over, and cutting them into windows of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_real
from bptt.layers import Embedding, Module, Recurrent
from bptt.layers.passes.ragged import parse_lengths
from bptt.layers.sequential import iter_layers
from bptt.losses.loss import row_mask

_KEYS = ("x", "target", "mask", "lengths", "reset")


@dataclass(frozen=True)
class Batch:
    """One batch, or one window of it: arrays in the order of axes that the model reads."""

    x: npt.NDArray[Any]
    target: npt.NDArray[Any] | None = None
    mask: npt.NDArray[Any] | None = None
    lengths: npt.NDArray[Any] | None = None
    reset: npt.NDArray[Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What a model's call takes besides x and state."""
        given = {"lengths": self.lengths, "reset": self.reset}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Window:
    """What one update reads.

    Attributes
    ----------
    read : Batch
        What the model reads: steps `start` to `stop` of the whole batch.
    counted : Batch
        Its last part, whose losses count.
    context : int
        Steps of `read` before `counted`: errors may go back into them.
    fraction : float
        Fraction of the batch that is done after this window: 1.0 for the batch's last window.
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
    """Where a model's inputs have their time axis, and which rows of its outputs count.

    Parameters
    ----------
    model : Module

    Attributes
    ----------
    forward_only : bool
        No layer reads from the end, so the model's state may be carried forward.
    batch_first : bool
        The model reads batches (B, T, ...).
    """

    def __init__(self, model: Module) -> None:
        parts = list(iter_layers(model))
        recurrent = [part for part in parts if isinstance(part, Recurrent)]
        self.forward_only = not any(part.bidirectional for part in recurrent)
        self.batch_first = any(part.batch_first for part in recurrent)
        self._features = 0 if isinstance(parts[0], Embedding) else 1

    def refuse_bidirectional(self, what: str) -> None:
        """Raise ValueError where a layer reads from the end: `what` needs a state that can be carried on."""
        if not self.forward_only:
            raise ValueError(
                f"{what} needs a model that reads forward only; got a bidirectional layer, whose reverse "
                "direction starts at the end. Fix: bidirectional=False, or whole sequences without it."
            )

    def time_axis(self, x: npt.NDArray[Any]) -> int:
        """0, or 1 for a batch (B, T, ...); an unbatched sequence has its time axis first."""
        return 1 if self.batch_first and self._batched(x) else 0

    def tokens(self, batch: Batch) -> int:
        """Time steps times rows, or the sum of the lengths."""
        if batch.lengths is not None:
            return int(np.sum(batch.lengths))
        return math.prod(self._lead(batch.x))

    def per_step(self, batch: Batch, y: npt.NDArray[Any]) -> bool:
        """Whether the model gave one row per time step for this batch, rather than one per sequence."""
        return y.shape[:-1] == self._lead(batch.x)

    def mask(self, batch: Batch, y: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """The rows of the model's output `y` that count; None: all of them.

        Time steps after a row's end do not count. Nor do rows of length 0, and rows that the batch's own mask
        leaves out.
        """
        return self._mask(batch, self.per_step(batch, y))

    def _mask(self, batch: Batch, per_step: bool) -> npt.NDArray[Any] | None:
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
            if valid.all():  # so that the loss need not look at a mask
                return batch.mask
        return valid if batch.mask is None else valid & row_mask(batch.mask, rows).reshape(rows)

    def count(self, batch: Batch, *, per_step: bool) -> int:
        """How many rows of the model's output count."""
        mask = self._mask(batch, per_step)
        if mask is not None:
            return int(np.count_nonzero(mask))
        lead = self._lead(batch.x)
        if per_step:
            return math.prod(lead)
        return lead[1 - self.time_axis(batch.x)] if self._batched(batch.x) else 1

    def with_batch_first(self, batch: Batch, *, per_step: bool) -> Batch:
        """A batch (T, B, ...) as views (B, T, ...); `per_step` says whether its target has a time axis."""

        def swapped(array: npt.NDArray[Any] | None, swap: bool = True) -> npt.NDArray[Any] | None:
            return array.swapaxes(0, 1) if swap and array is not None else array

        return Batch(
            x=batch.x.swapaxes(0, 1),
            target=swapped(batch.target, per_step),
            mask=swapped(batch.mask, per_step),
            lengths=batch.lengths,
            reset=swapped(batch.reset),
        )

    def _lead(self, x: npt.NDArray[Any]) -> tuple[int, ...]:
        """The axes of time and batch."""
        return x.shape[: x.ndim - self._features]

    def _batched(self, x: npt.NDArray[Any]) -> bool:
        return len(self._lead(x)) == 2

    def windows(
        self, batch: Batch, k1: int | None, k2: int | None = None, *, padding: bool = False
    ) -> Iterator[Window]:
        """Cut a batch into windows of `k1` time steps. The last may be shorter. None: the whole batch.

        Windows after the end of every row are left out, unless `padding` asks for them: ranks whose longest
        rows differ must still have equally many windows. With `k2` above `k1`, a window reads from `k2`
        steps before its end, or from slightly earlier: from the end of an earlier window, where a state is
        known.

        Raises
        ------
        ValueError
            More than one window of a batch whose target or mask lacks the time axis.
        """
        axis = self.time_axis(batch.x)
        T = batch.x.shape[axis] if batch.x.ndim else 1  # a lone number: the model says what is wrong
        lengths, longest = batch.lengths, T
        if lengths is not None and self._batched(batch.x):
            lengths = parse_lengths(lengths, T, batch.x.shape[1 - axis])
            longest = T if padding else int(np.max(lengths, initial=1))
        over_time = {"target": batch.target, "mask": batch.mask, "reset": batch.reset}
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
                f"got shape {array.shape}. Fix: leave truncate out, or give a {name} for every step."
            )

        def part(begin: int, end: int) -> Batch:
            cut = (slice(None),) * axis + (slice(begin, end),)
            parts = {name: None if array is None else array[cut] for name, array in over_time.items()}
            left = None if lengths is None else np.clip(lengths - begin, 0, end - begin)
            return Batch(batch.x[cut], lengths=left, **parts)

        for start in range(0, longest, k1):
            stop = min(start + k1, T)
            begin = start
            if k2 is not None and k2 > k1:
                begin = min(start, max(0, stop - k2) // k1 * k1)
            counted = part(start, stop)
            read = part(begin, stop) if begin < start else counted
            yield Window(read, counted, begin, stop, start - begin, 1.0 if stop >= longest else stop / T)

    def after(self, y: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """A view of the outputs whose losses count."""
        if window.context == 0:
            return y
        return y[(slice(None),) * self.time_axis(window.read.x) + (slice(window.context, None),)]


def check_iterable(data: Any, name: str, passes: int = 1) -> None:
    """Raise TypeError unless `data` gives batches, as often as they will be asked for.

    An array or a mapping can be iterated, too, but gives its rows or its keys.
    """
    expected = f"{name} must be an iterable of batches"
    iterable = hasattr(data, "__iter__") or hasattr(data, "__getitem__")
    if not iterable or hasattr(data, "__array__") or isinstance(data, (str, bytes, Mapping)):
        raise TypeError(f"{expected}; got one {type(data).__name__}. Fix: pass a list, {name}=[batch].")
    if passes > 1 and iter(data) is data:
        raise TypeError(
            f"{expected}, once per epoch; got {type(data).__name__}, used up after one. "
            "Fix: pass a list of batches, or an object whose __iter__ starts again."
        )


def batch_count(data: Any) -> int | None:
    """How many batches data say that they give; None where they do not say."""
    try:
        return len(data)
    except TypeError:  # no __len__, or one handed on from data without
        return None


def is_restorable(data: Any) -> bool:
    """Whether a resumed run sees the batches of a run that never stopped, as far as one can tell.

    True for lists, for data that save their state, and for the classes of `bptt.data`.
    """
    says = getattr(data, "restorable", None)
    if says is not None:
        return bool(says)
    known = ("state_dict", "rng", "time_first")
    return isinstance(data, Sequence) or any(hasattr(data, name) for name in known)


def parse_batch(item: object, *, need_target: bool) -> Batch:
    """A batch from `(x, target)`, `(x, target, lengths)` or a mapping with x, target, mask, lengths, reset;
    without `need_target`, from x alone too.

    Raises
    ------
    TypeError, ValueError
        Neither of these; an unknown or missing key.
    """
    if isinstance(item, Mapping):
        given = dict(item)
    elif isinstance(item, (tuple, list)) and len(item) in (2, 3):
        given = dict(zip(("x", "target", "lengths"), item, strict=False))
    elif not need_target and not isinstance(item, (tuple, list)):
        given = {"x": item}
    else:
        came = (
            f"{type(item).__name__} of {len(item)}"
            if isinstance(item, (tuple, list))
            else type(item).__name__
        )
        raise TypeError(
            f"data must give batches (x, target) or dicts with x, target and mask; got a {came}. "
            "Fix: wrap the arrays, data=[(x, target)]."
        )
    for name in given:
        if name not in _KEYS:
            raise ValueError(
                f"a batch may hold {', '.join(_KEYS)}; got {name!r}. Fix: rename or leave it out."
            )
    missing = [name for name in ("x", "target")[: 1 + need_target] if given.get(name) is None]
    if missing:
        raise ValueError(f"a batch must hold {missing[0]!r}; got {sorted(map(str, given))}. Fix: add it.")
    return Batch(**{name: as_real(given[name], name) for name in _KEYS if given.get(name) is not None})
