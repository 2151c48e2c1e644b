"""The chain of steps from a model's input to its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bptt.interop.onnx.errors import UnsupportedOnnxError
from bptt.interop.onnx.reading.axes import Problem, same, wide
from bptt.interop.onnx.reading.calls import Roles
from bptt.interop.onnx.reading.joining import pair
from bptt.interop.onnx.reading.unrolled import final_state, is_state
from bptt.interop.onnx.reading.values import (
    Finals,
    Flow,
    Function,
    Input,
    Plain,
    Recurrent,
    Reduced,
    Step,
    Value,
    ancestors,
)


@dataclass(frozen=True)
class Chain:
    """Steps in the order in which they run.

    Attributes
    ----------
    input : Input
    steps : list of Step
        `Plain`, `Recurrent` and `Reduced` steps, and `Finals` for the final outputs of the layer before.
    batch_first : bool
    """

    input: Input
    steps: list[Step]
    batch_first: bool


def find_chain(outputs: Sequence[tuple[str, Value]], roles: Roles) -> Chain:
    """Find the chain that computes the outputs.

    Raises
    ------
    UnsupportedOnnxError
        If the outputs are not those of one chain, with its states.
    """
    flows = [(name, value) for name, value in outputs if isinstance(value, Flow)]
    if len(flows) < len(outputs):
        name = next(name for name, value in outputs if not isinstance(value, Flow))
        raise UnsupportedOnnxError(f"has the output {name!r:.60}, which does not depend on an input")
    name, main = _main_output(flows)
    steps = _steps(main, name, roles)
    root = steps.pop(0)
    if not isinstance(root, Input):
        raise UnsupportedOnnxError(f"has the output {name!r:.60}, which is computed from a part of an input")
    if main.step is not root:
        _check_axes(name, main)
    _check_states(flows, steps, name)
    _check_lengths(steps)
    return Chain(root, steps, _batch_first(root, roles))


def _main_output(flows: Sequence[tuple[str, Flow]]) -> tuple[str, Flow]:
    """Return the output of the model. The other outputs are states."""
    others = [(name, flow) for name, flow in flows if not isinstance(flow.step, Finals)]
    if len(others) > 1:
        names = ", ".join(repr(name) for name, _ in others)
        raise UnsupportedOnnxError(
            f"has {len(others)} outputs, {names:.200}, and a bptt model has one output and states. "
            f"Fix: pass output={others[0][0]!r}, or another one of them"
        )
    if others:
        return others[0]
    for name, flow in flows:
        if len(flow.dims) < 3 and same(flow.dims[-1], flow.step.features):
            return name, flow
    # All outputs are states: the model is the last recurrent layer, and the layers before it.
    layers = {
        layer: name
        for name, flow in flows
        for layer, _, _ in flow.step.rows  # type: ignore[attr-defined]
    }
    last = max(layers, key=lambda layer: sum(1 for _ in ancestors(layer)))
    return layers[last], Flow(last, ((*last.lead, *last.features),))


def _steps(main: Flow, name: str, roles: Roles) -> list[Step]:
    steps: list[Step] = []
    step: Step | None = main.step
    while step is not None:
        if is_state(step):
            try:
                step = final_state(step, roles)
            except Problem as problem:
                raise UnsupportedOnnxError(f"has {step.name}: {problem}") from None
        if isinstance(step, Finals):
            layer = _layer_of(step, name)
            steps += [step, layer]
            step = layer.source
            continue
        if isinstance(step, Reduced) and step.how not in ("mean", "max", -1):
            raise UnsupportedOnnxError(
                f"selects a time step at {step.name}, and bptt.Last selects only the last one"
            )
        if isinstance(step, Function):
            raise UnsupportedOnnxError(
                f"computes at {step.name} a function of each element that no layer of bptt has"
            )
        if not isinstance(step, (Input, Plain, Recurrent, Reduced)) and step.source is not None:
            raise UnsupportedOnnxError(
                f"uses a part of a layer's outputs at {step.name}, and no layer of bptt does this"
            )
        steps.append(step)
        step = step.source
    return steps[::-1]


def _layer_of(final: Finals, name: str) -> Recurrent:
    """Return the layer whose final outputs these rows are."""
    rows = final.rows
    layer: Recurrent | None = rows[0][0]
    if len(rows) == 2 and rows[0][0] is not rows[1][0]:
        layer = pair(rows[0][0], rows[1][0])
        rows = tuple((row[0], row[1], k) for k, row in enumerate(rows)) if layer else rows
    if layer is None or [row[1:] for row in rows] != [("h", k) for k in range(len(layer.weights.directions))]:
        raise UnsupportedOnnxError(
            f"has at {final.name} a mixture of final states, and bptt.Ends returns those of all directions "
            f"of one layer. Fix: pass output= with the name of an output or value before {name!r:.60}"
        )
    return layer


def _check_axes(name: str, main: Flow) -> None:
    """Raise if an output has its axes in another order than bptt."""
    step = main.step
    actual = wide([axis for dim in main.dims for axis in dim])
    expected = wide((*step.lead, *step.features))
    apart = wide(step.directions) if isinstance(step, Recurrent) else []
    if [axis for axis in actual if axis not in apart] != [axis for axis in expected if axis not in apart]:
        axes = ", ".join(axis.name for axis in actual)
        raise UnsupportedOnnxError(
            f"has the output {name!r:.60} with the axes ({axes:.200}), in another order than the input. "
            f"bptt returns ({', '.join(axis.name for axis in expected):.200}). Fix: pass output= with the "
            "name of a value before the last Transpose"
        )


def _check_states(flows: Sequence[tuple[str, Flow]], steps: Sequence[Step], main: str) -> None:
    weights = {id(step.weights) for step in steps if isinstance(step, Recurrent)}
    for name, flow in flows:
        for layer, _, _ in flow.step.rows if isinstance(flow.step, Finals) else ():
            if not weights & {id(layer.weights), *(id(both.weights) for both in layer.partners.values())}:
                raise UnsupportedOnnxError(
                    f"has the output {name!r:.60}, a state of a layer that the output {main!r:.60} does not "
                    f"need. Fix: pass output={main!r:.60}"
                )


def _check_lengths(steps: Sequence[Step]) -> None:
    layers = [step for step in steps if isinstance(step, Recurrent)]
    for layer in layers:
        if layer.lengths != layers[0].lengths:
            raise UnsupportedOnnxError(
                f"has other sequence_lens at {layer.name} than at {layers[0].name}, and a bptt model passes "
                "its argument lengths to all layers"
            )


def _batch_first(root: Input, roles: Roles) -> bool:
    if roles.time is None or not roles.batch:
        return False
    if len(roles.time) > 1 or len(roles.batch) > 1 or not {*roles.time, *roles.batch} <= {*root.lead}:
        raise UnsupportedOnnxError("joins or splits axes of its input before the first recurrent layer")
    return root.lead.index(roles.batch[0]) < root.lead.index(roles.time[0])
