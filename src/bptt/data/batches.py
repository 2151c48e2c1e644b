"""Parse the batches that users pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from bptt.arrays import as_real
from bptt.layers.containers.inputs import Inputs, parse_inputs

_READ: dict[str, Callable[[object, str], Any]] = {
    "x": parse_inputs,
    "target": as_real,
    "mask": as_real,
    "weight": as_real,
    "lengths": parse_inputs,
    "reset": parse_inputs,
    "skip": parse_inputs,
}
"""The keys of a batch, and the functions that read their values."""


@dataclass(frozen=True)
class Batch:
    """One batch, or one window of a batch: arrays in the model's order of axes.

    `x`, `lengths` and `reset` are arrays, or mappings from names of layers to arrays.
    """

    x: Inputs
    target: npt.NDArray[Any] | None = None
    mask: npt.NDArray[Any] | None = None
    weight: npt.NDArray[Any] | None = None
    lengths: Inputs | None = None
    reset: Inputs | None = None
    skip: Inputs | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a model's call besides x and the state."""
        options = {"lengths": self.lengths, "reset": self.reset, "skip": self.skip}
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
    lengths, reset and skip. Without `need_target`, the item may also be x alone.

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
        if name not in _READ:
            fix = f"rename {name!r} or leave it out"
            if "x" not in arrays:
                fix = f'pass {{"x": {{{name!r}: ...}}}} if {name!r} is an input of the model'
            raise ValueError(f"a batch must hold only {', '.join(_READ)}; got {name!r}. Fix: {fix}.")
    missing = [name for name in ("x", "target")[: 1 + need_target] if arrays.get(name) is None]
    if missing:
        raise ValueError(
            f"a batch must hold {missing[0]!r}; got {sorted(map(str, arrays))}. Fix: add {missing[0]!r}."
        )
    return Batch(**{name: _READ[name](arrays[name], name) for name in _READ if arrays.get(name) is not None})
