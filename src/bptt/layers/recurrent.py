"""Base class of RNN, LSTM, GRU and MGU: their common options, and parameters."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed, choice, flag, probability, size
from bptt.arrays import Floats
from bptt.layers.advice import advise_other_dropout
from bptt.layers.budget import check_count
from bptt.layers.module import Init, Table
from bptt.layers.passes.backend import Backend, Call, CoreTape
from bptt.layers.passes.directions import check_directions
from bptt.layers.passes.interventions import RandomMasks, parse_zoneout
from bptt.layers.passes.native import Native
from bptt.layers.passes.precision import parse_precision
from bptt.layers.passes.tape import check_tape_dtype
from bptt.layers.recurrent_calls import RecurrentCalls

MAX_LAYERS = 10_000
"""Far more than any useful number. The limit stops mistakes and hostile files from filling the memory."""


_SETTINGS = (
    *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"),
    *("reverse", "merge", "layer_norm", "recurrent_dropout", "input_dropout", "zoneout", "precision"),
    "tape_dtype",
)
"""Constructor arguments of every recurrent layer. Attributes with the same names hold them."""


class Recurrent(RecurrentCalls):
    """A stack of recurrent layers. Use `RNN`, `LSTM`, `GRU` or `MGU`.

    A `Backend` computes the passes. Here it is the compiled core. `cell_options` holds the options of one
    cell, with the names of the core.
    """

    backend: ClassVar[str] = "native"
    built_with: ClassVar[frozenset[str]] = frozenset(_SETTINGS) - {"batch_first", "dropout", "zoneout"}
    gate_count: int

    def __init__(
        self,
        cell: _core.Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        reverse: bool,
        merge: str,
        layer_norm: bool,
        recurrent_dropout: float,
        input_dropout: float,
        zoneout: Any,
        init: Init,
        precision: str,
        dtype: object,
        tape_dtype: str | None,
        seed: Seed,
        **cell_options: Any,
    ) -> None:
        super().__init__(dtype, seed)
        self.cell: _core.Cell = cell
        self.input_size = size(input_size, "input_size")
        self.hidden_size = size(hidden_size, "hidden_size")
        self.num_layers = size(num_layers, "num_layers", MAX_LAYERS)
        self.bias = flag(bias, "bias")
        self.batch_first = flag(batch_first, "batch_first")
        self._dropout = probability(dropout, "dropout")
        if self._dropout and self.num_layers == 1:
            advise_other_dropout(self._dropout)
        self.bidirectional = flag(bidirectional, "bidirectional")
        self.num_directions = 2 if self.bidirectional else 1
        self.reverse = flag(reverse, "reverse")
        self.merge = choice(merge, "merge", ("concat", "sum", "mean", "mul"))
        check_directions(self.bidirectional, self.reverse, self.merge)
        self.layer_norm = flag(layer_norm, "layer_norm")
        self.recurrent_dropout = probability(recurrent_dropout, "recurrent_dropout")
        self.input_dropout = probability(input_dropout, "input_dropout")
        zoneout_pair = parse_zoneout(zoneout, self.has_cell_state)
        between = self._dropout if self.num_layers > 1 else 0.0
        self._masks = RandomMasks(between, self.recurrent_dropout, self.input_dropout, zoneout_pair)
        self._core_options = cell_options | {"layer_norm": self.layer_norm, "zoneout": zoneout_pair}
        self._core_options |= {"reverse": self.reverse, "merge": self.merge}
        self.tape_dtype = check_tape_dtype(tape_dtype, self.dtype)
        self.output_size = cell_options.get("projection") or self.hidden_size
        self.y_size = self.output_size * (self.num_directions if self.merge == "concat" else 1)
        self.precision = parse_precision(precision, self.dtype, dtypes=self.rounding_dtypes)
        # A lower bound of the number of parameters, because the core computes sizes with 64-bit integers. The
        # recurrent weights of a projected LSTM read the projection.
        rows = self.num_directions * self.gate_count * self.hidden_size
        check_count(rows * (self.input_size + self.num_layers * self.output_size), self.dtype)
        self.allocate(init)

    @property
    def dropout(self) -> float:
        """Fraction of outputs dropped between layers. Can be assigned."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = probability(value, "dropout")
        self._masks = replace(self._masks, dropout=self._dropout if self.num_layers > 1 else 0.0)

    @property
    def zoneout(self) -> float | tuple[float, float]:
        """Probability of keeping the old state; a pair if h and c have different ones."""
        h, c = self._masks.zoneout
        return (h, c) if self.has_cell_state and h != c else h

    @property
    def state_pattern(self) -> str:
        return "(h, c)" if self.has_cell_state else "h"

    @property
    def int8_weights(self) -> frozenset[str]:
        return frozenset(
            name for name in self.parameters if name.startswith(("weight_ih_", "weight_hh_", "weight_hr_"))
        )

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS} | {"dtype": self.dtype.name}

    def _backend(self) -> Backend:
        """Return the backend of this layer, with the current vectors."""
        return Native(self._stack, self.flat_parameters, self.flat_gradients, self.dropout)

    @property
    def core(self) -> _core.Recurrent:
        """The compiled stack: sizes and passes, without the vectors."""
        return self._stack

    # Parameters

    @property
    def table(self) -> Table:
        """Names and shapes of the parameters, in the order of the flat vector."""
        return self._stack.parameters

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        is_float32 = self.dtype == np.float32  # `bind` may have changed the dtype
        self._stack = _core.Recurrent(
            self.cell,
            self.dtype.name,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            precision=self.precision if is_float32 else "highest",
            compact_tape=is_float32 and self.tape_dtype is not None,
            **self._core_options,
        )
        return dict(self._stack.parameters)

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Draw uniformly in +-1/sqrt(hidden_size), as in PyTorch.

        Layer norm has gain 1 and offset 0.
        """
        if name.startswith("weight_norm"):
            return np.ones(shape)
        if name.startswith("bias_norm"):
            return np.zeros(shape)
        bound = 1.0 / math.sqrt(self.hidden_size)
        return self.rng.uniform(-bound, bound, shape)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_stack"]  # holds only sizes, and `parameter_shapes` builds it again
        return state

    def step_input(self, batch_size: int) -> Floats:
        return np.zeros((batch_size, self.input_size), self.dtype)

    def tape_bytes(self, T: int, B: int, outputs: int) -> int | None:
        # A tape grows linearly with rows and steps. Only the compiled core tells its size.
        sizes = []
        for steps in (1, 2):
            x = np.zeros((steps, 1, self.input_size), self.dtype)
            sizes.append(getattr(expected_tape(self, x, None, None), "nbytes", None))
        one, two = sizes
        return None if one is None or two is None else B * (one + (T - 1) * (two - one))


def expected_tape(layer: Recurrent, x: Floats, h0: Floats | None, c0: Floats | None) -> CoreTape:
    """Return the tape of a pass that uses the mean of zoneout.

    The arrays are those that `canonical_input` returns.
    """
    return layer._backend().forward(Call(x, h0, c0))[1]
