"""Checkpointed backpropagation through time: only some states are kept, and the rest is computed again.

Chen, Xu, Zhang and Guestrin (2016), Training deep nets with sublinear memory cost; Gruslys et al. (2016) for
recurrent networks. Gradients have the plain pass's bits: pieces end where its sums are cut anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from bptt.arguments import size
from bptt.arrays import Floats, contiguous, frozen
from bptt.layers.clip_state import StateClip
from bptt.layers.interventions import Flags
from bptt.layers.ragged import Counts
from bptt.layers.tape import CoreTape

if TYPE_CHECKING:
    from bptt.layers.recurrent import Recurrent

Backed = tuple[Floats | None, Floats, Floats | None]


class Call(NamedTuple):
    """What a backend's `_forward` gets: checked arrays, time first, ragged rows packed."""

    x: Floats
    h0: Floats | None
    c0: Floats | None
    dropout_key: int
    active: Counts | None
    batch: int
    reset: Flags | None
    recurrent_mask: Floats | None
    keep_h: Floats | None
    keep_c: Floats | None
    first_row: int = 0
    """Rows over time that lie before this call's, where it is a piece of a longer one."""
    parameters: Floats | None = None
    """The layer's flat vector, where the call must not see later changes. None: as it is now."""


@dataclass(frozen=True)
class Piece:
    """
    Steps `begin` to `end` of a call, which are its rows over time `rows`. Its batch is what the call's ragged
    layout has room for at `begin`: the first `batch` rows.
    """

    begin: int
    end: int
    batch: int
    rows: slice


def read_checkpoint(value: object, T: int) -> int:
    """
    Steps between the states to be kept.

    Raises
    ------
    TypeError, ValueError
        Neither "auto" nor an int above 0.
    """
    if isinstance(value, str) and value == "auto":
        return max(1, math.isqrt(T))
    try:
        return size(value, "checkpoint")
    except TypeError as error:
        raise TypeError(str(error).replace("an int >= 1", 'an int >= 1, or "auto"')) from None


class Checkpointed:
    """
    Takes the place of a backend's tape. What its views show is computed again each time.

    Parameters
    ----------
    layer : Recurrent
        Reads forward only.
    call : Call
    every : int
        Steps between two states that are kept, at least.
    """

    def __init__(self, layer: Recurrent, call: Call, every: int) -> None:
        self._layer = layer
        x, parameters = (cast("Floats", frozen(array)) for array in (call.x, layer.flat_parameters))
        self._call = call._replace(x=x, parameters=parameters)
        self._chunk = layer._chunk_steps(self._batch)
        self._pieces = list(self._cut(-(-every // self._chunk) * self._chunk))
        self._states: list[tuple[Floats | None, Floats | None]] = []
        self.dh_norm: npt.NDArray[np.float64] | None = None
        self.dc_norm: npt.NDArray[np.float64] | None = None
        self._errors: Floats | None = None

    @property
    def _batch(self) -> int:
        return self._call.x.shape[1] if self._call.active is None else self._call.batch

    @property
    def shape(self) -> tuple[int, int]:
        """(T, B)."""
        call = self._call
        return len(call.x if call.active is None else call.active), self._batch

    def _cut(self, steps: int) -> Iterator[Piece]:
        """Pieces of so many steps, counted from the end."""
        T, B = self.shape
        active = self._call.active
        room = np.full(T + 1, B) if active is None else np.concatenate([[B], active])
        base = np.concatenate([[0], np.cumsum(room[:T])])
        for end in range(T % steps or min(steps, T), T + 1, steps):
            begin = max(0, end - steps)
            rows = slice(begin, end) if active is None else slice(int(base[begin]), int(base[end]))
            yield Piece(begin, end, int(room[begin]), rows)

    def _part(self, piece: Piece) -> Call:
        """The piece's own call, but for its state."""
        call, rows, batch = self._call, piece.rows, piece.batch

        def over_time(array: Floats | None) -> Floats | None:
            return None if array is None else contiguous(array[:, rows])

        mask = call.recurrent_mask
        return call._replace(
            x=call.x[rows],
            active=None if call.active is None else call.active[piece.begin : piece.end],
            batch=0 if call.active is None else batch,
            reset=None if call.reset is None else call.reset[rows],
            recurrent_mask=None if mask is None else contiguous(mask[:, :batch]),
            keep_h=over_time(call.keep_h),
            keep_c=over_time(call.keep_c),
            first_row=rows.start * (batch if call.active is None else 1),
        )

    def forward(self) -> tuple[Floats, Floats, Floats | None]:
        """Run all of it, keeping the pieces' first states: y, h and c."""
        layer, call = self._layer, self._call
        drawn = (layer.dropout and layer.num_layers > 1) or any(
            mask is not None for mask in (call.recurrent_mask, call.keep_h, call.keep_c)
        )
        snapshot = None if drawn else layer._freeze()  # its weights are packed once
        y = np.empty((*call.x.shape[:-1], layer.num_directions * layer.output_size), layer.dtype)
        h, c = self._state(call.h0, layer.output_size), None
        if layer.has_cell_state:
            c = self._state(call.c0, layer.hidden_size)
        for piece in self._pieces:
            part = self._part(piece)
            h0, c0 = (None if s is None else s[:, : piece.batch].copy() for s in (h, c))
            self._states.append((h0, c0))
            if snapshot is not None:
                found = snapshot.infer(part.x, h0, c0, part.active, part.batch, part.reset)
            else:
                found = layer._forward(*part._replace(h0=h0, c0=c0))[:3]
            y[piece.rows], h[:, : piece.batch], last_c = found
            if c is not None:
                c[:, : piece.batch] = last_c
        return y, h, c

    def backward(
        self,
        dy: Floats | None,
        dh: Floats | None,
        dc: Floats | None,
        steps: int | None,
        need_dx: bool,
        clip: StateClip | None,
        keep_errors: bool,
    ) -> Backed:
        """As a backend's `_backward`, piece by piece from the last one."""
        layer, call = self._layer, self._call
        T = self.shape[0]
        first = 0 if steps is None else max(0, T - steps)  # where the errors stop
        runs = layer.num_layers * layer.num_directions
        dh = self._state(dh, layer.output_size)
        dc = self._state(dc, layer.hidden_size) if layer.has_cell_state else None
        norms = np.zeros((2 if layer.has_cell_state else 1, runs, T))
        dx = np.zeros_like(call.x) if need_dx else None
        errors = None
        if keep_errors:
            errors = np.zeros((runs, *call.x.shape[:-1], layer.output_size), layer.dtype)
        for index in reversed(range(len(self._pieces))):
            piece = self._pieces[index]
            if piece.end <= first or piece.batch == 0:
                continue
            tape = self._again(index)
            rows = slice(piece.batch)
            dx_part, dh[:, rows], dc_part = layer._backward(
                tape,
                None if dy is None else dy[piece.rows],
                contiguous(dh[:, rows]),
                None if dc is None else contiguous(dc[:, rows]),
                min(piece.end - piece.begin, piece.end - first),
                need_dx,
                clip,
                keep_errors,
                self._chunk,
            )
            if dc is not None:
                dc[:, rows] = dc_part
            if dx is not None:
                dx[piece.rows] = dx_part
            for kind, norm in enumerate((tape.dh_norm, tape.dc_norm)[: len(norms)]):
                norms[kind, :, piece.begin : piece.end] = norm
            if errors is not None:
                for run in range(runs):
                    errors[run, piece.rows] = tape.dh(*divmod(run, layer.num_directions))
        if first > 0:  # rows that took a step have not got back to their initial state
            moved = slice(self._batch if call.active is None else int(call.active[0]))
            for state in (dh, dc):
                if state is not None:
                    state[:, moved] = 0
        for array in (norms, errors):
            if array is not None:
                array.flags.writeable = False
        self.dh_norm, self.dc_norm = norms[0], norms[1] if layer.has_cell_state else None
        self._errors = errors
        return dx, dh, dc

    def h(self, layer: int, direction: int, /) -> npt.NDArray[Any]:
        return self._seen(lambda tape: tape.h(layer, direction))

    def c(self, layer: int, direction: int, /) -> npt.NDArray[Any]:
        return self._seen(lambda tape: tape.c(layer, direction))

    def gates(self, layer: int, direction: int, /) -> npt.NDArray[Any]:
        return self._seen(lambda tape: tape.gates(layer, direction))

    def dh(self, layer: int, direction: int, /) -> npt.NDArray[Any] | None:
        return None if self._errors is None else self._errors[layer * self._layer.num_directions + direction]

    def _state(self, given: Floats | None, width: int) -> Floats:
        if given is not None:
            return cast("Floats", given.copy())
        layer = self._layer
        shape = (layer.num_layers * layer.num_directions, self._batch, width)
        return cast("Floats", np.zeros(shape, layer.dtype))

    def _again(self, index: int) -> CoreTape:
        """The piece's tape."""
        h0, c0 = self._states[index]
        return self._layer._forward(*self._part(self._pieces[index])._replace(h0=h0, c0=c0))[3]

    def _seen(self, view: Any) -> npt.NDArray[Any]:
        parts = [view(self._again(index)) for index in range(len(self._pieces))]
        array: npt.NDArray[Any] = np.concatenate(parts)
        array.flags.writeable = False
        return array
