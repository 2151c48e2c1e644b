"""The reference as a backend: NumPy code that follows the equations.

For every dtype of the layer, the backend computes in float64 and rounds the results once. A float32 layer
therefore returns the float32 results that an exact machine would return. With `precision="bfloat16"`, the
operands of products are rounded, and nothing else. Its tape is not rounded, whatever `tape_dtype` is.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np

from bptt.arrays import Floats, split
from bptt.layers.module import Table
from bptt.layers.passes.backend import Backed, Call, Errors, Passed, Stack
from bptt.layers.passes.precision import parse_precision
from bptt.layers.passes.step_by_step import StepByStep
from bptt.reference import ragged, stack
from bptt.reference.common import Array, State, Weights
from bptt.reference.directions import Directions
from bptt.reference.interventions import Interventions

NAMES = (
    *("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole"),
    *("weight_norm_ih", "weight_norm_hh", "weight_norm_c", "bias_norm_c"),
)


ROUNDING_DTYPES = ("float32", "float64")
"""The dtypes in which the reference rounds operands to bfloat16."""


class Described(Stack, Protocol):
    """A layer with equations that the reference implements."""

    input_size: int
    dropout: float
    precision: str
    flat_parameters: Floats

    @property
    def gradients(self) -> Any: ...
    @property
    def zoneout(self) -> float | tuple[float, float]: ...
    @property
    def table(self) -> Table: ...
    def equations(self) -> stack.Cell: ...
    def chunk_steps(self, batch: int) -> int: ...


class NumPy:
    """The backend of one stack of recurrent layers.

    Parameters
    ----------
    layer : Described
        Every call reads the layer's present parameters and adds gradients to the layer's gradients.
    precision : str, optional
        Default: that of the layer.
    """

    def __init__(self, layer: Described, precision: str | None = None) -> None:
        self.layer = layer
        self.precision = layer.precision if precision is None else precision

    def infer(self, call: Call) -> Passed:
        # Inference uses the mean of zoneout's masks.
        zoneout = self.layer.zoneout
        keep_h, keep_c = (np.full(1, p) for p in (zoneout if isinstance(zoneout, tuple) else (zoneout,) * 2))
        y, state, _ = self._run(call, self._interventions(call, (), None, keep_h, keep_c))
        return self._rounded(y, state)

    def forward(self, call: Call) -> tuple[Passed, stack.StackTape | ragged.RaggedTape]:
        layer, x = self.layer, call.x
        dropout: tuple[Array, ...] = ()
        if layer.dropout > 0.0:
            width = layer.y_size
            shape, first = (*x.shape[:-1], width), call.first_row * width
            keys = (call.dropout_key + k for k in range(layer.num_layers - 1))
            dropout = tuple(stack.dropout_mask(shape, layer.dropout, key, first) for key in keys)
        by = self._interventions(call, dropout, call.recurrent_mask, call.keep_h, call.keep_c)
        y, state, tape = self._run(call, by)
        passed = self._rounded(y, state)
        passed[0].flags.writeable = False  # as in the native layer, whose y is a view into the tape
        return passed, tape

    def backward(self, tape: stack.StackTape | ragged.RaggedTape, errors: Errors) -> Backed:
        # `errors.chunk` is not used: it only says how the compiled core groups its sums over time.
        layer = self.layer
        dy_wide = np.zeros(tape.y_shape) if errors.dy is None else errors.dy.astype(np.float64)
        dstate_in = self._state(errors.dh, errors.dc, tape.shape[1])
        settings = errors.steps, errors.clip, errors.keep_errors
        if isinstance(tape, ragged.RaggedTape):
            dx, dstate, gradients = ragged.backward(
                layer.equations(), tape, dy_wide, dstate_in, *settings, errors.cut, errors.norms_of_rows
            )
        else:
            dx, dstate, gradients = stack.backward(layer.equations(), tape, dy_wide, dstate_in, *settings)
        for index, directions in enumerate(gradients if errors.train else ()):
            for direction, gradient in enumerate(directions):
                for name, value in gradient.weights.items():
                    layer.gradients[_full_name(name, index, direction)] += value.astype(layer.dtype)
        rounded, dh0, dc0 = self._rounded(dx, dstate)
        return rounded if errors.need_dx else None, dh0, dc0

    def chunk_steps(self, batch: int) -> int:
        # The reference could use any number. The core's number divides a pass into the same pieces.
        return self.layer.chunk_steps(batch)

    def freeze(self, precision: str | None = None) -> NumPy:
        layer = copy.deepcopy(self.layer)
        if precision is not None:
            precision = parse_precision(precision, layer.dtype, dtypes=ROUNDING_DTYPES)
        return NumPy(layer, precision)

    def stream(self, batch_size: int, precision: str | None = None) -> StepByStep:
        return StepByStep(self.freeze(precision), self.layer, batch_size)

    def _run(self, call: Call, by: Interventions) -> tuple[Array, State, stack.StackTape | ragged.RaggedTape]:
        cell, weights = self.layer.equations(), self._weights(call.parameters)
        state = self._state(call.h0, call.c0, by.recurrent.shape[1])
        wide = call.x.astype(np.float64)
        ways = Directions(self.layer.reverse, self.layer.merge)
        if call.active is None:
            return stack.forward(cell, weights, ways, wide, state, by)
        return ragged.forward(cell, weights, ways, wide, state, call.active, call.times, by)

    def _interventions(
        self, call: Call, dropout: tuple[Array, ...], recurrent: Any, keep_h: Any, keep_c: Any
    ) -> Interventions:
        """Return the interventions of a call.

        None becomes no resets, factors of 1 and no zoneout.
        """
        layer = self.layer
        runs, over_time = layer.num_layers * layer.num_directions, call.x.shape[:-1]
        B = call.x.shape[1] if call.active is None else call.batch

        def full(values: Any, default: float, *shape: int) -> Array:
            array = np.asarray(default if values is None else values, np.float64)
            return np.broadcast_to(array, (runs, *shape))

        widths = [layer.input_size, *[layer.y_size] * (layer.num_layers - 1)]
        inputs = np.ones((B, sum(widths))) if call.input_mask is None else call.input_mask.astype(np.float64)
        return Interventions(
            dropout,
            tuple(np.split(inputs, np.cumsum(widths)[:-1], axis=1)),
            np.zeros(over_time, np.bool_),
            np.zeros(over_time, np.bool_) if call.reset is None else call.reset.astype(np.bool_),
            full(recurrent, 1.0, B, layer.output_size),
            full(keep_h, 0.0, *over_time, layer.output_size),
            full(keep_c, 0.0, *over_time, layer.hidden_size),
            zoneout_c=keep_c is not None,
            bfloat16=self.precision == "bfloat16",
        )

    def _weights(self, parameters: Floats | None) -> list[list[Weights]]:
        """Copy parameters in float64, as `[layer][direction]`. None: those of the layer."""
        layer = self.layer
        tensors = split(layer.flat_parameters if parameters is None else parameters, layer.table)
        return [
            [
                {
                    name: tensors[_full_name(name, index, direction)].astype(np.float64)
                    for name in NAMES
                    if _full_name(name, index, direction) in tensors
                }
                for direction in range(layer.num_directions)
            ]
            for index in range(layer.num_layers)
        ]

    def _state(self, h: Floats | None, c: Floats | None, batch: int) -> State:
        """Return the state in float64, with zeros for None."""
        layer = self.layer
        runs = layer.num_layers * layer.num_directions
        parts = ((h, layer.output_size), (c, layer.hidden_size))[: 2 if layer.has_cell_state else 1]
        return tuple(
            np.zeros((runs, batch, width)) if part is None else part.astype(np.float64)
            for part, width in parts
        )

    def _rounded(self, y: Array, state: State) -> Passed:
        dtype = self.layer.dtype
        h, *c = (part.astype(dtype) for part in state)
        return y.astype(dtype), h, c[0] if c else None


def _full_name(name: str, layer: int, direction: int) -> str:
    return f"{name}_l{layer}{'_reverse' if direction else ''}"
