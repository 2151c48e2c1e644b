"""`bptt.gradient_flow` of a PyTorch model whose recurrent modules run in bptt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from bptt import diagnose
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.rows import Row
from bptt.interop.torch.cells import CellDropIn
from bptt.interop.torch.dropin import DropIn
from bptt.interop.torch.function import Plan, recording

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types
PackedSequence: Any = torch.nn.utils.rnn.PackedSequence


class Pass(NamedTuple):
    """One pass of a recurrent module: its name in the model, and what autograd keeps of it."""

    name: str
    plan: Plan
    tape: Any


def gradient_flow(
    model: Any,
    x: Any,
    state: Any = None,
    *,
    dy: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    target: Any = None,
    **options: Any,
) -> GradientFlow:
    """Measure ||dL/dh_t|| per step in every recurrent module that runs in bptt.

    Parameters, gradients, buffers and PyTorch's generators do not change.

    Parameters
    ----------
    model : torch.nn.Module
        A module of `bptt.interop.torch`, or a model that contains some. It runs in its current mode. Other
        parts of the model may be anything that autograd differentiates.
    x : Tensor or PackedSequence
        Input of the model.
    state : optional
        The model's second argument. None: the model is called with x alone.
    dy : Tensor, optional
        The error of the model's first output y. None: an error of norm 1, spread evenly over the outputs of
        the last step, or over all of y if y has no time axis.
    loss, target : callable and Tensor, optional
        loss(y, target) -> scalar tensor. Use its error in place of `dy`.
    **options
        lengths, reset and skip, only for a module of `bptt.interop.torch` itself.

    Returns
    -------
    GradientFlow

    Raises
    ------
    TypeError
        If `lengths`, `reset` or `skip` is passed for a model.
    ValueError
        If no LSTM, GRU or RNN of the model runs in bptt, if one runs twice, or if modules run over different
        numbers of steps. Cells are not measured.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if options:
        return _of_layer(model, x, state, options | {"dy": dy, "loss": loss, "target": target})
    with _buffers_unchanged(model):
        y, passes = _run(model, x, state)
        data = y.data if isinstance(y, PackedSequence) else y
        if loss is not None:
            errors = list(torch.autograd.grad(loss(y, target), data, retain_graph=True))
        elif dy is not None:
            errors = [dy.data if isinstance(dy, PackedSequence) else dy]
        else:
            errors = _last_step_errors(y, passes)
        return _flow(model, data, passes, errors)


@contextmanager
def _buffers_unchanged(model: Any) -> Iterator[None]:
    """Give the buffers of a model their values back, such as the means of batch normalisation."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def _of_layer(model: Any, x: Any, state: Any, options: dict[str, Any]) -> GradientFlow:
    """Measure a single module with arguments that PyTorch does not have, on its bptt layer."""
    if not isinstance(model, DropIn):
        names = ", ".join(name for name in options if name in ("lengths", "reset", "skip"))
        raise TypeError(
            f"{names} must be None for a model of PyTorch; got a {type(model).__name__}. "
            "Fix: pass a PackedSequence, or the recurrent module itself."
        )
    return diagnose.gradient_flow(model.bptt_layer, x, state, **options)


def _run(model: Any, x: Any, state: Any) -> tuple[Any, list[Pass]]:
    """Run forward, and return y and the passes of the recurrent modules, in order."""
    tapes: list[tuple[Plan, Any]] = []
    token = recording.set(tapes)
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            y = model(x) if state is None else model(x, state)
    finally:
        recording.reset(token)
    while isinstance(y, (tuple, list)) and not isinstance(y, PackedSequence):
        y = y[0]
    modules = [(name, part) for name, part in model.named_modules() if isinstance(part, DropIn)]
    names = {id(part.bptt_engine().weights.layer): name for name, part in modules}
    passes = [Pass(names.get(id(plan.backward.layer), "?"), plan, tape) for plan, tape in tapes]
    steps = {part.tape.shape[0] for part in passes}
    if not passes:
        raise ValueError(
            "model must have an LSTM, GRU or RNN that runs in bptt and requires a gradient; "
            + _what_it_has(model, bool(modules))
        )
    if len({part.name for part in passes}) < len(passes) or len(steps) > 1:
        raise ValueError(
            "model must run each recurrent module once, all over the same number of steps; got the modules "
            f"{', '.join(part.name for part in passes)} over {sorted(steps)} steps. "
            "Fix: measure the modules separately."
        )
    return y, passes


def _what_it_has(model: Any, has_modules: bool) -> str:
    """Return the end of the message for a model in which no pass could be measured."""
    if has_modules:
        return (
            "got modules that ran without a gradient or in PyTorch. Fix: call model.requires_grad_(), and "
            "pass tensors of float32 or float64 on the CPU."
        )
    if any(isinstance(part, CellDropIn) for part in model.modules()):
        return "got only cells. Fix: use a module that runs over all steps in place of the cell."
    return "got none. Fix: call bptt.interop.torch.replace(model) first."


def _last_step_errors(y: Any, passes: list[Pass]) -> list[Any]:
    """Return an error of norm 1 at the last step, and for reverse directions another at step 0."""
    first = passes[0]
    if isinstance(y, PackedSequence):
        rows = int(y.batch_sizes[-1])
        places: list[Any] = [slice(len(y.data) - rows, None), slice(0, rows)]
        data = y.data
    elif (
        y.dim() == _sequence_dims(first)
        and y.shape[int(first.plan.layout.batch_first)] == first.tape.shape[0]
    ):
        places = [(slice(None), t) if first.plan.layout.batch_first else t for t in (-1, 0)]
        data = y
    else:
        places, data = [...], y
    if not any(part.plan.backward.layer.bidirectional or part.plan.backward.layer.reverse for part in passes):
        places = places[:1]
    errors = []
    for place in places:
        errors.append(torch.zeros_like(data))
        errors[-1][place] = errors[-1][place].numel() ** -0.5
    return errors


def _sequence_dims(part: Pass) -> int:
    """Return the number of axes of an output with a time axis."""
    return 2 if part.plan.layout.unbatched else 3


def _flow(model: Any, y: Any, passes: list[Pass], errors: list[Any]) -> GradientFlow:
    """Backpropagate the errors, and read the norms: of the first one, or for reverse rows of the second."""
    rows = tuple(
        Row(part.name, part.plan.backward.layer, index)
        for part in passes
        for index in range(part.plan.backward.layer.num_layers * part.plan.backward.layer.num_directions)
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = []
    for error in errors:
        torch.autograd.grad(y, parameters, error, retain_graph=True, allow_unused=True)
        h = [np.array(part.tape.dh_norm) for part in passes]
        c = [np.full_like(norm, np.nan) for norm in h]
        for part, norm in zip(passes, c, strict=True):
            if part.tape.dc_norm is not None:
                norm[...] = part.tape.dc_norm
        found.append((np.concatenate(h), np.concatenate(c)))
    dh_norm, dc_norm = found[0]
    for reverse in found[1:]:
        is_reverse = np.array([row.reverse for row in rows])[:, np.newaxis]
        dh_norm, dc_norm = (
            np.where(is_reverse, second, norm)
            for norm, second in zip((dh_norm, dc_norm), reverse, strict=True)
        )
    per_step = (
        y.dim() == _sequence_dims(passes[0])
        and y.shape[int(passes[0].plan.layout.batch_first)] == dh_norm.shape[1]
    )
    return GradientFlow(dh_norm, None if np.isnan(dc_norm).all() else dc_norm, rows, per_step)
