"""Where two implementations first disagree: layer, step, gate and unit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bptt.checks.guilty_gate import name_gate
from bptt.checks.layer_run import Problem
from bptt.checks.own_function import OwnFunction
from bptt.checks.report import Difference
from bptt.checks.training_step import Tensor, untouched
from bptt.layers.module import Module
from bptt.layers.passes.gates import step_values
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.tape import ModelTape, RecurrentTape, Tape
from bptt.layers.recurrent_calls import RecurrentCalls


def between_layers(layer: Module, other: Module, problem: Problem, tolerance: float) -> Difference | None:
    """Return where the tapes of two layers first disagree.

    Returns None if they agree, or have no steps.
    """
    tapes = []
    for side in (layer, other):
        with untouched(side):
            tapes.append(side.forward(problem.x, problem.state, **problem.options)[2])
    for (place, actual), (_, expected) in zip(*map(_recurrent, tapes), strict=False):
        for index in range(len(actual.h)):
            found = _first_value(actual, expected, index, tolerance)
            if found is not None:
                return found._replace(place=place + _part(actual.owner, index))
    return None


def _recurrent(tape: Tape, place: str = "") -> Iterator[tuple[str, RecurrentTape]]:
    """Yield the tapes of recurrent layers, each with its place in the model, such as "model[1], "."""
    if isinstance(tape, ModelTape):
        for index, part in enumerate(tape.tapes):
            yield from _recurrent(part, f"{place.removesuffix(', ') or 'model'}[{index}], ")
    elif isinstance(tape, RecurrentTape):
        yield place, tape


def _part(owner: RecurrentCalls, index: int) -> str:
    layer, direction = divmod(index, owner.num_directions)
    return f"layer {layer}" + (", reverse" if direction else "")


def _first_value(
    actual: RecurrentTape, expected: RecurrentTape, index: int, tolerance: float
) -> Difference | None:
    """Return the first step's first value, in the order of computation, of one layer and direction."""
    backwards = actual.owner.reverse or index % actual.owner.num_directions == 1
    best: tuple[int, Difference] | None = None
    others = step_values(expected, index)
    for name, values in step_values(actual, index).items():
        found = first_entry(values, others[name], tolerance, backwards=backwards)
        if found is not None and (best is None or found[0] < best[0]):
            order, (step, row, unit) = found
            value, wanted = float(values[step, row, unit]), float(others[name][step, row, unit])
            best = order, Difference("", step, row, unit, name, value, wanted)
    return None if best is None else best[1]


def first_entry(
    values: Tensor, expected: Tensor, tolerance: float, *, backwards: bool = False
) -> tuple[int, tuple[int, int, int]] | None:
    """Return the first entry of (T, B, H) arrays that differs, or None.

    An entry differs if it is off by more than `tolerance` times the largest expected entry. The result is the
    number of steps before it, and its index. With `backwards`, the last step comes first.
    """
    largest = float(np.max(np.abs(expected), initial=0.0))
    differs = ~(np.abs(values - expected) <= tolerance * largest)
    steps = np.flatnonzero(differs.any(axis=(1, 2)))
    if not steps.size:
        return None
    step = int(steps[-1 if backwards else 0])
    row, unit = np.argwhere(differs[step])[0]
    return len(values) - 1 - step if backwards else step, (step, int(row), int(unit))


def in_outputs(
    layer: Module,
    function: OwnFunction,
    results: dict[str, Tensor],
    expected: dict[str, Tensor],
    tolerance: float,
) -> Difference | None:
    """Return the first step at which outputs differ from those of a function.

    `name_gate` says which gate of a recurrent layer is named.
    """
    y, wanted = results["y"], expected["y"]
    if y.ndim != 3 and not isinstance(layer, RecurrentCalls):  # without steps
        return None
    layout = Layout(getattr(layer, "batch_first", False), unbatched=y.ndim == 2)
    found = first_entry(layout.sequence_in(y), layout.sequence_in(wanted), tolerance)
    if found is None:
        return None
    step, row, unit = found[1]
    index = (
        (step, unit) if layout.unbatched else (row, step, unit) if layout.batch_first else (step, row, unit)
    )
    gate = name_gate(layer, function, tolerance) if isinstance(layer, RecurrentCalls) else ""
    return Difference("y", step, row, unit, gate, float(y[index]), float(wanted[index]))
