"""Recompute: keep only some states, and compute the rest in the backward pass.

Chen, Xu, Zhang and Guestrin (2016), Training deep nets with sublinear memory cost; Gruslys et al. (2016) for
recurrent networks. Gradients have the same bits as without recomputation, because pieces end where the
backward pass divides its sums anyway. Kept states have the layer's dtype, whatever `tape_dtype` is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bptt.arguments import size
from bptt.arrays import Floats, contiguous, read_only
from bptt.layers.passes.backend import Backed, Backend, Call, CoreTape, Errors, Passed, Stack


@dataclass(frozen=True)
class Piece:
    """Steps `begin` to `end` of a call, which are `rows` of its rows over time.

    The batch of the piece is the first `batch` rows, which are active at `begin`.
    """

    begin: int
    end: int
    batch: int
    rows: slice


def parse_recompute(value: object, T: int) -> int:
    """Return the number of steps between two kept states from `checkpoint`.

    Raises
    ------
    TypeError, ValueError
        If `value` is neither "auto" nor an int above 0.
    """
    if isinstance(value, str) and value == "auto":
        return max(1, math.isqrt(T))
    try:
        return size(value, "checkpoint")
    except TypeError as error:
        raise TypeError(str(error).replace("an int >= 1", 'an int >= 1, or "auto"')) from None


class Recomputed:
    """A tape that keeps only some states.

    Every view is recomputed each time it is read.

    Parameters
    ----------
    stack : Stack
        A stack that reads forward only.
    backend : Backend
        The backend that computes the stack.
    call : Call
        The arguments, including the parameters.
    interval : int
        Minimum number of steps between two states that are kept.
    """

    def __init__(self, stack: Stack, backend: Backend, call: Call, interval: int) -> None:
        self._stack, self._backend = stack, backend
        x, parameters = (read_only(cast("Floats", array)) for array in (call.x, call.parameters))
        self._call = call._replace(x=x, parameters=parameters)
        self._chunk = backend.chunk_steps(self._batch)
        self._pieces = list(self._cut(-(-interval // self._chunk) * self._chunk))
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

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for state in self._states for part in state if part is not None)

    def _cut(self, steps: int) -> Iterator[Piece]:
        """Yield pieces of `steps` steps. Only the first piece may be shorter."""
        T, B = self.shape
        active = self._call.active
        batch = np.full(T + 1, B) if active is None else np.concatenate([[B], active])
        base = np.concatenate([[0], np.cumsum(batch[:T])])
        for end in range(T % steps or min(steps, T), T + 1, steps):
            begin = max(0, end - steps)
            rows = slice(begin, end) if active is None else slice(int(base[begin]), int(base[end]))
            yield Piece(begin, end, int(batch[begin]), rows)

    def _part(self, piece: Piece) -> Call:
        """Return the call of a piece, without its state."""
        call, rows, batch = self._call, piece.rows, piece.batch

        def over_time(array: Floats | None) -> Floats | None:
            return None if array is None else contiguous(array[:, rows])

        mask = call.recurrent_mask
        return call._replace(
            x=call.x[rows],
            active=None if call.active is None else call.active[piece.begin : piece.end],
            batch=0 if call.active is None else batch,
            times=None if call.times is None else call.times[rows],
            reset=None if call.reset is None else call.reset[rows],
            recurrent_mask=None if mask is None else contiguous(mask[:, :batch]),
            keep_h=over_time(call.keep_h),
            keep_c=over_time(call.keep_c),
            input_mask=None if call.input_mask is None else call.input_mask[:batch],
            first_row=rows.start * (batch if call.active is None else 1),
        )

    def forward(self, *, random: bool) -> Passed:
        """Run all pieces, and keep their first states.

        `random` says whether dropout or zoneout changes units at random, which inference does not do.
        """
        layer, call = self._stack, self._call
        snapshot = None if random else self._backend.freeze()  # packs the weights once for all pieces
        y = np.empty((*call.x.shape[:-1], layer.y_size), layer.dtype)
        h, c = self._state(call.h0, layer.output_size), None
        if layer.has_cell_state:
            c = self._state(call.c0, layer.hidden_size)
        for piece in self._pieces:
            h0, c0 = (None if s is None else s[:, : piece.batch].copy() for s in (h, c))
            self._states.append((h0, c0))
            part = self._part(piece)._replace(h0=h0, c0=c0)
            outputs = self._backend.forward(part)[0] if snapshot is None else snapshot.infer(part)
            y[piece.rows], h[:, : piece.batch], last_c = outputs
            if c is not None:
                c[:, : piece.batch] = last_c
        return y, h, c

    def backward(self, errors: Errors) -> Backed:
        """Run the backward pass piece by piece, from the last piece to the first."""
        layer, call = self._stack, self._call
        T = self.shape[0]
        first = 0 if errors.steps is None else max(0, T - errors.steps)  # the first step that gets errors
        runs = layer.num_layers * layer.num_directions
        dh = self._state(errors.dh, layer.output_size)
        dc = self._state(errors.dc, layer.hidden_size) if layer.has_cell_state else None
        norms = np.zeros((2 if layer.has_cell_state else 1, runs, len(call.x) if errors.norms_of_rows else T))
        dx = np.zeros_like(call.x) if errors.need_dx else None
        step_errors = None
        if errors.keep_errors:
            step_errors = np.zeros((runs, *call.x.shape[:-1], layer.output_size), layer.dtype)
        for index in reversed(range(len(self._pieces))):
            piece = self._pieces[index]
            if piece.end <= first or piece.batch == 0:
                continue
            tape = self._recompute(index)
            rows = slice(piece.batch)
            dx_piece, dh0, dc0 = self._backend.backward(
                tape,
                errors._replace(
                    dy=None if errors.dy is None else errors.dy[piece.rows],
                    dh=contiguous(dh[:, rows]),
                    dc=None if dc is None else contiguous(dc[:, rows]),
                    steps=min(piece.end - piece.begin, piece.end - first),
                    chunk=self._chunk,
                    cut=None if errors.cut is None else errors.cut[piece.rows],
                ),
            )
            dh[:, rows] = dh0
            if dc is not None:
                dc[:, rows] = dc0
            if dx is not None:
                dx[piece.rows] = dx_piece
            for kind, norm in enumerate((tape.dh_norm, tape.dc_norm)[: len(norms)]):
                norms[kind, :, piece.rows if errors.norms_of_rows else slice(piece.begin, piece.end)] = norm
            if step_errors is not None:
                for run in range(runs):
                    step_errors[run, piece.rows] = tape.dh(*divmod(run, layer.num_directions))
        if first > 0:  # errors of rows with valid steps do not flow back to the initial state
            nonempty = slice(self._batch if call.active is None else int(call.active[0]))
            for state in (dh, dc):
                if state is not None:
                    state[:, nonempty] = 0
        for array in (norms, step_errors):
            if array is not None:
                array.flags.writeable = False
        self.dh_norm, self.dc_norm = norms[0], norms[1] if layer.has_cell_state else None
        self._errors = step_errors
        return dx, dh, dc

    def h(self, layer: int, direction: int, /) -> npt.NDArray[Any]:
        return self._view(lambda tape: tape.h(layer, direction))

    def c(self, layer: int, direction: int, /) -> npt.NDArray[Any]:
        return self._view(lambda tape: tape.c(layer, direction))

    def gates(self, layer: int, direction: int, /) -> npt.NDArray[Any]:
        return self._view(lambda tape: tape.gates(layer, direction))

    def dh(self, layer: int, direction: int, /) -> npt.NDArray[Any] | None:
        return None if self._errors is None else self._errors[layer * self._stack.num_directions + direction]

    def _state(self, state: Floats | None, width: int) -> Floats:
        if state is not None:
            return cast("Floats", state.copy())
        layer = self._stack
        shape = (layer.num_layers * layer.num_directions, self._batch, width)
        return cast("Floats", np.zeros(shape, layer.dtype))

    def _recompute(self, index: int) -> CoreTape:
        """Run the forward pass of a piece again, and return its tape."""
        h0, c0 = self._states[index]
        return self._backend.forward(self._part(self._pieces[index])._replace(h0=h0, c0=c0))[1]

    def _view(self, view: Any) -> npt.NDArray[Any]:
        parts = [view(self._recompute(index)) for index in range(len(self._pieces))]
        array: npt.NDArray[Any] = np.concatenate(parts)
        array.flags.writeable = False
        return array
