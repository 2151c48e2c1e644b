"""The tape: values that a forward pass keeps for its backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.backend import CoreTape
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import PackedRows


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """
    Ties what was kept to the layer that kept it.

    A tape may be used for several backward passes, each of which adds to the gradients. The tape keeps the
    parameters of its forward pass, and a copy of every input that could be written to. Gradients therefore
    belong to the network that `forward` ran, whatever has changed since.
    """

    owner: Any
    """The layer."""

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.owner!r}"


@dataclass(frozen=True, eq=False, repr=False)
class LayerTape(Tape):
    """Tape of a layer without time: what its backward pass needs, and the shapes of `dx` and `dy`."""

    saved: Any
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class SequentialTape(Tape):
    """Tape of a `Sequential`: `tapes` holds one tape per layer."""

    tapes: tuple[Tape, ...]


@dataclass(frozen=True, eq=False, repr=False)
class RecurrentTape(Tape):
    """
    Tape of an RNN, LSTM or GRU, with read-only views of every step.

    The views are always time first and batched, (T, B, ...), for every layout of the input. They are copies
    for a ragged batch, where they are 0 past a row's end. They are also copies if threads kept the halves of
    the batch separately. Entry `layer * directions + direction` belongs to that layer and direction.
    """

    core: CoreTape
    layout: Layout
    ragged: PackedRows | None = None
    masks: Mapping[str, Floats] = field(default_factory=dict)
    """What recurrent dropout and zoneout did, as `forward(masks=...)` takes it: read-only."""

    @property
    def h(self) -> tuple[npt.NDArray[Any], ...]:
        """Hidden states after every step: one (T, B, H) view per layer and direction."""
        return tuple(self._seen(self.core.h(*index)) for index in self._indices())

    @property
    def c(self) -> tuple[npt.NDArray[Any], ...] | None:
        """Cell states after every step: one (T, B, H) view per layer and direction; None unless LSTM."""
        if not self.owner.has_cell_state:
            return None
        return tuple(self._seen(self.core.c(*index)) for index in self._indices())

    @property
    def gates(self) -> tuple[npt.NDArray[Any], ...]:
        """
        Activated gates at every step: one (T, B, G*H) view per layer and direction.

        LSTM: i, f, g, o; coupled f, g, o. GRU: r, z, n and W_hn h + b_hn, or with `reset_after=False` r, z, n
        and r h. RNN: h itself, before zoneout.
        """
        return tuple(self._seen(self.core.gates(*index)) for index in self._indices())

    @property
    def dh(self) -> tuple[npt.NDArray[Any], ...] | None:
        """
        Errors of every step, dL/dh_t: one (T, B, H) view per layer and direction; None unless the last
        backward pass had `keep_errors=True`.

        The whole of each, as `dh_norm` measures it; 0 where truncation did not reach.
        """
        errors = [self.core.dh(*index) for index in self._indices()]
        kept = tuple(self._seen(error) for error in errors if error is not None)
        return kept if len(kept) == len(errors) else None

    @property
    def dh_norm(self) -> npt.NDArray[np.float64] | None:
        """
        (L*D, T) after a backward pass, else None: the 2-norm over batch and units of the whole dL/dh_t.

        Norm of the whole error: from outside at step t plus from step t+1, after `clip_state`.
        """
        return self.core.dh_norm

    @property
    def dc_norm(self) -> npt.NDArray[np.float64] | None:
        """As `dh_norm`, of dL/dc_t; None unless LSTM."""
        return self.core.dc_norm

    def _seen(self, view: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.ragged is None:
            return view
        array = self.ragged.scatter(view)
        array.flags.writeable = False
        return array

    def _indices(self) -> list[tuple[int, int]]:
        owner = self.owner
        return [
            (layer, direction)
            for layer in range(owner.num_layers)
            for direction in range(owner.num_directions)
        ]


AnyTape = TypeVar("AnyTape", bound=Tape)


def check_tape(tape: object, owner: object, kind: type[AnyTape]) -> AnyTape:
    """The tape, if `owner.forward` made it. TypeError: no tape. ValueError: another layer's."""
    if not isinstance(tape, Tape):
        raise TypeError(
            f"tape must be the tape that forward returned; got {type(tape).__name__}. "
            "Fix: y, state, tape = layer.forward(x)."
        )
    if tape.owner is not owner or not isinstance(tape, kind):
        raise ValueError(
            f"tape must come from this layer's own forward, {owner!r}; got one of {tape.owner!r}. "
            "Fix: call backward on the layer whose forward made the tape."
        )
    return tape
