"""The reference as layers: `bptt.RNN`, `LSTM`, `GRU` and `MGU` with their backend methods in NumPy.

Whatever the layer's dtype, everything is computed in float64 and rounded once, where it leaves: so a float32
reference layer gives the float32 results that an exact machine would.
"""

from __future__ import annotations

import copy
import inspect
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bptt.arrays import Floats, split
from bptt.layers.clip_state import StateClip
from bptt.layers.gru import GRU as NativeGRU
from bptt.layers.interventions import Flags
from bptt.layers.lstm import LSTM as NativeLSTM
from bptt.layers.mgu import MGU as NativeMGU
from bptt.layers.ragged import Counts
from bptt.layers.recurrent import Recurrent
from bptt.layers.rnn import RNN as NativeRNN
from bptt.reference import lstm, ragged, stack
from bptt.reference.activations import Function
from bptt.reference.common import Array, State, Weights
from bptt.reference.interventions import Interventions

NAMES = (
    *("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole"),
    *("weight_norm_ih", "weight_norm_hh", "weight_norm_c", "bias_norm_c"),
)


class StepByStep:
    """The backend of a stream: whole calls of one step."""

    def __init__(self, layer: NumPyBackend, batch_size: int) -> None:
        self.layer = layer
        self.input = np.zeros((batch_size, layer.input_size), layer.dtype)
        self.output = np.zeros((batch_size, layer.output_size), layer.dtype)
        self.batch_size = batch_size
        self.h: Floats
        self.c: Floats | None
        self.reset()

    def step(self) -> None:
        self.output[...] = self.run(self.input[np.newaxis])[0]

    def run(self, x: Floats) -> Floats:
        y, self.h, self.c = self.layer._infer(x, self.h, self.c, None, 0, None)
        return y

    def state(self) -> tuple[Floats, Floats | None]:
        return self.h.copy(), None if self.c is None else self.c.copy()

    def set_state(self, h: Floats, c: Floats | None) -> None:
        self.h, self.c = h.copy(), None if c is None else c.copy()

    def reset(self) -> None:
        h, *c = (part.astype(self.layer.dtype) for part in self.layer._state(None, None, self.batch_size))
        self.set_state(h, c[0] if c else None)


class Snapshot:
    """The backend of a frozen layer: a copy of the layer."""

    def __init__(self, layer: NumPyBackend) -> None:
        self.infer = layer._infer


class NumPyBackend(Recurrent):
    """The backend methods of a recurrent layer in NumPy, for any cell that `_cell` finds."""

    backend: ClassVar[str] = "reference"
    native: ClassVar[type[Recurrent]]
    """The layer whose reference this is: the last base class."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.native = cls.__bases__[-1]
        # The native layer's arguments, for help() and editors, with the one default that differs.
        signature = inspect.signature(cls.native)
        arguments = [
            p.replace(default="float64") if p.name == "dtype" else p for p in signature.parameters.values()
        ]
        cls.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, dtype: Any = "float64", **options: Any) -> None:
        super().__init__(*args, dtype=dtype, **options)

    def _cell(self) -> stack.Cell:
        """The layer's cell over time, its options filled in."""
        return stack.CELLS[self.cell]

    def _infer(
        self,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        active: Counts | None,
        batch: int,
        reset: Flags | None,
    ) -> tuple[Floats, Floats, Floats | None]:
        # what zoneout's masks are on average
        keep_h, keep_c = (np.full(1, p) for p in self._drawn.zoneout)
        by = self._interventions(x, active, batch, (), reset, None, keep_h, keep_c)
        y, state, _ = self._run(x, h0, c0, active, by)
        return self._rounded(y, state)

    def _forward(
        self,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        dropout_key: int,
        active: Counts | None,
        batch: int,
        reset: Flags | None,
        recurrent_mask: Floats | None,
        keep_h: Floats | None,
        keep_c: Floats | None,
        first_row: int = 0,
        parameters: Floats | None = None,
    ) -> tuple[Floats, Floats, Floats | None, stack.StackTape | ragged.RaggedTape]:
        dropout: tuple[Array, ...] = ()
        if self.dropout > 0.0:
            width = self.num_directions * self.output_size
            shape, first = (*x.shape[:-1], width), first_row * width
            keys = (dropout_key + k for k in range(self.num_layers - 1))
            dropout = tuple(stack.dropout_mask(shape, self.dropout, key, first) for key in keys)
        by = self._interventions(x, active, batch, dropout, reset, recurrent_mask, keep_h, keep_c)
        y, state, tape = self._run(x, h0, c0, active, by, parameters)
        rounded, h, c = self._rounded(y, state)
        rounded.flags.writeable = False  # as the native layer's, which is a view into the tape
        return rounded, h, c, tape

    def _backward(
        self,
        core_tape: Any,
        dy: Floats | None,
        dh: Floats | None,
        dc: Floats | None,
        steps: int | None,
        need_dx: bool,
        clip: StateClip | None = None,
        keep_errors: bool = False,
        chunk: int | None = None,
    ) -> tuple[Floats | None, Floats, Floats | None]:
        # `chunk` says how the compiled core groups its sums over time: here they are one
        tape: stack.StackTape | ragged.RaggedTape = core_tape
        B = tape.shape[1]
        dy_wide = np.zeros(tape.y_shape) if dy is None else dy.astype(np.float64)
        dstate_in = self._state(dh, dc, B)
        invert = ragged.backward if isinstance(tape, ragged.RaggedTape) else stack.backward
        dx, dstate, gradients = invert(
            self._cell(),
            tape,  # type: ignore[arg-type]
            dy_wide,
            dstate_in,
            steps,
            clip,
            keep_errors,
        )
        for layer, directions in enumerate(gradients):
            for direction, gradient in enumerate(directions):
                for name, value in gradient.weights.items():
                    self.gradients[_full_name(name, layer, direction)] += value.astype(self.dtype)
        rounded, dh0, dc0 = self._rounded(dx, dstate)
        return rounded if need_dx else None, dh0, dc0

    def _freeze(self) -> Snapshot:
        return Snapshot(copy.deepcopy(self))

    def _stream(self, batch_size: int) -> StepByStep:
        return StepByStep(copy.deepcopy(self), batch_size)

    def _run(
        self,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        active: Counts | None,
        by: Interventions,
        parameters: Floats | None = None,
    ) -> tuple[Array, State, stack.StackTape | ragged.RaggedTape]:
        cell, weights, wide = self._cell(), self._weights(parameters), x.astype(np.float64)
        state = self._state(h0, c0, by.recurrent.shape[1])
        if active is None:
            return stack.forward(cell, weights, wide, state, by)
        return ragged.forward(cell, weights, wide, state, active, by)

    def _interventions(
        self,
        x: Floats,
        active: Counts | None,
        batch: int,
        dropout: tuple[Array, ...],
        reset: Flags | None,
        recurrent: Floats | None,
        keep_h: Floats | None,
        keep_c: Floats | None,
    ) -> Interventions:
        """With None filled in: no resets, factors of 1, nothing kept."""
        runs, over_time = self.num_layers * self.num_directions, x.shape[:-1]
        B = x.shape[1] if active is None else batch

        def full(given: Any, otherwise: float, *shape: int) -> Array:
            values = np.asarray(otherwise if given is None else given, np.float64)
            return np.broadcast_to(values, (runs, *shape))

        return Interventions(
            dropout,
            np.zeros(over_time, np.bool_) if reset is None else reset.astype(np.bool_),
            full(recurrent, 1.0, B, self.output_size),
            full(keep_h, 0.0, *over_time, self.output_size),
            full(keep_c, 0.0, *over_time, self.hidden_size),
            zoneout_c=keep_c is not None,
        )

    def _weights(self, parameters: Floats | None = None) -> list[list[Weights]]:
        """Copies in float64, `[layer][direction]`, of these parameters. None: of the layer's own."""
        tensors = split(self.flat_parameters if parameters is None else parameters, self._stack.parameters)
        return [
            [
                {
                    name: tensors[_full_name(name, layer, direction)].astype(np.float64)
                    for name in NAMES
                    if _full_name(name, layer, direction) in tensors
                }
                for direction in range(self.num_directions)
            ]
            for layer in range(self.num_layers)
        ]

    def _state(self, h: Floats | None, c: Floats | None, batch: int) -> State:
        """The state in float64, zeros for None."""
        runs = self.num_layers * self.num_directions
        parts = ((h, self.output_size), (c, self.hidden_size))[: 2 if self.has_cell_state else 1]
        return tuple(
            np.zeros((runs, batch, width)) if part is None else part.astype(np.float64)
            for part, width in parts
        )

    def _rounded(self, y: Array, state: State) -> tuple[Floats, Floats, Floats | None]:
        h, *c = (part.astype(self.dtype) for part in state)
        return y.astype(self.dtype), h, c[0] if c else None


def _full_name(name: str, layer: int, direction: int) -> str:
    return f"{name}_l{layer}{'_reverse' if direction else ''}"


def lstm_options(layer: NativeLSTM) -> lstm.Options:
    """Return what the equations in `lstm` need to know of a layer besides its weights."""
    gates, candidate, output = layer.activations
    return lstm.Options(
        Function(*gates, layer.gate_clip),
        Function(*candidate, layer.gate_clip),
        Function(*output, layer.gate_clip if layer.clip_mode == "spec" else None),
        layer.cell_clip,
        layer.coupled,
    )


class RNN(NumPyBackend, NativeRNN):
    """`bptt.RNN` in NumPy; float64 unless `dtype` says otherwise."""


class LSTM(NumPyBackend, NativeLSTM):
    """`bptt.LSTM` in NumPy; float64 unless `dtype` says otherwise."""

    def _cell(self) -> stack.Cell:
        options = lstm_options(self)
        return stack.Cell(partial(lstm.forward, options=options), partial(lstm.backward, options=options))


class GRU(NumPyBackend, NativeGRU):
    """`bptt.GRU` in NumPy; float64 unless `dtype` says otherwise."""


class MGU(NumPyBackend, NativeMGU):
    """`bptt.MGU` in NumPy; float64 unless `dtype` says otherwise."""
