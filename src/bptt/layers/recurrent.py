"""Base class of RNN, LSTM, GRU and MGU.

It converts arguments, layouts and states for a backend.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed, choice, flag, probability, size
from bptt.arrays import Floats
from bptt.layers.advice import advise_other_dropout
from bptt.layers.budget import check_count
from bptt.layers.module import Init, Module, Table
from bptt.layers.passes import call_arguments
from bptt.layers.passes.backend import Backend, Call, CoreTape, State
from bptt.layers.passes.clip_state import ClipsState
from bptt.layers.passes.frozen import Frozen
from bptt.layers.passes.inference_stream import InferenceStream
from bptt.layers.passes.interventions import RandomMasks, packed, parse_zoneout
from bptt.layers.passes.native import Native
from bptt.layers.passes.recompute import Recomputed, parse_recompute
from bptt.layers.passes.tape import RecurrentTape, Tape, check_tape

MAX_LAYERS = 10_000
"""Far more than any useful number. The limit stops mistakes and hostile files from filling the memory."""


_SETTINGS = (
    *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"),
    *("layer_norm", "recurrent_dropout", "zoneout", "precision"),
)
"""Constructor arguments of every recurrent layer. Attributes with the same names hold them."""


class Recurrent(Module):
    """A stack of recurrent layers. Use `RNN`, `LSTM`, `GRU` or `MGU`.

    A `Backend` computes the passes. Here it is the compiled core. `cell_options` holds the options of one
    cell, with the names of the core.
    """

    backend: ClassVar[str] = "native"
    call_options: ClassVar[frozenset[str]] = frozenset(("lengths", "reset"))
    has_cell_state: ClassVar[bool] = False
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
        layer_norm: bool,
        recurrent_dropout: float,
        zoneout: Any,
        init: Init,
        precision: str,
        dtype: object,
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
        self.dropout = probability(dropout, "dropout")
        if self.dropout and self.num_layers == 1:
            advise_other_dropout(self.dropout)
        self.bidirectional = flag(bidirectional, "bidirectional")
        self.num_directions = 2 if self.bidirectional else 1
        self.layer_norm = flag(layer_norm, "layer_norm")
        self.recurrent_dropout = probability(recurrent_dropout, "recurrent_dropout")
        zoneout_pair = parse_zoneout(zoneout, self.has_cell_state)
        between_layers = self.dropout if self.num_layers > 1 else 0.0
        self._masks = RandomMasks(between_layers, self.recurrent_dropout, zoneout_pair)
        self._core_options = cell_options | {"layer_norm": self.layer_norm, "zoneout": zoneout_pair}
        self.output_size = cell_options.get("projection") or self.hidden_size
        self.precision = choice(precision, "precision", ("highest",))
        # A lower bound of the number of parameters, because the core computes sizes with 64-bit integers.
        weights = self.input_size + self.num_layers * self.hidden_size
        check_count(self.num_directions * self.gate_count * self.hidden_size * weights, self.dtype)
        self._allocate(init)

    @property
    def zoneout(self) -> float | tuple[float, float]:
        """Probability of keeping the old state; a pair if h and c have different ones."""
        h, c = self._masks.zoneout
        return (h, c) if self.has_cell_state and h != c else h

    @property
    def state_pattern(self) -> str:
        return "(h, c)" if self.has_cell_state else "h"

    # The protocol

    def __call__(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
    ) -> tuple[Floats, State]:
        """Run inference: keep no tape, apply no dropout, and use the mean of zoneout.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (B, T, I) with `batch_first`. Unbatched (T, I).
        state : array-like, or for LSTM a pair (h, c) of arrays, optional
            (L*D, B, H), with entry `layer * directions + direction` on the first axis. Unbatched (L*D, H).
            With `proj_size` P, h has P in place of H. Default, and None in a pair: zeros.
        lengths : array-like of int, optional
            (B,): the number of valid steps of each row, in 0..T and in any order. Later steps are not read,
            and cost nothing. Default: all steps are valid.
        reset : array-like of bool, optional
            (T, B), or (B, T) with `batch_first`. Unbatched (T,). True: the row's state is zero before that
            step, as where an episode begins. No direction carries its state across this cut. Default: never.

        Returns
        -------
        y : ndarray
            (T, B, D*H) in the layout of x: the last layer's hidden states, forward then reverse direction.
            0 past the end of a row.
        state : ndarray, or for LSTM a pair (h, c) of arrays
            The final state, in the layout of the argument: after the last valid step, in a reverse direction
            after step 0. A row of length 0 keeps its initial state.

        Raises
        ------
        TypeError
            If arrays do not hold real numbers, lengths integers and resets booleans, or the state is no pair.
        ValueError
            If rank or size are wrong, a finite value is too large for the dtype, or lengths are out of range.
        """
        return call_arguments.infer(self, self._backend(), x, state, lengths, reset)

    def forward(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        masks: Any = None,
        checkpoint: int | Literal["auto"] | None = None,
    ) -> tuple[Floats, State, RecurrentTape]:
        """Run with dropout and zoneout, and keep a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, reset
            As for a call of the layer.
        masks : mapping, optional
            Masks of recurrent dropout and zoneout, for example the `tape.masks` of an earlier pass.
            "recurrent" (L*D, B, H) has factors on h in the recurrent product. "zoneout_h" and "zoneout_c"
            (L*D, T, B, H) are 1 where the old state stays. Default: drawn from the layer's generator.
        checkpoint : int or "auto", optional
            Keep only y and every `checkpoint`-th state, and recompute the other states during `backward`.
            The gradients have the same bits. The tape has T / checkpoint + checkpoint steps instead of T, and
            training takes at most about a third longer. The number is rounded up to a multiple of the steps
            that `backward` computes together (about 256 divided by B). "auto": the square root of T. Default:
            keep all states. Only for layers that are not bidirectional.

        Returns
        -------
        y, state
            As for a call of the layer. y is a read-only view into the tape, or a read-only copy with
            `lengths` or `checkpoint`.
        tape : RecurrentTape
            The arrays that `backward` needs, with readable views.

        Raises
        ------
        TypeError, ValueError
            As for a call of the layer.
        """
        call, layout, ragged, (T, B) = call_arguments.parse_call(self, x, state, lengths, reset)
        key, masks = self._masks.draw(self, masks, T, B)
        if self._masks:
            recurrent_mask, keep_h, keep_c = packed(masks, ragged)
            call = call._replace(dropout_key=key, recurrent_mask=recurrent_mask, keep_h=keep_h, keep_c=keep_c)
        core_tape: CoreTape
        if checkpoint is None:
            (y, h, c), core_tape = self._backend().forward(call)
        else:
            call_arguments.refuse_bidirectional(self, "checkpoint", "the whole tape, checkpoint=None")
            call = call._replace(parameters=self.flat_parameters)
            core_tape = Recomputed(self, self._backend(), call, parse_recompute(checkpoint, T))
            y, h, c = core_tape.forward(random=bool(self._masks))
        y = call_arguments.over_time(y, ragged)
        y.flags.writeable = False
        tape = RecurrentTape(self, core_tape, layout, ragged, masks)
        return layout.sequence_out(y), call_arguments.state_out(h, c, layout, ragged), tape

    def backward(
        self,
        tape: Tape,
        dy: Any = None,
        dstate: Any = None,
        *,
        clip_state: float | ClipsState | None = None,
        steps: int | None = None,
        need_dx: bool = True,
        keep_errors: bool = False,
    ) -> tuple[Floats | None, State]:
        """Backpropagate through time (Werbos 1990), and add to `gradients`.

        Parameters
        ----------
        tape : RecurrentTape
            From this layer's `forward`.
        dy : array-like, optional
            dL/dy in the layout of y. Default: zeros.
        dstate : array-like, or for LSTM a pair (dh, dc) of arrays, optional
            dL/dstate in the layout of the state. Default, and None in a pair: zeros.
        clip_state : float, ClipValue or ClipNorm, optional
            Clip dL/dh_t and dL/dc_t at every step inside the recursion. The whole error is clipped: the error
            from outside at step t plus the error from step t + 1. The clipped error flows to step t - 1, and
            its norms are `tape.dh_norm` and `tape.dc_norm`. A number or ClipValue bounds every entry.
            ClipNorm bounds the 2-norm of each row of the batch separately, so a row's gradients do not depend
            on other rows. The result is no longer the gradient of the loss. Default: no clipping.
        steps : int, optional
            Go back at most `steps` steps from the end. Earlier steps get dx = 0 and add nothing. Default: all
            steps. In a ragged batch, count from step T, even if all rows are shorter.
        need_dx : bool
            False: return None for dx, and do not compute it.
        keep_errors : bool
            True: keep every dL/dh_t in `tape.dh`.

        Returns
        -------
        dx : ndarray or None
            In the layout of x. 0 past the end of a row.
        dstate : ndarray, or for LSTM a pair (dh0, dc0) of arrays
            Errors of the initial state.

        Raises
        ------
        TypeError
            If `tape` is no tape, arrays do not hold real numbers, or another argument has the wrong type.
        ValueError
            If the tape is from another layer, shapes are wrong, `steps` < 0, or `clip_state` <= 0.
        """
        checked = check_tape(tape, self, RecurrentTape)
        errors = call_arguments.parse_errors(
            self, checked, dy, dstate, clip_state, steps, need_dx=need_dx, keep_errors=keep_errors
        )
        if isinstance(checked.core, Recomputed):
            dx, dh0, dc0 = checked.core.backward(errors)
        else:
            dx, dh0, dc0 = self._backend().backward(checked.core, errors)
        if dx is not None:
            dx = checked.layout.sequence_out(call_arguments.over_time(dx, checked.ragged))
        return dx, call_arguments.state_out(dh0, dc0, checked.layout, checked.ragged)

    def stream(self, batch_size: int = 1) -> InferenceStream:
        """Make a stream, which runs step by step with a packed copy of the weights.

        Parameters
        ----------
        batch_size : int
            Number of rows in each step.

        Raises
        ------
        TypeError, ValueError
            If `batch_size` is not a positive int, or the layer is bidirectional. A reverse direction starts
            at the end of the sequence.
        """
        call_arguments.refuse_bidirectional(self, "stream", "call the layer with the whole sequence")
        return InferenceStream(repr(self), self._backend().stream(size(batch_size, "batch_size", 2**31 - 1)))

    def freeze(self) -> Frozen:
        """Make a snapshot for inference, with a packed copy of the current weights.

        Returns
        -------
        Frozen
            Called like the layer, it returns the same bits in less time. Training does not change it.
        """
        return Frozen(partial(call_arguments.infer, self, self._backend().freeze()), repr(self))

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS} | {"dtype": self.dtype.name}

    def _backend(self) -> Backend:
        """Return the backend of this layer, with the current vectors."""
        return Native(self._stack, self.flat_parameters, self.flat_gradients, self.dropout)

    # Parameters

    @property
    def table(self) -> Table:
        """Names and shapes of the parameters, in the order of the flat vector."""
        return self._stack.parameters

    def _table(self) -> Table:
        self._stack = _core.Recurrent(
            self.cell,
            self.dtype.name,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            **self._core_options,
        )
        return self._stack.parameters

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
        del state["_stack"]  # holds only sizes, and `_table` builds it again
        return state


def expected_tape(layer: Recurrent, x: Floats, h0: Floats | None, c0: Floats | None) -> CoreTape:
    """Return the tape of a pass that uses the mean of zoneout.

    The arrays are those that `canonical_input` returns.
    """
    return layer._backend().forward(Call(x, h0, c0))[1]
