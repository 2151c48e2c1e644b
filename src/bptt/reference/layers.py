"""The reference as layers: `bptt.RNN`, `LSTM` and `GRU` with their backend methods in NumPy.

Whatever the layer's dtype, everything is computed in float64 and rounded once, where it leaves: so a float32
reference layer gives the float32 results that an exact machine would.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, ClassVar

import numpy as np

from bptt.arrays import Floats
from bptt.layers.gru import GRU as NativeGRU
from bptt.layers.lstm import LSTM as NativeLSTM
from bptt.layers.ragged import Counts
from bptt.layers.recurrent import Recurrent
from bptt.layers.rnn import RNN as NativeRNN
from bptt.reference import ragged, stack
from bptt.reference.common import Array, State, Weights

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_peephole")


class StepByStep:
    """The backend of a stream: whole calls of one step."""

    def __init__(self, layer: NumPyBackend, batch_size: int) -> None:
        self.layer = layer
        self.input = np.zeros((batch_size, layer.input_size), layer.dtype)
        self.output = np.zeros((batch_size, layer.hidden_size), layer.dtype)
        self.h: Floats = np.zeros((layer.num_layers, batch_size, layer.hidden_size), layer.dtype)
        self.c: Floats | None = np.zeros_like(self.h) if layer.has_cell_state else None

    def step(self) -> None:
        self.output[...] = self.run(self.input[np.newaxis])[0]

    def run(self, x: Floats) -> Floats:
        y, self.h[...], c = self.layer._infer(x, self.h, self.c, None, 0)
        if self.c is not None and c is not None:
            self.c[...] = c
        return y


class Snapshot:
    """The backend of a frozen layer: a copy of the layer."""

    def __init__(self, layer: NumPyBackend) -> None:
        self.infer = layer._infer


class NumPyBackend(Recurrent):
    """The backend methods of a recurrent layer in NumPy, for any cell that `stack.CELLS` knows."""

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

    def _infer(
        self, x: Floats, h0: Floats | None, c0: Floats | None, active: Counts | None, batch: int
    ) -> tuple[Floats, Floats, Floats | None]:
        y, state, _ = self._run(x, h0, c0, active, batch, dropout=0.0, dropout_key=0)
        return self._rounded(y, state)

    def _forward(
        self,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        dropout_key: int,
        active: Counts | None,
        batch: int,
    ) -> tuple[Floats, Floats, Floats | None, stack.StackTape | ragged.RaggedTape]:
        y, state, tape = self._run(x, h0, c0, active, batch, dropout=self.dropout, dropout_key=dropout_key)
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
    ) -> tuple[Floats | None, Floats, Floats | None]:
        tape: stack.StackTape | ragged.RaggedTape = core_tape
        B = tape.shape[1]
        dy_wide = np.zeros(tape.y_shape) if dy is None else dy.astype(np.float64)
        cell, weights, dstate_in = stack.CELLS[self.cell], self._weights(), self._state(dh, dc, B)
        invert = ragged.backward if isinstance(tape, ragged.RaggedTape) else stack.backward
        dx, dstate, gradients = invert(cell, weights, tape, dy_wide, dstate_in, steps)  # type: ignore[arg-type]
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
        batch: int,
        *,
        dropout: float,
        dropout_key: int,
    ) -> tuple[Array, State, stack.StackTape | ragged.RaggedTape]:
        masks = []
        if dropout > 0.0:
            shape = (*x.shape[:-1], self.num_directions * self.hidden_size)
            masks = [stack.dropout_mask(shape, dropout, dropout_key + k) for k in range(self.num_layers - 1)]
        cell, weights, wide = stack.CELLS[self.cell], self._weights(), x.astype(np.float64)
        if active is None:
            return stack.forward(cell, weights, wide, self._state(h0, c0, x.shape[1]), masks)
        return ragged.forward(cell, weights, wide, self._state(h0, c0, batch), active, masks)

    def _weights(self) -> list[list[Weights]]:
        """The parameters in float64, `[layer][direction]`."""
        return [
            [
                {
                    name: self.parameters[_full_name(name, layer, direction)].astype(np.float64)
                    for name in NAMES
                    if _full_name(name, layer, direction) in self.parameters
                }
                for direction in range(self.num_directions)
            ]
            for layer in range(self.num_layers)
        ]

    def _state(self, h: Floats | None, c: Floats | None, batch: int) -> State:
        """The state in float64, zeros for None."""
        parts = (h, c) if self.has_cell_state else (h,)
        shape = (self.num_layers * self.num_directions, batch, self.hidden_size)
        return tuple(np.zeros(shape) if part is None else part.astype(np.float64) for part in parts)

    def _rounded(self, y: Array, state: State) -> tuple[Floats, Floats, Floats | None]:
        h, *c = (part.astype(self.dtype) for part in state)
        return y.astype(self.dtype), h, c[0] if c else None


def _full_name(name: str, layer: int, direction: int) -> str:
    return f"{name}_l{layer}{'_reverse' if direction else ''}"


class RNN(NumPyBackend, NativeRNN):
    """`bptt.RNN` in NumPy; float64 unless `dtype` says otherwise."""


class LSTM(NumPyBackend, NativeLSTM):
    """`bptt.LSTM` in NumPy; float64 unless `dtype` says otherwise."""


class GRU(NumPyBackend, NativeGRU):
    """`bptt.GRU` in NumPy; float64 unless `dtype` says otherwise."""
