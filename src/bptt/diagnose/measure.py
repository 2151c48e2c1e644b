"""Backpropagate an error through a model, and read its norms from the tape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.checks.training_step import check_layer, kind_of, options_of, untouched
from bptt.data.batches import Batch
from bptt.data.model_axes import ModelAxes
from bptt.diagnose.curves import Norms
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.foreign import flow_for
from bptt.diagnose.rows import recurrent_tapes, rows_of, rows_on
from bptt.layers.containers.inputs import InputsLike, parse_inputs
from bptt.layers.module import Module
from bptt.layers.passes.directions import reads_from_end
from bptt.layers.passes.tape import Tape
from bptt.losses.loss import Loss


def gradient_flow(
    layer: Module | Any,
    x: InputsLike,
    state: Any = None,
    *,
    dy: npt.ArrayLike | None = None,
    loss: Loss | Any = None,
    target: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    skip: npt.ArrayLike | None = None,
) -> GradientFlow:
    """Backpropagate an error through time and measure ||dL/dh_t|| per layer and step.

    Parameters, gradients and random generators do not change. Padding does not change the result.

    Parameters
    ----------
    layer : Module
        A recurrent layer, or a Sequential with recurrent layers. Dropout acts as in training. Or a PyTorch
        model whose recurrent modules run in bptt, as `bptt.interop.torch.flow.gradient_flow` explains.
    x : array-like
        Input of the layer, (T, B, I).
    state : optional
        Initial state of the layer. None: zeros.
    dy : array-like, optional
        The error dL/dy, in y's shape. None: an error of norm 1, spread evenly over the outputs of the last
        step, or over all of y if y has no time axis. A reverse direction makes its last step at step 0, so
        its rows are measured with an error at step 0.
    loss, target : Loss and array-like, optional
        Use the error of training in place of `dy`, with 0 past the end of a row. If every step has an error,
        the norm at a step is the norm of all later errors together. It does not show a single error.
    lengths, reset, skip : array-like, optional
        Arguments of the layer's `forward`. The flow of rows with skipped steps is that of rows without these
        steps. Only the longest rows get the error of norm 1. If y has no time axis, errors of shorter rows
        in `dy` or `loss` are ignored, because they start at an earlier step.

    Returns
    -------
    GradientFlow
        Norms of the error per layer and step, with growth rates and verdicts.

    Raises
    ------
    TypeError
        If `layer` is not a layer, `loss` is not a loss, or an array does not hold real numbers.
    ValueError
        If the model has no recurrent layer, x has no steps or no rows, both `dy` and `loss` are passed, or
        shapes do not match. If y has no time axis, and `dy` or `loss` has errors only on shorter rows.

    References
    ----------
    Hochreiter (1991), Untersuchungen zu dynamischen neuronalen Netzen. Bengio, Simard and Frasconi (1994),
    Learning long-term dependencies with gradient descent is difficult. Pascanu, Mikolov and Bengio (2013),
    On the difficulty of training recurrent neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x = np.random.default_rng(0).standard_normal((100, 4, 3))
    >>> flow = bptt.gradient_flow(bptt.RNN(3, 16, seed=0), x)
    >>> flow.verdict, flow.rate.round(2)
    (('vanishing',), array([0.56]))
    """
    flow = flow_for(layer)
    if flow is not None:
        options = {"lengths": lengths, "reset": reset, "skip": skip}
        measured: GradientFlow = flow(layer, x, state, dy=dy, loss=loss, target=target, **options)
        return measured
    check_layer(layer)
    check_recurrent(layer)
    check_error(dy, loss, target)
    options = options_of(layer, lengths=lengths, reset=reset, skip=skip)
    with untouched(layer):
        y, _, tape = layer.forward(x, state, **options)
        rows = _longest_rows(tape)[1]
        if loss is not None and target is not None:
            dy = loss(y, target, rows_that_count(layer, x, options, y))[1]
        if dy is None:
            return flow_of_last_step(layer, tape, y)
        if options.keys() & {"lengths", "skip"} and not per_step(tape, y.shape) and np.shape(dy) == y.shape:
            dy = _of_longest_rows(np.asarray(dy), rows, "dy" if loss is None else "loss")
        layer.backward(tape, dy, need_dx=False)  # raises if dy has a wrong shape
        return flow_on(tape, y.shape)


def flow_of_last_step(model: Module, tape: Tape, y: Floats) -> GradientFlow:
    """Measure the flow of an error of norm 1, on a tape of the model.

    The error is the default error of `gradient_flow`. Adds to the model's gradients and replaces the norms on
    the tape.
    """
    forward, reverse = last_step_errors(tape, y)
    model.backward(tape, forward, need_dx=False)
    flow = flow_on(tape, y.shape)
    if reverse is None:
        return flow
    model.backward(tape, reverse, need_dx=False)
    reverse_flow = flow_on(tape, y.shape)
    is_reverse = np.array([row.reverse for row in flow.rows])[:, None]
    dc_norm = flow.dc_norm
    if dc_norm is not None and reverse_flow.dc_norm is not None:
        dc_norm = np.where(is_reverse, reverse_flow.dc_norm, dc_norm)
    return replace(flow, dh_norm=np.where(is_reverse, reverse_flow.dh_norm, flow.dh_norm), dc_norm=dc_norm)


def last_step_errors(tape: Tape, y: Floats) -> tuple[Floats, Floats | None]:
    """Return an error of norm 1 at the last step.

    For reverse directions, also return an error of norm 1 at the first step, else None.

    Raises
    ------
    ValueError
        If the batch has no steps or no rows.
    """
    _, first = next(recurrent_tapes(tape))
    steps, rows = _longest_rows(tape)
    B = first.core.shape[1]
    has_time = per_step(tape, y.shape)
    valid = None if first.ragged is None else first.ragged.valid

    def error_at(number: int) -> Floats:
        error = np.zeros(y.shape, y.dtype)
        # If y has a time axis, it has the layout of the layer. Otherwise it is (B, C) or (C,).
        if has_time:
            times = [number if valid is None else np.flatnonzero(valid[:, row])[number] for row in rows]
            over_time = first.layout.sequence_in(error)
            over_time[times, rows] = 1.0 / np.sqrt(over_time[0, rows].size)
        else:
            of_rows = error.reshape(B, -1)
            of_rows[rows] = 1.0 / np.sqrt(of_rows[rows].size)
        return error

    both = has_time and any(reads_from_end(part.owner) for _, part in recurrent_tapes(tape))
    return error_at(steps - 1), error_at(0) if both else None


def per_step(tape: Tape, y_shape: tuple[int, ...]) -> bool:
    """Return whether y has one output per step of the recurrent layers.

    False after `Last`.
    """
    _, first = next(recurrent_tapes(tape))
    return y_shape[:-1] == first.layout.sequence_shape(*first.core.shape, 1)[:-1]


def longest_rows(tape: Tape) -> tuple[int, npt.NDArray[np.int64]]:
    """Return the number of steps of the longest rows, and the numbers of these rows."""
    _, first = next(recurrent_tapes(tape))
    steps, B = first.core.shape
    rows = np.arange(B)
    if first.ragged is not None:
        steps = int(np.count_nonzero(first.ragged.active))
        rows = first.ragged.order[: first.ragged.active[steps - 1]] if steps else rows[:0]
    return steps, rows


def flow_on(tape: Tape, y_shape: tuple[int, ...]) -> GradientFlow:
    """Read the flow of the last backward pass from the tape.

    Steps past the end of the longest rows are left out.
    """
    rows = tuple(row for row, _ in rows_on(tape))
    steps = {part.core.shape[0] for _, part in recurrent_tapes(tape)}
    if len(steps) > 1:
        raise ValueError(
            f"layer must have recurrent layers over the same steps; got {sorted(steps)}. "
            "Fix: measure each part of the model separately."
        )
    longest, _ = longest_rows(tape)
    h: list[Norms] = []
    c: list[Norms] = []
    for _, part in recurrent_tapes(tape):
        dh_norm, dc_norm = part.norms_by_number()
        if dh_norm is None:
            raise ValueError(
                "tape must have norms of a backward pass; got a tape without. Fix: call backward first."
            )
        h.append(dh_norm[:, :longest])
        c.append(np.full_like(h[-1], np.nan) if dc_norm is None else dc_norm[:, :longest])
    has_cell = any(part.owner.has_cell_state for _, part in recurrent_tapes(tape))
    # `np.concatenate` copies the norms, because another backward pass replaces those on the tape.
    return GradientFlow(
        np.concatenate(h), np.concatenate(c) if has_cell else None, rows, per_step(tape, y_shape)
    )


def _longest_rows(tape: Tape) -> tuple[int, npt.NDArray[np.int64]]:
    """Call `longest_rows`, and raise ValueError if the batch has no steps or rows."""
    steps, rows = longest_rows(tape)
    if steps == 0 or len(rows) == 0:
        raise ValueError(
            f"x must have at least one step and one row; got {steps} valid steps, {len(rows)} rows. "
            "Fix: pass a batch that is not empty."
        )
    return steps, rows


def _of_longest_rows(dy: Floats, rows: npt.NDArray[np.int64], argument: str) -> Floats:
    """Return a copy of an error without a time axis, with zeros except on these rows.

    Raises
    ------
    ValueError
        If only other rows have an error.
    """
    error = np.zeros_like(dy)
    error[rows] = dy[rows]
    if dy.any() and not error.any():
        row = int(np.flatnonzero(dy.reshape(len(dy), -1).any(axis=1))[0])
        raise ValueError(
            f"{argument} must have an error on the longest rows, because only these are measured if y has no "
            f"time axis; got errors only on shorter rows, the first on row {row}. "
            "Fix: measure rows of one length at a time."
        )
    return error


def check_recurrent(layer: Module) -> None:
    """Raise ValueError if a model has no recurrent layer."""
    if not rows_of(layer):
        raise ValueError(
            f"layer must hold a recurrent layer; got {layer!r:.200}. Fix: pass an RNN, LSTM, GRU or MGU, or "
            "a Sequential with one."
        )


def rows_that_count(
    layer: Module, x: InputsLike, options: Mapping[str, Any], y: Floats
) -> npt.NDArray[np.bool_] | None:
    """Return the mask that the Trainer passes to the loss.

    The mask is False at skipped steps and past the end of a row. `options` holds the arguments of `forward`.
    """
    rows = {name: parse_inputs(options[name], name) for name in ("lengths", "skip") if name in options}
    return ModelAxes(layer).mask(Batch(parse_inputs(x, "x"), **rows), y)


def check_error(dy: object, loss: object, target: object) -> None:
    """Raise if both `dy` and `loss` are passed, or only one of `loss` and `target`."""
    if loss is not None and not isinstance(loss, Loss):
        raise TypeError(
            f"loss must be a bptt.Loss; got {kind_of(loss)}. Fix: pass bptt.CrossEntropy(), for example."
        )
    if (loss is None) != (target is None):
        raise ValueError("loss and target must come together; got one of them. Fix: pass both, or neither.")
    if dy is not None and loss is not None:
        raise ValueError("dy must be None if a loss is passed; got both. Fix: pass one of them.")
