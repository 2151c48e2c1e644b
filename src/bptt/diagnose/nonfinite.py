"""Where NaN or an infinity first arose: the tensor, the layer and the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.gates import step_values
from bptt.diagnose.rows import Row, rows_on
from bptt.layers.passes.tape import RecurrentTape, Tape

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class NonFinite:
    """The first NaN or infinity; `str()` says it in words.

    Attributes
    ----------
    tensor : str
        One of "x", "c", "h", "y", "target", "loss", "dy", "dL/dh", "dL/dc", "dx", "initial h", "initial c".
        Or the name of a parameter ("weight_hh_l0") or of its gradient ("gradient of weight_hh_l0"). Or a gate
        ("gate i"), or "recurrent part of n" (GRU and MGU).
    layer : int or None
        Number of the layer in its recurrent stack, from 0; None for what belongs to no such layer.
    reverse : bool
        It arose in the layer's reverse direction.
    place : str
        Where in a model, "model[1]"; empty for a layer on its own, and for what goes into it.
    step : int or None
        From 0; None for what has no time axis.
    index : tuple of int
        The entry: row of the batch and unit within the step, or the place in a tensor without steps. Empty
        where only a norm over all of them was seen.
    value : float
        NaN, inf or -inf.
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
        """The layer in words, as `GradientFlow.names` has it; empty for what goes into the model."""
        if self.layer is None:
            return self.place
        reverse = ", reverse direction," if self.reverse else ""
        return f"layer {self.layer}{reverse}" + (f" of {self.place}" if self.place else "")

    def __str__(self) -> str:
        of = f" of {self.where}" if self.where else ""
        at = "" if self.step is None else f" at step {self.step}"
        where = ""
        if len(self.index) == 2 and self.step is not None:
            where = f" ({self.value} in row {self.index[0]}, entry {self.index[1]})"
        elif self.index:
            where = f" ({self.value} at {self.index})"
        return f"{self.tensor}{of} is not finite{at}{where}"


def origin(tape: Tape, start: int = 0) -> NonFinite | None:
    """Read from a tape where its recurrent layers first ceased to be finite.

    The lowest layer with a state or a gate that is not finite tells the earliest step of the forward pass.
    Where all are finite, and a backward pass was made, the highest layer whose errors are not tells the step
    at which they met it first.

    Parameters
    ----------
    tape : Tape
        Of any model.
    start : int
        Number of the tape's first step in its batch.

    Returns
    -------
    NonFinite or None
        None where the tape does not tell.
    """
    rows = rows_on(tape)
    earliest = next(_each(forward_origin(row, part) for row, part in rows), None)
    if earliest is None:
        earliest = next(_each(backward_origin(row, part) for row, part in reversed(rows)), None)
    return None if earliest is None else replace(earliest, step=start + (earliest.step or 0))


def forward_origin(row: Row, part: RecurrentTape) -> NonFinite | None:
    """The first step of one layer and direction at which something it computed is not finite."""
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
    """The first step, on the way back, at which an error of one layer and direction is not finite."""
    norms = {"dL/dh": part.dh_norm, "dL/dc": part.dc_norm}  # h comes first on the way back
    of_row = {name: norm[row.index] for name, norm in norms.items() if norm is not None}
    bad = {name: ~np.isfinite(norm) for name, norm in of_row.items()}
    first = _first(bad, from_end=not row.reverse)
    if first is None:
        return None
    tensor, step = first
    return NonFinite(tensor, row.layer, row.reverse, row.place, step, value=float(of_row[tensor][step]))


def entry(values: Values) -> tuple[int, ...]:
    """The first entry that is not finite, of an array that has one."""
    return tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])


def finite(state: Any) -> bool:
    """Whether every number in a state is: None, an array, or a tuple of states."""
    if isinstance(state, tuple):
        return all(map(finite, state))
    return state is None or bool(np.isfinite(state).all())


def _each(candidates: Iterator[NonFinite | None]) -> Iterator[NonFinite]:
    return (one for one in candidates if one is not None)


def _first(bad: Mapping[str, npt.NDArray[np.bool_]], *, from_end: bool) -> tuple[str, int] | None:
    """The first step at which any kind is bad, and the first kind that is bad there."""
    steps = np.flatnonzero(np.logical_or.reduce(list(bad.values()))) if bad else ()
    if not len(steps):
        return None
    step = int(steps[-1 if from_end else 0])
    return next(kind for kind, flags in bad.items() if flags[step]), step
