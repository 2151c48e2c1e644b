"""`bptt.first_nonfinite`: a pass forward and back, stopped at the first NaN or infinity."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_real
from bptt.checks.training_step import check_layer, options_of, untouched
from bptt.diagnose.measure import check_error, last_step_errors, rows_that_count
from bptt.diagnose.nonfinite import NonFinite, backward_origin, entry, forward_origin, origin
from bptt.diagnose.rows import inside, rows_of, rows_on
from bptt.layers.embedding import Embedding
from bptt.layers.module import Module
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import parse_lengths
from bptt.layers.passes.tape import SequentialTape, Tape
from bptt.layers.recurrent import Recurrent
from bptt.layers.sequential import Sequential
from bptt.losses.loss import Loss

Values: TypeAlias = npt.NDArray[Any]
Result = TypeVar("Result")
Traced: TypeAlias = Generator[NonFinite, None, Result]


def first_nonfinite(
    layer: Module | Tape,
    x: npt.ArrayLike | None = None,
    state: Any = None,
    *,
    dy: npt.ArrayLike | None = None,
    loss: Loss | None = None,
    target: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
) -> NonFinite | None:
    """Make one pass forward and back, and say where the first NaN or infinity arose.

    The check follows the order of computing. Forward, it checks x, then for each layer the parameters, the
    initial state, the gates, c and h of each step, and the outputs. Then it checks target, loss and dy.
    Backward, it checks dL/dh and dL/dc of each step, the gradients of the parameters, and dx. Parameters,
    gradients and random generators do not change.

    Parameters
    ----------
    layer : Module or Tape
        A layer or a model; or a tape alone, on which only gates, states and errors are looked at.
    x : array-like
        As the layer takes it.
    state : optional
        As the layer takes it. None: zeros.
    dy : array-like, optional
        The error, dL/dy, of y's shape. None: an error of norm 1 at the last step, as `gradient_flow` has it;
        for a model without a recurrent layer, none at all.
    loss, target : Loss and array-like, optional
        In place of `dy`: the error that training sees.
    lengths, reset : array-like, optional
        As the layer takes them. What lies past a row's end is not looked at.

    Returns
    -------
    NonFinite or None
        Tensor, layer and step; None where everything is finite.

    Raises
    ------
    TypeError, ValueError
        `layer` is not a layer, arguments do not fit together, or the layer refuses an argument.
    """
    if isinstance(layer, Tape):
        beside = {
            "x": x,
            "state": state,
            "dy": dy,
            "loss": loss,
            "target": target,
            "lengths": lengths,
            "reset": reset,
        }
        for name, value in beside.items():
            if value is not None:
                raise ValueError(
                    f"{name} must be None beside a tape; got both. Fix: pass the layer, or the tape alone."
                )
        return origin(layer)
    check_layer(layer)
    check_error(dy, loss, target)
    if x is None:
        raise TypeError(
            "x must be what the layer reads; got None. Fix: pass the input of the pass in question."
        )
    values = as_real(x, "x")
    options = options_of(layer, lengths, reset)
    with untouched(layer):
        return next(_Pass(layer, values, options).findings(values, state, dy, loss, target), None)


class _Pass:
    """One pass through a model. Its generators yield what is not finite, in the order of computing, and
    compute as far as they are asked for."""

    def __init__(self, model: Module, x: Values, options: dict[str, Any]) -> None:
        self.model = model
        self.options = options
        stacks = [row.stack for row in rows_of(model)]
        self.recurrent = bool(stacks)
        first = model
        while isinstance(first, Sequential):
            first = first.layers[0]
        self.reads_lengths = "lengths" in first.call_options  # any other reads past the rows' ends
        batched = x.ndim + isinstance(first, Embedding) == 3
        self.layout = Layout(batched and self.recurrent and stacks[0].batch_first, not batched)

    def findings(self, x: Values, state: Any, dy: Any, loss: Loss | None, target: Any) -> Iterator[NonFinite]:
        yield from self.array("x", x)
        y, tape = yield from self.forward(self.model, x, state, "")
        if loss is not None:
            yield from self.array("target", as_real(target, "target"))
            value, dy = loss(y, target, rows_that_count(self.model, x, self.options.get("lengths"), y))
            if not np.isfinite(value):
                yield NonFinite("loss", value=value)
        errors = [dy]
        if dy is None:
            errors = (
                [each for each in last_step_errors(tape, y) if each is not None] if self.recurrent else []
            )
        for error in errors:
            yield from self.array("dy", as_real(error, "dy"), from_end=True)
            self.model.zero_grad()
            yield from self.backward(self.model, tape, error, "")

    def forward(self, layer: Module, x: Any, state: Any, place: str) -> Traced[tuple[Any, Tape]]:
        if isinstance(layer, Sequential):
            tapes = []
            for index, own in enumerate(layer.per_layer(state, "state")):
                with layer.naming(index):
                    x, tape = yield from self.forward(layer.layers[index], x, own, inside(place, index))
                tapes.append(tape)
            return x, SequentialTape(layer, tuple(tapes))
        for name, parameter in layer.parameters.items():
            yield from _parameter(layer, name, parameter, name, place)
        if isinstance(layer, Recurrent):
            yield from _state(layer, state, place)
        taken = {name: value for name, value in self.options.items() if name in layer.call_options}
        y, _, tape = layer.forward(x, state, **taken)
        for row, part in rows_on(tape):
            yield from _placed(forward_origin(row, part), place)
        yield from self.array("y", y, place)
        return y, tape

    def backward(self, layer: Module, tape: Tape, dy: Any, place: str) -> Traced[Any]:
        if isinstance(layer, Sequential) and isinstance(tape, SequentialTape):
            for index in reversed(range(len(layer))):
                dy = yield from self.backward(
                    layer.layers[index], tape.tapes[index], dy, inside(place, index)
                )
            return dy
        dx, _ = layer.backward(tape, dy)
        for row, part in reversed(rows_on(tape)):
            yield from _placed(backward_origin(row, part), place)
        for name, gradient in layer.gradients.items():
            yield from _parameter(layer, name, gradient, f"gradient of {name}", place)
        if dx is not None:
            yield from self.array("dx", dx, place, from_end=True)
        return dx

    def array(
        self, tensor: str, values: Values, place: str = "", *, from_end: bool = False
    ) -> Iterator[NonFinite]:
        """The first bad entry, of the first bad step where there are steps; not past the rows' ends."""
        if values.dtype.kind not in "fV" or np.isfinite(values).all():
            return
        if not self.recurrent or values.ndim != (2 if self.layout.unbatched else 3):
            index = entry(values)
            yield NonFinite(tensor, place=place, index=index, value=float(values[index]))
            return
        over_time = self.layout.sequence_in(values)
        bad = ~np.isfinite(over_time)
        given = None if tensor == "x" and not self.reads_lengths else self.options.get("lengths")
        if given is not None:
            lengths = parse_lengths(given, *bad.shape[:2])  # the layer has not seen them yet
            bad &= (np.arange(len(bad))[:, None] < lengths)[:, :, None]
        steps = np.flatnonzero(bad.any(axis=(1, 2)))
        if steps.size:
            step = int(steps[-1 if from_end else 0])
            row, unit = map(int, np.argwhere(bad[step])[0])
            value = float(over_time[step, row, unit])
            yield NonFinite(tensor, place=place, step=step, index=(row, unit), value=value)


def _placed(nonfinite: NonFinite | None, place: str) -> Iterator[NonFinite]:
    if nonfinite is not None:
        yield replace(nonfinite, place=place)


def _parameter(layer: Module, name: str, values: Values, tensor: str, place: str) -> Iterator[NonFinite]:
    if np.isfinite(values).all():
        return
    index = entry(values)
    nonfinite = NonFinite(tensor, place=place, index=index, value=float(values[index]))
    of = [row for row in rows_of(layer) if name.endswith(row.suffix)]
    yield replace(nonfinite, layer=of[0].layer, reverse=of[0].reverse) if of else nonfinite


def _state(layer: Recurrent, state: Any, place: str) -> Iterator[NonFinite]:
    parts = state if layer.has_cell_state and isinstance(state, (tuple, list)) else (state,)
    for name, part in zip(("initial h", "initial c"), parts, strict=False):  # the layer counts them
        values = as_real(0.0 if part is None else part, "state")
        rows = rows_of(layer)
        # Of another shape it is the layer's to refuse.
        if values.ndim > 1 and len(values) == len(rows) and not np.isfinite(values).all():
            row, *rest = index = entry(values)
            owner = rows[row]
            value = float(values[index])
            yield NonFinite(name, owner.layer, owner.reverse, place, index=tuple(rest), value=value)
