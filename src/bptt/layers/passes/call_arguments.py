"""Check arguments of a recurrent layer, and arrange them for a backend."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag, integer
from bptt.arrays import Floats, as_real, check_shape, to_floats
from bptt.layers.passes.backend import Call, Errors, Infers, Stack, State
from bptt.layers.passes.clip_state import NO_CLIP, ClipsState, parse_clip_state
from bptt.layers.passes.directions import refuse_from_end
from bptt.layers.passes.interventions import parse_reset
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.out import check_out, written
from bptt.layers.passes.ragged import PackedRows, packed_rows
from bptt.layers.passes.tape import RecurrentTape


class Sized(Stack, Protocol):
    """The attributes of a layer that this file reads."""

    input_size: int
    batch_first: bool

    @property
    def kind(self) -> str: ...

    @property
    def trainable(self) -> bool: ...


Arranged: TypeAlias = tuple[Call, Layout, PackedRows | None, tuple[int, int]]
"""A call for a backend, the layout of its arguments, its rows if these are packed, and (T, B)."""


def parse_call(
    layer: Sized,
    x: npt.ArrayLike,
    state: Any,
    lengths: npt.ArrayLike | None,
    reset: npt.ArrayLike | None,
    skip: npt.ArrayLike | None,
) -> Arranged:
    """Check the arguments of a call and arrange them for a backend.

    Raises
    ------
    TypeError, ValueError
        As for a call of the layer.
    """
    array = as_real(x, "x")
    if array.ndim not in (2, 3) or array.shape[-1] != layer.input_size:
        batched = "(B, T, I)" if layer.batch_first else "(T, B, I)"
        fix = f"pass 2 or 3 axes, with {layer.input_size} values on the last axis"
        if array.dtype.kind in "iu" and array.ndim in (1, 2):  # class numbers, one for each step
            units = getattr(layer, "blocks", layer.hidden_size)
            fix = (
                "put an Embedding first if x holds ids: "
                f"Sequential(Embedding(num_embeddings, {layer.input_size}), "
                f"{layer.kind}({layer.input_size}, {units})); else {fix}"
            )
        raise ValueError(
            f"x must have shape {batched}, or (T, I) unbatched, with I = input_size = {layer.input_size}; "
            f"got {array.shape} of {array.dtype}. Fix: {fix}."
        )
    layout = Layout(layer.batch_first, unbatched=array.ndim == 2)
    array = layout.sequence_in(array)
    T, B, _ = array.shape
    ragged = packed_rows(lengths, skip, layout, T, B)
    canonical = to_floats(array if ragged is None else ragged.gather(array), "x", layer.dtype)
    h0, c0 = parse_state(layer, state, "state", B, layout, ragged)
    flags = None if reset is None else parse_reset(reset, layout, T, B, ragged)
    call = Call(canonical, h0, c0, reset=flags)
    if ragged is not None:
        call = call._replace(active=ragged.active, batch=B, times=ragged.times)
    return call, layout, ragged, (T, B)


def parse_state(
    layer: Sized, state: Any, name: str, B: int, layout: Layout, ragged: PackedRows | None
) -> tuple[Floats | None, Floats | None]:
    h, c = _parse_parts(layer, state, name, B, layout)
    return (h, c) if ragged is None else (ragged.state_in(h), ragged.state_in(c))


def _parse_parts(
    layer: Sized, state: Any, name: str, B: int, layout: Layout
) -> tuple[Floats | None, Floats | None]:
    if state is None:
        return None, None
    shapes = [
        layout.state_shape(layer.num_layers * layer.num_directions, B, width)
        for width in (layer.output_size, layer.hidden_size)
    ]
    if not layer.has_cell_state:
        return _parse_part(layer, state, name, shapes[0], layout), None
    # An array of length 2 is not accepted as a pair, because it may be h alone with L*D = 2.
    if not isinstance(state, (tuple, list)):
        raise TypeError(
            f"{name} must be a pair (h, c); got {type(state).__name__}. Fix: pass a tuple of two arrays."
        )
    if len(state) != 2:
        raise ValueError(f"{name} must be a pair (h, c); got {len(state)} entries. Fix: pass two arrays.")
    h, c = (
        None if part is None else _parse_part(layer, part, f"{name}[{index}]", shapes[index], layout)
        for index, part in enumerate(state)
    )
    return h, c


def _parse_part(layer: Sized, part: Any, name: str, shape: tuple[int, ...], layout: Layout) -> Floats:
    """Check h or c, and return it in canonical order."""
    array = as_real(part, name)
    if array.ndim == len(shape) == 3 and array.shape[::2] == shape[::2] and array.shape[1] != shape[1]:
        raise ValueError(
            f"{name} must have the batch size of x, B = {shape[1]}, in its shape (L*D, B, H) = {shape}; "
            f"got {array.shape}, B = {array.shape[1]}. Fix: pass {name} with the same rows as x, or None."
        )
    check_shape(array, name, shape)
    return layout.state_in(to_floats(array, name, layer.dtype))


def check_dstate(layer: Sized, tape: RecurrentTape, dstate: Any, steps: int | None) -> None:
    """Check arguments of a backward pass before a model runs its first one.

    Raises
    ------
    TypeError, ValueError
        As for `layer.backward`.
    """
    T, B = tape.core.shape
    parse_state(layer, dstate, "dstate", B, tape.layout, tape.ragged)
    if steps is not None and steps < T:
        refuse_from_end(layer, "steps", "steps=None")


def parse_errors(
    layer: Sized,
    tape: RecurrentTape,
    dy: Any,
    dstate: Any,
    clip_state: float | ClipsState | None,
    steps: int | None,
    *,
    need_dx: bool,
    keep_errors: bool,
) -> Errors:
    """Check the arguments of a backward pass and arrange them for a backend.

    Raises
    ------
    TypeError, ValueError
        As for `layer.backward`.
    """
    layout, ragged, (T, B) = tape.layout, tape.ragged, tape.core.shape
    if dy is not None:
        array = as_real(dy, "dy")
        check_shape(array, "dy", layout.sequence_shape(T, B, layer.y_size))
        dy = to_floats(layout.sequence_in(array), "dy", layer.dtype)
        if ragged:
            dy = ragged.gather(dy)
    dh, dc = parse_state(layer, dstate, "dstate", B, layout, ragged)
    if steps is not None:
        steps = min(integer(steps, "steps", 0), T)
        if steps < T:
            refuse_from_end(layer, "steps", "steps=None")
    clip = parse_clip_state(clip_state) or NO_CLIP
    errors = Errors(
        dy,
        dh,
        dc,
        steps,
        flag(need_dx, "need_dx"),
        clip,
        flag(keep_errors, "keep_errors"),
        train=layer.trainable,
    )
    if ragged is None or ragged.times is None:
        return errors
    errors = errors._replace(norms_of_rows=True)
    return errors if steps is None or steps == T else _truncated(errors, ragged, T - steps)


def _truncated(errors: Errors, ragged: PackedRows, time: int) -> Errors:
    """Stop the errors of every row before time step `time`.

    With skipped steps, rows reach this time at different step numbers. The core goes back to the earliest of
    them, and each row's errors are cut at its own.
    """
    before, lengths = ragged.steps_before(time), ragged.lengths[ragged.order]
    first_rows, active = ragged.first_rows, ragged.active
    number = np.repeat(np.arange(len(active)), np.diff(first_rows))  # of each packed row
    row = np.arange(len(number)) - first_rows[number]
    cut = (number == before[row]) & (number > 0) & (row < active[number])

    def without(array: Floats | None, rows: npt.NDArray[np.bool_]) -> Floats | None:
        """Return a copy with zeros in these rows."""
        return None if array is None else np.where(rows[:, np.newaxis], np.zeros((), array.dtype), array)

    ended = (before == lengths) & (lengths > 0)  # rows without a step from `time` on
    earliest = int(np.min(before[lengths > 0], initial=len(active)))
    return errors._replace(
        dy=without(errors.dy, number < before[row]),
        dh=without(errors.dh, ended),
        dc=without(errors.dc, ended),
        steps=len(active) - earliest,
        cut=cut.astype(np.uint8),
    )


def infer(
    layer: Sized,
    backend: Infers,
    x: npt.ArrayLike,
    state: Any = None,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    skip: npt.ArrayLike | None = None,
    out: Floats | None = None,
) -> tuple[Floats, State]:
    """Run inference with the arguments of a call.

    Returns results in the caller's layout.
    """
    call, layout, ragged, (T, B) = parse_call(layer, x, state, lengths, reset, skip)
    check_out(out, layer.dtype, layout.sequence_shape(T, B, layer.y_size))
    y, h, c = backend.infer(call)
    return written(out, layout.sequence_out(over_time(y, ragged))), state_out(h, c, layout, ragged)


def state_out(h: Floats, c: Floats | None, layout: Layout, ragged: PackedRows | None) -> State:
    if ragged is not None:
        h, c = ragged.state_out(h), None if c is None else ragged.state_out(c)
    return layout.state_out(h) if c is None else (layout.state_out(h), layout.state_out(c))


def over_time(array: Floats, ragged: PackedRows | None) -> Floats:
    return array if ragged is None else ragged.scatter(array)


def canonical_input(
    layer: Sized, x: npt.ArrayLike, state: Any = None
) -> tuple[Floats, Floats | None, Floats | None]:
    """Check x and state, and return x, h and c in canonical order.

    The shapes are (T, B, I) and (L*D, B, ...). h and c are None for zeros.
    """
    call, *_ = parse_call(layer, x, state, None, None, None)
    return call.x, call.h0, call.c0
