"""Reading batches as users hand them over, and cutting them into windows of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_real
from bptt.layers import Embedding, Module, Recurrent, Sequential
from bptt.layers.ragged import read_lengths
from bptt.train.losses import row_mask

_KEYS = ("x", "target", "mask", "lengths", "reset")


@dataclass(frozen=True)
class Batch:
    """One batch, or one window of it: arrays whose layout the model knows."""

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
    own : Batch
        Its last part, whose losses count.
    ahead : int
        Steps of `read` before `own`: errors may go back into them.
    share : float
        Of the whole batch, what lies before the window's end.
    """

    read: Batch
    own: Batch
    start: int
    stop: int
    ahead: int
    share: float


class Layout:
    """Where a model's inputs have their time axis, and whether its state may be carried over.

    Parameters
    ----------
    model : Module
    """

    def __init__(self, model: Module) -> None:
        parts = list(leaves(model))
        recurrent = [part for part in parts if isinstance(part, Recurrent)]
        self.forward_only = not any(part.bidirectional for part in recurrent)
        self._batch_first = any(part.batch_first for part in recurrent)
        self._features = 0 if isinstance(parts[0], Embedding) else 1

    def time_axis(self, x: npt.NDArray[Any]) -> int:
        """0, or 1 for a batch (B, T, ...); an unbatched sequence has its time axis first."""
        return 1 if self._batch_first and x.ndim - self._features == 2 else 0

    def tokens(self, batch: Batch) -> int:
        """Steps times rows, or the sum of the lengths."""
        if batch.lengths is not None:
            return int(np.sum(batch.lengths))
        return int(np.prod(batch.x.shape[: batch.x.ndim - self._features]))

    def mask(self, batch: Batch, y: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """The rows of y that count: not past a row's end, where y has a time axis, and not masked."""
        rows = batch.x.shape[:2]
        if batch.lengths is None or y.shape[:-1] != rows:
            return batch.mask
        axis = self.time_axis(batch.x)
        valid = np.arange(rows[axis])[:, None] < batch.lengths
        if axis == 1:
            valid = valid.T
        return valid if batch.mask is None else valid & row_mask(batch.mask, rows).reshape(rows)

    def windows(self, batch: Batch, steps: int | None, back: int | None = None) -> Iterator[Window]:
        """Windows of `steps` steps, the last may be shorter; None: the batch whole.

        With `back` above `steps`, windows read on from so many steps before their ends, or from a little
        earlier: from the end of a window, where a state is at hand.

        Raises
        ------
        ValueError
            More than one window of a batch whose target or mask lacks the time axis.
        """
        axis = self.time_axis(batch.x)
        T = batch.x.shape[axis] if batch.x.ndim else 1  # a lone number: the model says what is wrong
        lengths = batch.lengths
        if lengths is not None and batch.x.ndim - self._features == 2:
            lengths = read_lengths(lengths, T, batch.x.shape[1 - axis])
        if steps is None or steps >= T:
            yield Window(batch, batch, 0, T, 0, 1.0)
            return
        over_time = {"target": batch.target, "mask": batch.mask, "reset": batch.reset}
        for name, array in over_time.items():
            if array is not None and (array.ndim <= axis or array.shape[axis] != T):
                raise ValueError(
                    f"{name} must have {T} steps on axis {axis}, like x, to be cut into windows of {steps}; "
                    f"got shape {array.shape}. Fix: leave truncate out, or give a {name} for every step."
                )

        def part(begin: int, end: int) -> Batch:
            cut = (slice(None),) * axis + (slice(begin, end),)
            parts = {name: None if array is None else array[cut] for name, array in over_time.items()}
            left = None if lengths is None else np.clip(lengths - begin, 0, end - begin)
            return Batch(batch.x[cut], lengths=left, **parts)

        for start in range(0, T, steps):
            stop = min(start + steps, T)
            begin = start
            if back is not None and back > steps:
                begin = min(start, max(0, stop - back) // steps * steps)
            own = part(start, stop)
            yield Window(
                part(begin, stop) if begin < start else own, own, begin, stop, start - begin, stop / T
            )

    def after(self, y: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """A view of the outputs whose losses count."""
        if window.ahead == 0:
            return y
        return y[(slice(None),) * self.time_axis(window.read.x) + (slice(window.ahead, None),)]


def leaves(model: Module) -> Iterator[Module]:
    """The layers of a model, nested ones included, in order."""
    if isinstance(model, Sequential):
        for layer in model.layers:
            yield from leaves(layer)
    else:
        yield model


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


def read_batch(item: object, *, need_target: bool) -> Batch:
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
