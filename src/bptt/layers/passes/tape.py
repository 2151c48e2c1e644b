"""Tapes: the values that a forward pass keeps for its backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import choice
from bptt.arrays import Floats
from bptt.layers.passes.backend import CoreTape
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import PackedRows


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """Values of a forward pass, and the layer that ran it.

    A tape may be used for several backward passes, each of which adds to the gradients. The tape keeps the
    parameters of its forward pass, and a copy of every input that could be written to. Later changes of
    parameters or inputs therefore do not affect the gradients.
    """

    owner: Any
    """The layer."""

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.owner!r}"


@dataclass(frozen=True, eq=False, repr=False)
class LayerTape(Tape):
    """Tape of a layer without time, and of layers of your own.

    Attributes
    ----------
    owner : Module
        The layer.
    saved : Any
        Values for the backward pass.
    x_shape, y_shape : tuple of int
        Shapes of dx and dy, for layers that need them.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.Linear(3, 8)
    >>> y, state, tape = layer.forward(np.ones((20, 4, 3)))
    >>> dx, dstate = layer.backward(tape, np.ones_like(y))
    >>> tape.owner is layer, dx.shape
    (True, (20, 4, 3))
    """

    saved: Any
    x_shape: tuple[int, ...] = ()
    y_shape: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class ModelTape(Tape):
    """Tape of a model: `tapes` holds one tape per layer, in the order of the model's layers."""

    tapes: tuple[Tape, ...]
    y_shapes: tuple[tuple[int, ...], ...]
    """The shapes of the layers' outputs."""
    named_inputs: bool
    """Whether x was a mapping from names of layers to arrays."""


@dataclass(frozen=True, eq=False, repr=False)
class RecurrentTape(Tape):
    """Tape of a recurrent layer, with read-only views of every step.

    The views are always time first and batched, (T, B, ...), for every layout of the input. They are copies
    for a batch with `lengths` or `skip`, with 0 at steps that a row does not have. They are also copies if
    threads stored the halves of the batch separately. Entry `layer * directions + direction` belongs to that
    layer and direction. They are copies, too, with `tape_dtype="bfloat16"`: the rounded numbers in float32.
    """

    core: CoreTape
    layout: Layout
    ragged: PackedRows | None = None
    masks: Mapping[str, Floats] = field(default_factory=dict)
    """The masks that `forward(masks=...)` accepts, read-only."""

    @property
    def nbytes(self) -> int | None:
        """Bytes of the arrays over time, without x and the weights. None for the reference.

        With `checkpoint`: the bytes of the states that are kept.
        """
        return getattr(self.core, "nbytes", None)

    @property
    def h(self) -> tuple[npt.NDArray[Any], ...]:
        """Hidden states after every step: one (T, B, H) view per layer and direction."""
        return tuple(self._unpacked(self.core.h(*index)) for index in self._indices())

    @property
    def c(self) -> tuple[npt.NDArray[Any], ...] | None:
        """Cell states of an LSTM after every step, or None.

        One (T, B, H) view per layer and direction. MemoryBlocks: the states of the cells, then i and o.
        """
        if not self.owner.has_cell_state:
            return None
        return tuple(self._unpacked(self.core.c(*index)) for index in self._indices())

    @property
    def gates(self) -> tuple[npt.NDArray[Any], ...]:
        """Activated gates at every step: one (T, B, G*H) view per layer and direction.

        LSTM: i, f, g, o; coupled f, g, o; without a forget gate i, g, o. GRU: r, z, n and W_hn h + b_hn, or
        with `reset_after=False` r, z, n and r h. MGU: f, n and f h. RNN: h before zoneout.
        MemoryBlocks: g, i, o, of M, K and K units.
        """
        return tuple(self._unpacked(self.core.gates(*index)) for index in self._indices())

    @property
    def dh(self) -> tuple[npt.NDArray[Any], ...] | None:
        """Errors of every step, dL/dh_t: one (T, B, H) view per layer and direction.

        None unless the last backward pass had `keep_errors=True`. The errors are the whole errors that
        `dh_norm` measures, and 0 before the steps that truncation leaves out.
        """
        errors = [self.core.dh(*index) for index in self._indices()]
        views = tuple(self._unpacked(error) for error in errors if error is not None)
        return views if len(views) == len(errors) else None

    @property
    def dh_norm(self) -> npt.NDArray[np.float64] | None:
        """Norms of the whole dL/dh_t, (L*D, T), after a backward pass, else None.

        The 2-norm is over batch and units. The whole error is the error from outside at step t plus the error
        from step t + 1, after `clip_state`. Skipped steps count as 0.
        """
        return self._over_time(self.core.dh_norm)

    @property
    def dc_norm(self) -> npt.NDArray[np.float64] | None:
        """Norms of dL/dc_t, (L*D, T), after a backward pass of an LSTM, else None.

        See `dh_norm`.
        """
        return self._over_time(self.core.dc_norm)

    def norms_by_number(self) -> tuple[npt.NDArray[np.float64] | None, ...]:
        """Return `dh_norm` and `dc_norm`, with the steps of each row counted from its first step.

        Skipped steps are not counted. Without skipped steps, the result is (`dh_norm`, `dc_norm`).
        """
        norms = self.core.dh_norm, self.core.dc_norm
        ragged = self.ragged
        if ragged is None or ragged.times is None:
            return norms
        return tuple(None if norm is None else ragged.norms_by_number(norm) for norm in norms)

    def _over_time(self, norms: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64] | None:
        if norms is None or self.ragged is None or self.ragged.times is None:
            return norms
        over_time = self.ragged.norms_over_time(norms)
        over_time.flags.writeable = False
        return over_time

    def _unpacked(self, view: npt.NDArray[Any]) -> npt.NDArray[Any]:
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


def check_tape_dtype(tape_dtype: object, dtype: np.dtype[Any]) -> str | None:
    """Return the option `tape_dtype` of a recurrent layer.

    Raises
    ------
    TypeError, ValueError
        If it is neither None nor "bfloat16", or the layer's dtype is not float32.
    """
    if tape_dtype is None:
        return None
    tape_dtype = choice(tape_dtype, "tape_dtype", ("bfloat16",))
    if dtype != np.float32:
        raise ValueError(
            f'tape_dtype must be None unless dtype is "float32"; got {tape_dtype!r} with dtype {dtype.name}. '
            'Fix: pass dtype="float32", or leave tape_dtype out.'
        )
    return tape_dtype


def has_several_inputs(tape: Tape) -> bool:
    """Return whether x was a mapping from names of layers to arrays."""
    return isinstance(tape, ModelTape) and (tape.named_inputs or has_several_inputs(tape.tapes[0]))


def input_shape(tape: Tape) -> tuple[int, ...] | None:
    """Return the shape of x, or None if the tape does not know it."""
    if isinstance(tape, ModelTape):
        return input_shape(tape.tapes[0])
    if isinstance(tape, RecurrentTape):
        return tape.layout.sequence_shape(*tape.core.shape, tape.owner.input_size)
    return getattr(tape, "x_shape", ()) or None


AnyTape = TypeVar("AnyTape", bound=Tape)


def check_tape(tape: object, owner: object, kind: type[AnyTape]) -> AnyTape:
    """Return the tape if `owner.forward` made it.

    Raises
    ------
    TypeError
        If `tape` is not a tape.
    ValueError
        If another layer made the tape.
    """
    if not isinstance(tape, Tape):
        raise TypeError(
            f"tape must be the tape that forward returned; got {type(tape).__name__}. "
            "Fix: pass the tape of y, state, tape = layer.forward(x)."
        )
    if tape.owner is not owner or not isinstance(tape, kind):
        raise ValueError(
            f"tape must come from forward of this layer, {owner!r}; got a tape of another "
            f"layer, {tape.owner!r}. "
            "Fix: call backward on the layer whose forward made the tape."
        )
    return tape
