"""Calls of a recurrent layer: inference, forward, backward, stream and snapshot.

A layer converts arguments, layouts and states for a backend.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal, overload

import numpy.typing as npt

from bptt.arrays import Floats, check_shape
from bptt.layers.module import Module
from bptt.layers.passes import call_arguments
from bptt.layers.passes.backend import Backend, CoreTape, State
from bptt.layers.passes.clip_state import ClipsState
from bptt.layers.passes.directions import refuse_from_end
from bptt.layers.passes.interventions import RandomMasks, packed
from bptt.layers.passes.out import check_dx_out, check_out, written
from bptt.layers.passes.recompute import Recomputed, parse_recompute
from bptt.layers.passes.stages import Inference, RecurrentStage
from bptt.layers.passes.tape import RecurrentTape, Tape, check_tape


class RecurrentCalls(Module):
    """The methods that run a recurrent layer. A subclass defines sizes, options and `_backend`."""

    call_options: ClassVar[frozenset[str]] = frozenset(("lengths", "reset", "skip"))
    has_cell_state: ClassVar[bool] = False
    input_size: int
    hidden_size: int
    output_size: int
    y_size: int
    num_layers: int
    num_directions: int
    bidirectional: bool
    reverse: bool
    merge: str
    batch_first: bool
    _masks: RandomMasks

    def _backend(self) -> Backend:
        """Return the code that computes this layer, with the current vectors."""
        raise NotImplementedError

    def __call__(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        out: Floats | None = None,
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
        skip : array-like of bool, optional
            (T, B), or (B, T) with `batch_first`. Unbatched (T,). True: the row has no such step. Its state is
            held, y is 0 there, and x is not read. Skipped steps cost nothing. `lengths` equals a skip of all
            later steps. A reset at a skipped step takes effect before the row's next step. Default: never.
        out : ndarray, optional
            Where to write y: an array of the layer's dtype, in the shape of y. Then y is `out`. It may be x.
            Default: a new array.

        Returns
        -------
        y : ndarray
            (T, B, D*H) in the layout of x: the last layer's hidden states, forward then reverse direction, or
            (T, B, H) with `merge`. With `reverse`, too, y[t] belongs to x[t].
            0 at skipped steps and past the end of a row.
        state : ndarray, or for LSTM a pair (h, c) of arrays
            The final state, in the layout of the argument: after the last valid step, in a reverse direction
            after its first valid step. A row without a step keeps its initial state.

        Raises
        ------
        TypeError
            If arrays do not hold real numbers, `lengths` integers, `reset` and `skip` booleans, or the state
            is no pair.
        ValueError
            If rank or size are wrong, a finite value is too large for the dtype, or lengths are out of range.
        """
        return call_arguments.infer(self, self._backend(), x, state, lengths, reset, skip, out)

    def forward(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        masks: Any = None,
        checkpoint: int | Literal["auto"] | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, State, RecurrentTape]:
        """Run with dropout and zoneout, and keep a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, reset, skip
            As for a call of the layer.
        masks : mapping, optional
            Masks of dropout and zoneout, for example the `tape.masks` of an earlier pass. "input"
            (B, I + (L-1)*D*H) has factors on the inputs of each layer, side by side. "recurrent" (L*D, B, H)
            has factors on h in the recurrent product. "zoneout_h" and "zoneout_c" (L*D, T, B, H) are 1 where
            the old state stays. Skipped steps read no mask. Default: drawn from the layer's generator, as
            `dropout` between layers always is.
        checkpoint : int or "auto", optional
            Keep only y and every `checkpoint`-th state, and recompute the other states during `backward`.
            The gradients have the same bits. The tape has T / checkpoint + checkpoint steps instead of T, and
            training takes at most about a third longer. The number is rounded up to a multiple of the steps
            that `backward` computes together (about 256 divided by B). "auto": the square root of T. Default:
            keep all states. Only for layers that are not bidirectional.
        out : ndarray, optional
            Where to write y, as for a call of the layer. The tape keeps another copy.

        Returns
        -------
        y, state
            As for a call of the layer. y is a read-only view into the tape, or a read-only copy with
            `lengths`, `skip` or `checkpoint`. With `out`, y is `out`.
        tape : RecurrentTape
            The arrays that `backward` needs, with readable views.

        Raises
        ------
        TypeError, ValueError
            As for a call of the layer.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> layer = bptt.LSTM(3, 8)
        >>> y, (h, c), tape = layer.forward(np.ones((20, 4, 3)))
        >>> tape.c[0].shape, tape.gates[0].shape
        ((20, 4, 8), (20, 4, 32))
        """
        call, layout, ragged, (T, B) = call_arguments.parse_call(self, x, state, lengths, reset, skip)
        check_out(out, self.dtype, layout.sequence_shape(T, B, self.y_size))
        key, masks = self._masks.draw(self, masks, T, B)
        if self._masks:
            call = call._replace(dropout_key=key, **packed(masks, ragged))
        core_tape: CoreTape
        if checkpoint is None:
            (y, h, c), core_tape = self._backend().forward(call)
        else:
            refuse_from_end(self, "checkpoint", "the whole tape, checkpoint=None")
            call = call._replace(parameters=self.flat_parameters)
            core_tape = Recomputed(self, self._backend(), call, parse_recompute(checkpoint, T))
            y, h, c = core_tape.forward(random=bool(self._masks))
        y = call_arguments.over_time(y, ragged)
        y.flags.writeable = False
        tape = RecurrentTape(self, core_tape, layout, ragged, masks)
        y = written(out, layout.sequence_out(y))
        return y, call_arguments.state_out(h, c, layout, ragged), tape

    @overload
    def backward(
        self,
        tape: Tape,
        dy: Any = None,
        dstate: Any = None,
        *,
        clip_state: float | ClipsState | None = None,
        steps: int | None = None,
        need_dx: Literal[True] = True,
        keep_errors: bool = False,
        out: Floats | None = None,
    ) -> tuple[Floats, State]: ...
    @overload
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
        out: Floats | None = None,
    ) -> tuple[Floats | None, State]: ...
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
        out: Floats | None = None,
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
            steps. Time steps are counted from step T, also if a row skips steps or is shorter.
        need_dx : bool
            False: return None for dx, and do not compute it.
        keep_errors : bool
            True: keep every dL/dh_t in `tape.dh`.
        out : ndarray, optional
            Where to write dx: an array of the layer's dtype, in the shape of x. Then dx is `out`. It may be
            dy. Default: a new array.

        Returns
        -------
        dx : ndarray or None
            In the layout of x. 0 at skipped steps and past the end of a row.
        dstate : ndarray, or for LSTM a pair (dh0, dc0) of arrays
            Errors of the initial state.

        Raises
        ------
        TypeError
            If `tape` is no tape, arrays do not hold real numbers, or another argument has the wrong type.
        ValueError
            If the tape is from another layer, shapes are wrong, `steps` < 0, or `clip_state` <= 0. If
            `out` is given and `need_dx` is False.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> layer = bptt.LSTM(3, 8)
        >>> y, state, tape = layer.forward(np.ones((20, 4, 3)))
        >>> dx, (dh, dc) = layer.backward(tape, np.ones_like(y))
        >>> dx.shape, dh.shape, tape.dh_norm.shape
        ((20, 4, 3), (1, 4, 8), (1, 20))
        """
        checked = check_tape(tape, self, RecurrentTape)
        check_dx_out(out, checked, self.dtype, need_dx=need_dx)
        errors = call_arguments.parse_errors(
            self, checked, dy, dstate, clip_state, steps, need_dx=need_dx, keep_errors=keep_errors
        )
        if isinstance(checked.core, Recomputed):
            dx, dh0, dc0 = checked.core.backward(errors)
        else:
            dx, dh0, dc0 = self._backend().backward(checked.core, errors)
        if dx is not None:
            dx = written(out, checked.layout.sequence_out(call_arguments.over_time(dx, checked.ragged)))
        return dx, call_arguments.state_out(dh0, dc0, checked.layout, checked.ragged)

    def check_dstate(self, tape: Any, dstate: Any, steps: int | None) -> None:
        call_arguments.check_dstate(self, check_tape(tape, self, RecurrentTape), dstate, steps)

    def packed(self, precision: str | None = None) -> Inference:
        return partial(call_arguments.infer, self, self._backend().freeze(precision))

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> RecurrentStage:
        refuse_from_end(self, "stream", "call the layer with the whole sequence")
        if before is not None:
            check_shape(before, "x", (batch_size, self.input_size))
        return RecurrentStage(self._backend().stream(batch_size, precision), before)
