"""The origin of NaN or an infinity: tensor, layer and step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.rows import Row, rows_on
from bptt.layers.passes.gates import step_values
from bptt.layers.passes.tape import RecurrentTape, Tape

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class NonFinite:
    """The first NaN or infinity. `str()` describes it in words.

    Attributes
    ----------
    tensor : str
        One of "x", "c", "h", "y", "target", "loss", "dy", "dL/dh", "dL/dc", "dx", "initial h", "initial c".
        It may also be a parameter ("weight_hh_l0"), its gradient ("gradient of weight_hh_l0"), a gate
        ("gate i"), or "recurrent part of n" (GRU and MGU).
    layer : int or None
        Number of the layer in its recurrent stack, from 0. None if the tensor belongs to no recurrent layer.
    reverse : bool
        Whether the tensor belongs to the layer's reverse direction.
    place : str
        Place of the layer in a model, "model[1]". Empty for a single layer, and for inputs of the model.
    step : int or None
        Time step, from 0. None if the tensor has no time axis.
    index : tuple of int
        The entry: row of the batch and unit within the step, or the index in a tensor without steps. Empty if
        only the norm over all entries is known.
    value : float
        NaN, inf or -inf.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x = np.ones((20, 4, 3))
    >>> x[7, 2, 0] = np.nan
    >>> found = bptt.first_nonfinite(bptt.LSTM(3, 8), x)
    >>> found.tensor, found.step, found.index
    ('x', 7, (2, 0))
    """

    tensor: str
    layer: int | None = None
    reverse: bool = False
    place: str = ""
    step: int | None = None
    index: tuple[int, ...] = ()
    value: float = float("nan")

    @property
    def where(self) -> str:
        """The layer in words, as in `GradientFlow.names`. Empty for inputs of the model."""
        if self.layer is None:
            return self.place
        reverse = ", reverse direction," if self.reverse else ""
        return f"layer {self.layer}{reverse}" + (f" of {self.place}" if self.place else "")

    def __str__(self) -> str:
        of = f" of {self.where}" if self.where else ""
        step = "" if self.step is None else f" at step {self.step}"
        number = ""
        if len(self.index) == 2 and self.step is not None:
            number = f" ({self.value} in row {self.index[0]}, entry {self.index[1]})"
        elif self.index:
            number = f" ({self.value} at {self.index})"
        return f"{self.tensor}{of} is not finite{step}{number}"


def origin(tape: Tape, start: int = 0) -> NonFinite | None:
    """Find the first number on a tape's recurrent layers that is not finite.

    If a state or gate is not finite, the result is from the lowest such layer, at its earliest step. If all
    states and gates are finite, errors of a backward pass are checked. The result is then from the highest
    layer with an error that is not finite, at the step that the backward pass visited first.

    Parameters
    ----------
    tape : Tape
        The tape of any model.
    start : int
        Number of the tape's first step in its batch.

    Returns
    -------
    NonFinite or None
        None if all numbers on the tape are finite.
    """
    rows = rows_on(tape)
    earliest = next(_not_none(forward_origin(row, part) for row, part in rows), None)
    if earliest is None:
        earliest = next(_not_none(backward_origin(row, part) for row, part in reversed(rows)), None)
    return None if earliest is None else replace(earliest, step=start + (earliest.step or 0))


def forward_origin(row: Row, part: RecurrentTape) -> NonFinite | None:
    """Return the first state or gate of one layer and direction that is not finite."""
    values = step_values(part, row.index)
    bad = {name: np.logical_not(np.isfinite(value).all(axis=(1, 2))) for name, value in values.items()}
    first = _first(bad, from_end=row.reverse)
    if first is None:
        return None
    tensor, step = first
    index = entry(values[tensor][step])
    return NonFinite(
        tensor, row.layer, row.reverse, row.place, step, index, float(values[tensor][step][index])
    )


def backward_origin(row: Row, part: RecurrentTape) -> NonFinite | None:
    """Return the first error of one layer and direction that is not finite.

    Errors are checked in the order of the backward pass.
    """
    norms = {"dL/dh": part.dh_norm, "dL/dc": part.dc_norm}  # the backward pass computes dL/dh first
    row_norms = {name: norm[row.index] for name, norm in norms.items() if norm is not None}
    bad = {name: ~np.isfinite(norm) for name, norm in row_norms.items()}
    first = _first(bad, from_end=not row.reverse)
    if first is None:
        return None
    tensor, step = first
    return NonFinite(tensor, row.layer, row.reverse, row.place, step, value=float(row_norms[tensor][step]))


def entry(values: Values) -> tuple[int, ...]:
    """Return the index of the first entry that is not finite.

    The array must have such an entry.
    """
    return tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])


def finite(state: Any) -> bool:
    """Return whether every number in a state is finite.

    The state is None, an array, or a tuple of states.
    """
    if isinstance(state, tuple):
        return all(map(finite, state))
    return state is None or bool(np.isfinite(state).all())


def _not_none(candidates: Iterator[NonFinite | None]) -> Iterator[NonFinite]:
    return (candidate for candidate in candidates if candidate is not None)


def _first(bad: Mapping[str, npt.NDArray[np.bool_]], *, from_end: bool) -> tuple[str, int] | None:
    """Return the first step with a bad tensor, and the first bad tensor of this step."""
    steps = np.flatnonzero(np.logical_or.reduce(list(bad.values()))) if bad else ()
    if not len(steps):
        return None
    step = int(steps[-1 if from_end else 0])
    return next(tensor for tensor, flags in bad.items() if flags[step]), step
