"""Protocol between a recurrent layer and the code that computes it.

A layer checks and arranges its arguments. A backend gets C-contiguous arrays of the layer's dtype, time
first. Rows of unequal length, or with skipped steps, are packed by `PackedRows`, (rows over time, N), and
come with `active` and `batch`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.clip_state import NO_CLIP, StateClip
from bptt.layers.passes.ragged import Counts, Flags

State: TypeAlias = Floats | tuple[Floats, Floats]
"""h, or for LSTM a pair (h, c)."""


class Call(NamedTuple):
    """The arguments of a forward pass."""

    x: Floats
    h0: Floats | None = None
    c0: Floats | None = None
    active: Counts | None = None
    batch: int = 0
    times: Counts | None = None
    """The time step of each packed row, in a batch with skipped steps. The compiled core does not need it."""
    reset: Flags | None = None
    dropout_key: int = 0
    recurrent_mask: Floats | None = None
    keep_h: Floats | None = None
    keep_c: Floats | None = None
    input_mask: Floats | None = None
    first_row: int = 0
    """Number of rows over time before this call, if the call is a piece of a longer one."""
    parameters: Floats | None = None
    """A copy of the layer's flat vector that later updates do not change. None: the current vector."""


Passed: TypeAlias = tuple[Floats, Floats, Floats | None]
"""The results of a forward pass: outputs y, and the state (h, c) after the last step."""

Backed: TypeAlias = tuple[Floats | None, Floats, Floats | None]
"""The results of a backward pass: errors dx of the inputs, and (dh, dc) of the first state."""


class Errors(NamedTuple):
    """The arguments of a backward pass: errors, and options."""

    dy: Floats | None
    dh: Floats | None
    dc: Floats | None
    steps: int | None = None
    need_dx: bool = True
    clip: StateClip = NO_CLIP
    keep_errors: bool = False
    train: bool = True
    """Whether gradients of the parameters are computed."""
    chunk: int = 0
    """Number of steps that are summed together. 0: the number for the whole batch."""
    cut: Flags | None = None
    """Packed rows of a batch with skipped steps whose errors flow back no further. 1: cut."""
    norms_of_rows: bool = False
    """Whether the tape gets the norms of all packed rows, (L*D, rows over time), in place of (L*D, T)."""


class CoreTape(Protocol):
    """The interface that the tapes of all backends have."""

    @property
    def shape(self) -> tuple[int, int]: ...
    def h(self, layer: int, direction: int, /) -> npt.NDArray[Any]: ...
    def c(self, layer: int, direction: int, /) -> npt.NDArray[Any]: ...
    def gates(self, layer: int, direction: int, /) -> npt.NDArray[Any]: ...
    def dh(self, layer: int, direction: int, /) -> npt.NDArray[Any] | None: ...
    @property
    def dh_norm(self) -> npt.NDArray[np.float64] | None: ...
    @property
    def dc_norm(self) -> npt.NDArray[np.float64] | None: ...


class Infers(Protocol):
    """A protocol for inference with weights that may be packed once."""

    def infer(self, call: Call) -> Passed: ...


class StreamCore(Protocol):
    """A stream that keeps its state.

    It steps from `input` to `output`, which are the backend's memory.
    """

    @property
    def input(self) -> Floats:
        """(B, I)."""

    @property
    def output(self) -> Floats:
        """(B, P): P is the size of h, which is H without a projection."""

    def state(self) -> tuple[Floats, Floats | None]:
        """Return copies of h (L, B, P) and of c (L, B, H) or None."""

    def set_state(self, h: Floats, c: Floats | None) -> None:
        """Write h and c, which have the shapes that `state` returns."""

    def reset(self) -> None:
        """Fill the state with zeros."""

    def step(self) -> None:
        """Run one step from `input` to `output`."""

    def step_skipping(self, skip: Flags) -> None:
        """Run one step. Rows with skip (B,) = 1 keep their state, and their output is 0."""

    def run(self, x: Floats, skip: Flags | None = None) -> Floats:
        """Run T steps, from x (T, B, I) to outputs (T, B, P). skip (T, B): as in `step_skipping`."""


class Backend(Infers, Protocol):
    """Code that computes one stack of recurrent layers.

    `backward` adds to the layer's gradients.
    """

    def forward(self, call: Call) -> tuple[Passed, CoreTape]: ...
    def backward(self, tape: Any, errors: Errors) -> Backed: ...

    def chunk_steps(self, batch: int) -> int:
        """Return the number of steps that `backward` sums together.

        `batch` is the number of rows.
        """

    def freeze(self, precision: str | None = None) -> Infers:
        """Pack the weights. `precision` None: that of the layer."""

    def stream(self, batch_size: int, precision: str | None = None) -> StreamCore: ...


class Stack(Protocol):
    """The sizes of a stack of recurrent layers."""

    dtype: np.dtype[Any]
    num_layers: int
    num_directions: int
    bidirectional: bool
    reverse: bool
    merge: str
    hidden_size: int
    output_size: int
    """P: of h, for each direction."""
    y_size: int
    """Of y: P, or D*P if the outputs of two directions lie side by side."""

    @property
    def has_cell_state(self) -> bool: ...
