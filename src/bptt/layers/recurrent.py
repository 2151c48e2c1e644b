"""Base class of RNN, LSTM and GRU: arguments, layouts and states outside, one canonical call inside."""

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
from bptt.layers.passes.interventions import Drawn, packed, parse_masks, parse_zoneout
from bptt.layers.passes.native import Native
from bptt.layers.passes.recompute import Recomputed, parse_recompute
from bptt.layers.passes.tape import RecurrentTape, Tape, check_tape

MAX_LAYERS = 10_000
"""Far above any use; keeps a slip or a hostile file from asking for tables without end."""


_SETTINGS = (
    *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"),
    *("layer_norm", "recurrent_dropout", "zoneout", "precision"),
)
"""Constructor arguments of every recurrent layer, by the attributes that hold them."""


class Recurrent(Module):
    """A stack of recurrent layers. Use `RNN`, `LSTM` or `GRU`.

    A `Backend` computes: here the compiled core. `own` holds the options of one cell, by the core's names.
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
        **own: Any,
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
        zoneout_h, zoneout_c = parse_zoneout(zoneout, self.has_cell_state)
        self._drawn = Drawn(self.recurrent_dropout, (zoneout_h, zoneout_c))
        self._own = own | {"layer_norm": self.layer_norm, "zoneout": (zoneout_h, zoneout_c)}
        self.output_size = own.get("projection") or self.hidden_size
        self.precision = choice(precision, "precision", ("highest",))
        # A lower bound, before the core computes sizes with 64-bit integers.
        weights = self.input_size + self.num_layers * self.hidden_size
        check_count(self.num_directions * self.gate_count * self.hidden_size * weights, self.dtype)
        self._allocate(init)

    @property
    def zoneout(self) -> float | tuple[float, float]:
        """Probability of keeping the old state; for LSTM a pair, of h and of c."""
        h, c = self._drawn.zoneout
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
        """Run inference: keep no tape, drop nothing out, and take the expectation of zoneout.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (B, T, I) with `batch_first`; unbatched (T, I).
        state : array-like, or for LSTM a pair (h, c) of them, optional
            (L*D, B, H), unbatched (L*D, H), entry `layer * directions + direction`; with `proj_size`, h is
            so wide. Default, and None in a pair: zeros.
        lengths : array-like of int, optional
            (B,), each in 0..T, in any order: how many steps of each row are valid. The others are not looked
            at, and cost nothing. Default: all.
        reset : array-like of bool, optional
            (T, B), or (B, T) with `batch_first`; unbatched (T,). True: the row's state is zero before that
            step, as where an episode begins. No direction carries anything across: the reverse one, on its
            way back, starts again with the step before. Default: never.

        Returns
        -------
        y : ndarray
            (T, B, D*H) in the layout of x: the last layer's hidden states, forward then reverse direction;
            0 past a row's end.
        state : ndarray, or for LSTM a pair (h, c) of them
            In the layout of the argument: after the last valid step (reverse direction, which starts there:
            after step 0). A row of length 0 keeps the state it came with.

        Raises
        ------
        TypeError
            Arrays that are not of real numbers; a state of the wrong kind; lengths that are not integers;
            resets that are not booleans.
        ValueError
            Wrong rank or size; a finite value too large for the layer's dtype; lengths out of range.
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
        """Run the layer for training: apply dropout and zoneout, and keep a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, reset
            As above.
        masks : mapping, optional
            What recurrent dropout and zoneout are to do, as an earlier `tape.masks` has it: "recurrent"
            (L*D, B, H), factors of h where it enters the recurrent product; "zoneout_h" and "zoneout_c"
            (L*D, T, B, H), 1 where the old state stays. Default: drawn from the layer's generator.
        checkpoint : int or "auto", optional
            Keep only y and every `checkpoint`-th state, and recompute the others during `backward`. The
            gradients have the same bits, the tape has T / checkpoint + checkpoint steps instead of T, and
            training takes at most about a third longer. Rounded up to a multiple of the steps that `backward`
            takes in one go (some 256 divided by B). "auto": the square root of T. Default: keep all. Only for
            layers that read forward.

        Returns
        -------
        y, state
            As above; y is a read-only view into the tape, or with `lengths` or `checkpoint` a read-only copy.
        tape : RecurrentTape
            Everything that `backward` needs, with readable views.

        Raises
        ------
        TypeError, ValueError
            As calling the layer.
        """
        call, layout, ragged, (T, B) = call_arguments.parse_call(self, x, state, lengths, reset)
        shapes = self._drawn.shapes(self, T, B) if self._drawn else {}
        if masks is not None:
            masks = parse_masks(masks, shapes, self.dtype)
        drops_out = self.dropout > 0 and self.num_layers > 1
        if drops_out:
            call = call._replace(dropout_key=int(self.rng.integers(0, 2**64, dtype=np.uint64)))
        if masks is None:
            masks = self._drawn.draw(shapes, self.rng, self.dtype)
        if masks:
            recurrent_mask, keep_h, keep_c = packed(masks, ragged)
            call = call._replace(recurrent_mask=recurrent_mask, keep_h=keep_h, keep_c=keep_c)
        core_tape: CoreTape
        if checkpoint is None:
            (y, h, c), core_tape = self._backend().forward(call)
        else:
            call_arguments.refuse_bidirectional(self, "checkpoint", "the whole tape, checkpoint=None")
            call = call._replace(parameters=self.flat_parameters)
            core_tape = Recomputed(self, self._backend(), call, parse_recompute(checkpoint, T))
            y, h, c = core_tape.forward(drawn=bool(masks) or drops_out)
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
        """Backpropagate through time. Adds to `gradients`; dx and dstate are new arrays.

        Parameters
        ----------
        tape : RecurrentTape
            From this layer's `forward`.
        dy : array-like, optional
            dL/dy in the layout of y. Default: zeros.
        dstate : array-like, or for LSTM a pair (dh, dc) of them, optional
            dL/dstate in the layout of the state. Default, and None in a pair: zeros.
        clip_state : float, ClipValue or ClipNorm, optional
            Clip dL/dh_t and dL/dc_t at every step inside the recursion. The clip sees the whole error: the
            error from outside at step t plus the error from step t+1. The clipped error flows on. Its norms
            are `tape.dh_norm` and `tape.dc_norm`. A number or ClipValue bounds every entry. ClipNorm bounds
            the 2-norm of each row of the batch separately, so a row's gradients do not depend on the other
            rows. The result is no longer the gradient of the loss. Default: no clipping.
        steps : int, optional
            Go back at most `steps` steps from the end. Earlier steps get dx = 0 and add nothing. Default: all
            steps. In a ragged batch, count from the end of the longest possible row, T.
        need_dx : bool
            False: None is returned for dx, and its product saved.
        keep_errors : bool
            True: `tape.dh` then has every dL/dh_t.

        Returns
        -------
        dx : ndarray or None
            In the layout of x; 0 past a row's end.
        dstate : ndarray, or for LSTM a pair (dh0, dc0) of them
            Errors of the initial state.

        Raises
        ------
        TypeError
            Not a tape; arrays that are not of real numbers; `clip_state` or `steps` of another kind.
        ValueError
            A tape of another layer; wrong shapes; negative `steps`; `clip_state` not above 0.

        Notes
        -----
        Werbos (1990), Backpropagation through time: what it does and how to do it.
        """
        own = check_tape(tape, self, RecurrentTape)
        errors = call_arguments.parse_errors(
            self, own, dy, dstate, clip_state, steps, need_dx=need_dx, keep_errors=keep_errors
        )
        if isinstance(own.core, Recomputed):
            dx, dh0, dc0 = own.core.backward(errors)
        else:
            dx, dh0, dc0 = self._backend().backward(own.core, errors)
        if dx is not None:
            dx = own.layout.sequence_out(call_arguments.over_time(dx, own.ragged))
        return dx, call_arguments.state_out(dh0, dc0, own.layout, own.ragged)

    def stream(self, batch_size: int = 1) -> InferenceStream:
        """Make a stream of single steps, which keeps its state and a packed copy of the current weights.

        Parameters
        ----------
        batch_size : int
            Rows that step together.

        Raises
        ------
        TypeError, ValueError
            Not a positive int; a bidirectional layer, whose reverse direction starts at the end.
        """
        call_arguments.refuse_bidirectional(self, "stream", "call the layer with it all")
        return InferenceStream(repr(self), self._backend().stream(size(batch_size, "batch_size", 2**31 - 1)))

    def freeze(self) -> Frozen:
        """Make a snapshot for inference, with a packed copy of the current weights.

        Returns
        -------
        Frozen
            Call it like the layer: it returns the same bits sooner. Further training does not change it.
        """
        return Frozen(partial(call_arguments.infer, self, self._backend().freeze()), repr(self))

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS} | {"dtype": self.dtype.name}

    def _backend(self) -> Backend:
        """What computes this layer, with its vectors as they are now."""
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
            **self._own,
        )
        return self._stack.parameters

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """PyTorch's: every tensor uniform in +-1/sqrt(hidden_size); layer norm does nothing at first."""
        if name.startswith("weight_norm"):
            return np.ones(shape)
        if name.startswith("bias_norm"):
            return np.zeros(shape)
        bound = 1.0 / math.sqrt(self.hidden_size)
        return self.rng.uniform(-bound, bound, shape)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_stack"]  # holds sizes only, and is made again with the table
        return state


def expected_tape(layer: Recurrent, x: Floats, h0: Floats | None, c0: Floats | None) -> CoreTape:
    """The tape of a pass over what `canonical_input` returns, where zoneout takes its expectation."""
    return layer._backend().forward(Call(x, h0, c0))[1]
