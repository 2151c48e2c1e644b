"""`bptt.first_nonfinite`: passes that stop at the first NaN or infinity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_real
from bptt.checks.training_step import check_layer, options_of, untouched
from bptt.diagnose.measure import check_error, last_step_errors, rows_that_count
from bptt.diagnose.nonfinite import NonFinite, backward_origin, entry, forward_origin, origin
from bptt.diagnose.rows import rows_of, rows_on
from bptt.layers.containers.container import Container
from bptt.layers.containers.inputs import Inputs, InputsLike, arrays_of, main_array, parse_inputs, ports
from bptt.layers.containers.parts import Key, accepted, inside
from bptt.layers.module import Module
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import packed_rows
from bptt.layers.passes.tape import ModelTape, Tape
from bptt.layers.recurrent_calls import RecurrentCalls
from bptt.losses.loss import Loss

Values: TypeAlias = npt.NDArray[Any]


def first_nonfinite(
    layer: Module | Tape,
    x: InputsLike | None = None,
    state: Any = None,
    *,
    dy: npt.ArrayLike | None = None,
    loss: Loss | None = None,
    target: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    skip: npt.ArrayLike | None = None,
) -> NonFinite | None:
    """Run both passes, and return the origin of the first NaN or infinity.

    The check follows the order of computation. Forward, it checks x, then for each layer the parameters, the
    initial state, the gates, c and h of each step, and the outputs. Then it checks target, loss and dy.
    Backward, it checks dL/dh and dL/dc of each step, the gradients of the parameters, and dx. Parameters,
    gradients and random generators do not change.

    Parameters
    ----------
    layer : Module or Tape
        A layer or a model. Or a tape without other arguments: then only its gates, states and errors are
        checked.
    x : array-like
        Input of the layer.
    state : optional
        Initial state of the layer. None: zeros.
    dy : array-like, optional
        The error dL/dy, in y's shape. None: an error of norm 1 at the last step, as in `gradient_flow`. A
        model without a recurrent layer then gets no backward pass.
    loss, target : Loss and array-like, optional
        Use the error of training in place of `dy`.
    lengths, reset, skip : array-like, optional
        Arguments of the layer's `forward`. Skipped steps, and steps past the end of a row, are not checked.

    Returns
    -------
    NonFinite or None
        Tensor, layer and step. None if all numbers are finite.

    Raises
    ------
    TypeError, ValueError
        If `layer` is not a layer, arguments contradict each other, or the layer refuses an argument.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x = np.ones((20, 4, 3))
    >>> x[7, 2, 0] = np.nan
    >>> print(bptt.first_nonfinite(bptt.LSTM(3, 8), x))
    x is not finite at step 7 (nan in row 2, entry 0)
    """
    if isinstance(layer, Tape):
        arguments = {
            "x": x,
            "state": state,
            "dy": dy,
            "loss": loss,
            "target": target,
            "lengths": lengths,
            "reset": reset,
            "skip": skip,
        }
        for name, value in arguments.items():
            if value is not None:
                raise ValueError(
                    f"{name} must be None if a tape is passed; got both. "
                    "Fix: pass the layer in place of the tape, or only the tape."
                )
        return origin(layer)
    check_layer(layer)
    check_error(dy, loss, target)
    if x is None:
        raise TypeError(
            "x must be the input of the layer; got None. Fix: pass the input of the pass to check."
        )
    values = parse_inputs(x, "x")
    options = options_of(layer, lengths=lengths, reset=reset, skip=skip)
    with untouched(layer):
        try:
            _Pass(layer, values, options).run(values, state, dy, loss, target)
        except _Found as found:
            return found.nonfinite
    return None


class _Found(Exception):
    """Ends a pass at the first tensor that is not finite."""

    def __init__(self, nonfinite: NonFinite) -> None:
        super().__init__(str(nonfinite))
        self.nonfinite = nonfinite


def _stop_at(findings: Iterable[NonFinite]) -> None:
    """Raise `_Found` for the first of these findings."""
    for nonfinite in findings:
        raise _Found(nonfinite)


class _Pass:
    """One pass through a model, which raises `_Found` at the first tensor that is not finite."""

    def __init__(self, model: Module, x: Inputs, options: dict[str, Any]) -> None:
        self.model = model
        self.options = options
        stacks = [row.stack for row in rows_of(model)]
        self.recurrent = bool(stacks)
        port = ports(model)[0]
        self.main = main_array(x, port.path, "x")
        self.rows: dict[str, Any] = {}
        for name in options.keys() & {"lengths", "skip"}:
            rows = options[name]
            if not isinstance(rows, Mapping) or (port.path and port.path[0] in rows):
                self.rows[name] = main_array(rows, port.path, name)
        # Layers that do not accept lengths or skips read all steps.
        self.rows_of_x = {name: rows for name, rows in self.rows.items() if name in port.layer.call_options}
        batched = self.main.ndim - port.features == 2
        self.layout = Layout(batched and self.recurrent and stacks[0].batch_first, not batched)

    def run(self, x: Inputs, state: Any, dy: Any, loss: Loss | None, target: Any) -> None:
        for path, values in arrays_of(x).items():
            rows = self.rows_of_x if values is self.main else {}
            _stop_at(self.array("".join(["x", *(f"[{name!r}]" for name in path)]), values, rows))
        y, _, tape = self.forward(self.model, x, state, "", self.options)
        if loss is not None:
            _stop_at(self.array("target", as_real(target, "target"), self.rows))
            value, dy = loss(y, target, rows_that_count(self.model, x, self.options, y))
            if not np.isfinite(value):
                raise _Found(NonFinite("loss", value=value))
        errors = [dy]
        if dy is None:
            errors = (
                [error for error in last_step_errors(tape, y) if error is not None] if self.recurrent else []
            )
        for error in errors:
            _stop_at(self.array("dy", as_real(error, "dy"), self.rows, from_end=True))
            self.model.zero_grad()
            self.backward(self.model, tape, error, None, "", self.options)

    def forward(
        self, layer: Module, x: Any, state: Any, place: str, options: dict[str, Any]
    ) -> tuple[Any, Any, Tape]:
        if isinstance(layer, Container):

            def forward(key: Key, x: Any, state: Any) -> tuple[Any, Any, Tape]:
                part, own = layer.parts[key], layer.select(key, options)
                with layer.naming(key):
                    return self.forward(part, x, state, inside(place, key), own)

            return layer.taped(x, state, forward)
        for name, parameter in layer.parameters.items():
            _stop_at(_parameter(layer, name, parameter, name, place))
        if isinstance(layer, RecurrentCalls):
            _stop_at(_state(layer, state, place))
        y, state, tape = layer.forward(x, state, **accepted(layer, options))
        for row, part in rows_on(tape):
            _stop_at(_placed(forward_origin(row, part), place))
        _stop_at(self.array("y", y, options, place))
        return y, state, tape

    def backward(
        self, layer: Module, tape: Tape, dy: Any, dstate: Any, place: str, options: dict[str, Any]
    ) -> tuple[Any, Any]:
        if isinstance(layer, Container) and isinstance(tape, ModelTape):
            tapes = dict(zip(layer.parts, tape.tapes, strict=True))

            def run(key: Key, dy: Any, dstate: Any, need_dx: bool) -> tuple[Any, Any]:
                part, own = layer.parts[key], layer.select(key, options)
                return self.backward(part, tapes[key], dy, dstate, inside(place, key), own)

            return layer.connect_back(tape, dy, dstate, run, need_dx=True)
        dx, dstate = layer.backward(tape, dy, dstate)
        for row, part in reversed(rows_on(tape)):
            _stop_at(_placed(backward_origin(row, part), place))
        for name, gradient in layer.gradients.items():
            _stop_at(_parameter(layer, name, gradient, f"gradient of {name}", place))
        if dx is not None:
            _stop_at(self.array("dx", dx, options, place, from_end=True))
        return dx, dstate

    def array(
        self, tensor: str, values: Values, rows: Mapping[str, Any], place: str = "", *, from_end: bool = False
    ) -> Iterator[NonFinite]:
        """Yield the first bad entry, in the first bad step if the array has steps.

        Entries at steps that a row does not have are not checked. `rows` holds lengths and skips.
        """
        if values.dtype.kind not in "fV" or np.isfinite(values).all():
            return
        if not self.recurrent or values.ndim != (2 if self.layout.unbatched else 3):
            index = entry(values)
            yield NonFinite(tensor, place=place, index=index, value=float(values[index]))
            return
        over_time = self.layout.sequence_in(values)
        bad = ~np.isfinite(over_time)
        if rows:
            # The layer has not checked them yet.
            packed = packed_rows(rows.get("lengths"), rows.get("skip"), self.layout, *bad.shape[:2])
            if packed is not None:
                bad &= packed.valid[:, :, None]
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
    rows = [row for row in rows_of(layer) if name.endswith(row.suffix)]
    yield replace(nonfinite, layer=rows[0].layer, reverse=rows[0].reverse) if rows else nonfinite


def _state(layer: RecurrentCalls, state: Any, place: str) -> Iterator[NonFinite]:
    parts = state if layer.has_cell_state and isinstance(state, (tuple, list)) else (state,)
    for name, part in zip(("initial h", "initial c"), parts, strict=False):  # the layer checks the number
        values = as_real(0.0 if part is None else part, "state")
        rows = rows_of(layer)
        # If the shape is wrong, the layer raises the error.
        if values.ndim > 1 and len(values) == len(rows) and not np.isfinite(values).all():
            row, *rest = index = entry(values)
            owner = rows[row]
            value = float(values[index])
            yield NonFinite(name, owner.layer, owner.reverse, place, index=tuple(rest), value=value)
