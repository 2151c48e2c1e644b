"""Sending an error back through a model, and reading its norms off the tape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_ids, as_real
from bptt.checks.training_step import check_layer, kind_of, options_of, untouched
from bptt.data.batches import Batch, ModelAxes
from bptt.diagnose.curves import Norms
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.rows import recurrent_tapes, rows_of, rows_on
from bptt.layers.module import Module
from bptt.layers.passes.tape import Tape
from bptt.losses.loss import Loss


def gradient_flow(
    layer: Module,
    x: npt.ArrayLike,
    state: Any = None,
    *,
    dy: npt.ArrayLike | None = None,
    loss: Loss | None = None,
    target: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
) -> GradientFlow:
    """Send an error back through time and measure ||dL/dh_t|| per layer and step.

    Parameters, gradients and random generators are left as they were. Padding changes no result.

    Parameters
    ----------
    layer : Module
        A recurrent layer, or a Sequential with some. Dropout acts as in training.
    x : array-like
        As the layer takes it, (T, B, I).
    state : optional
        As the layer takes it. None: zeros.
    dy : array-like, optional
        The error dL/dy, of y's shape. None: an error of norm 1, spread evenly over the outputs of the last
        step, or over all of y if y has no time axis. A reverse direction makes its last step at step 0, so
        its rows are measured with an error there.
    loss, target : Loss and array-like, optional
        In place of `dy`: the error that training sees, 0 past the end of a row. If every step has an error,
        the norm at a step is the norm of all later errors together. It does not show a single error.
    lengths, reset : array-like, optional
        As the layer takes them. The error of norm 1 goes to the longest rows alone. If y has no time axis,
        errors of shorter rows in `dy` or `loss` are left out. They would start at an earlier step.

    Returns
    -------
    GradientFlow

    Raises
    ------
    TypeError
        `layer` is no layer, `loss` is no loss, or an array does not hold real numbers.
    ValueError
        The model has no recurrent layer, x has no steps or no rows, both `dy` and `loss` are given, or shapes
        do not fit. y has no time axis, and `dy` or `loss` has errors on shorter rows alone.

    References
    ----------
    Hochreiter (1991), Untersuchungen zu dynamischen neuronalen Netzen. Bengio, Simard and Frasconi (1994),
    Learning long-term dependencies with gradient descent is difficult. Pascanu, Mikolov and Bengio (2013),
    On the difficulty of training recurrent neural networks.
    """
    check_layer(layer)
    check_recurrent(layer)
    check_error(dy, loss, target)
    options = options_of(layer, lengths, reset)
    with untouched(layer):
        y, _, tape = layer.forward(x, state, **options)
        rows = _longest_rows(tape)[1]
        if loss is not None and target is not None:
            dy = loss(y, target, rows_that_count(layer, x, lengths, y))[1]
        if dy is None:
            return flow_of_last_step(layer, tape, y)
        if lengths is not None and not per_step(tape, y.shape) and np.shape(dy) == y.shape:
            dy = _of_longest_rows(np.asarray(dy), rows, "dy" if loss is None else "loss")
        layer.backward(tape, dy, need_dx=False)  # which refuses other shapes
        return flow_on(tape, y.shape)


def flow_of_last_step(model: Module, tape: Tape, y: Floats) -> GradientFlow:
    """Measure the flow of the error of norm 1 that `gradient_flow` describes, on a tape of the model.

    Adds to the model's gradients and replaces the norms on the tape.
    """
    forward, reverse = last_step_errors(tape, y)
    model.backward(tape, forward, need_dx=False)
    flow = flow_on(tape, y.shape)
    if reverse is None:
        return flow
    model.backward(tape, reverse, need_dx=False)
    other = flow_on(tape, y.shape)
    backwards = np.array([row.reverse for row in flow.rows])[:, None]
    dc_norm = flow.dc_norm
    if dc_norm is not None and other.dc_norm is not None:
        dc_norm = np.where(backwards, other.dc_norm, dc_norm)
    return replace(flow, dh_norm=np.where(backwards, other.dh_norm, flow.dh_norm), dc_norm=dc_norm)


def last_step_errors(tape: Tape, y: Floats) -> tuple[Floats, Floats | None]:
    """Return the error of norm 1 at the last step, and for reverse directions the one at step 0, or None.

    Raises
    ------
    ValueError
        No steps or no rows to put it on.
    """
    _, first = next(recurrent_tapes(tape))
    steps, rows = _longest_rows(tape)
    B = first.core.shape[1]
    has_time = per_step(tape, y.shape)

    def error_at(step: int) -> Floats:
        error = np.zeros(y.shape, y.dtype)
        # y's own layout where it has a time axis, else (B, C) or (C,)
        over_time = first.layout.sequence_in(error)[step] if has_time else error.reshape(B, -1)
        over_time[rows] = 1.0 / np.sqrt(over_time[rows].size)
        return error

    both = has_time and any(part.owner.bidirectional for _, part in recurrent_tapes(tape))
    return error_at(steps - 1), error_at(0) if both else None


def per_step(tape: Tape, y_shape: tuple[int, ...]) -> bool:
    """Return whether y has one output per step of the recurrent layers: not after `Last`."""
    _, first = next(recurrent_tapes(tape))
    return y_shape[:-1] == first.layout.sequence_shape(*first.core.shape, 1)[:-1]


def longest_rows(tape: Tape) -> tuple[int, npt.NDArray[np.int64]]:
    """Return the length of the longest rows of the batch, and the numbers of these rows."""
    _, first = next(recurrent_tapes(tape))
    steps, B = first.core.shape
    rows = np.arange(B)
    if first.ragged is not None:
        steps = int(np.count_nonzero(first.ragged.active))
        rows = first.ragged.order[: first.ragged.active[steps - 1]] if steps else rows[:0]
    return steps, rows


def flow_on(tape: Tape, y_shape: tuple[int, ...]) -> GradientFlow:
    """Read the flow that the last backward pass left on the tape, up to the end of the longest rows."""
    rows = tuple(row for row, _ in rows_on(tape))
    steps = {part.core.shape[0] for _, part in recurrent_tapes(tape)}
    if len(steps) > 1:
        raise ValueError(
            f"layer must have recurrent layers over the same steps; got {sorted(steps)}. "
            "Fix: measure its parts one by one."
        )
    longest, _ = longest_rows(tape)
    h: list[Norms] = []
    c: list[Norms] = []
    for _, part in recurrent_tapes(tape):
        if part.dh_norm is None:
            raise ValueError("tape must have been through a backward pass; got one that has not.")
        h.append(part.dh_norm[:, :longest])
        c.append(np.full_like(h[-1], np.nan) if part.dc_norm is None else part.dc_norm[:, :longest])
    has_cell = any(part.owner.has_cell_state for _, part in recurrent_tapes(tape))
    # concatenate copies: a further pass replaces the norms on the tape
    return GradientFlow(
        np.concatenate(h), np.concatenate(c) if has_cell else None, rows, per_step(tape, y_shape)
    )


def _longest_rows(tape: Tape) -> tuple[int, npt.NDArray[np.int64]]:
    """As `longest_rows`; ValueError for a batch without steps or rows."""
    steps, rows = longest_rows(tape)
    if steps == 0 or len(rows) == 0:
        raise ValueError(
            f"x must have at least one step and one row; got {steps} valid steps, {len(rows)} rows. "
            "Fix: pass a batch with something in it."
        )
    return steps, rows


def _of_longest_rows(dy: Floats, rows: npt.NDArray[np.int64], argument: str) -> Floats:
    """Return a copy of an error without a time axis, where other rows than these have no error.

    Raises
    ------
    ValueError
        All the error is on other rows.
    """
    kept = np.zeros_like(dy)
    kept[rows] = dy[rows]
    if dy.any() and not kept.any():
        row = int(np.flatnonzero(dy.reshape(len(dy), -1).any(axis=1))[0])
        raise ValueError(
            f"{argument} must have an error on the longest rows, for only these are measured where y has no "
            f"time axis; got errors on shorter rows alone, the first on row {row}. "
            "Fix: measure rows of one length at a time."
        )
    return kept


def check_recurrent(layer: Module) -> None:
    """Raise ValueError for a model without a recurrent layer."""
    if not rows_of(layer):
        raise ValueError(
            f"layer must hold a recurrent layer; got {layer!r:.200}. Fix: pass an RNN, LSTM, GRU or MGU, or "
            "a Sequential with one."
        )


def rows_that_count(
    layer: Module, x: npt.ArrayLike, lengths: npt.ArrayLike | None, y: Floats
) -> npt.NDArray[np.bool_] | None:
    """The mask with which the Trainer calls the loss: what lies past a row's end has no error."""
    if lengths is None:
        return None
    return ModelAxes(layer).mask(Batch(as_real(x, "x"), lengths=as_ids(lengths, "lengths")), y)


def check_error(dy: object, loss: object, target: object) -> None:
    """Raise where the error is given twice, or by half."""
    if loss is not None and not isinstance(loss, Loss):
        raise TypeError(
            f"loss must be a bptt Loss; got {kind_of(loss)}. Fix: pass bptt.CrossEntropy(), for one."
        )
    if (loss is None) != (target is None):
        raise ValueError("loss and target must come together; got one of them. Fix: pass both, or neither.")
    if dy is not None and loss is not None:
        raise ValueError("dy must be None beside a loss; got both. Fix: pass one of them.")
