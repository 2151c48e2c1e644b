"""One training step of a layer, with all results by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt.checks.nested import State, flatten, map_state
from bptt.checks.perturbation import STILL, Move
from bptt.checks.training_step import Tensor, named_gradients, normal, untouched
from bptt.layers.containers.inputs import Inputs
from bptt.layers.module import Module
from bptt.layers.passes.tape import ModelTape, RecurrentTape, Tape
from bptt.reference.ragged import RaggedTape
from bptt.reference.stack import StackTape


@dataclass(frozen=True)
class Problem:
    """The data of a training step: inputs, options of both passes, and the seed of the errors."""

    x: Inputs
    state: State
    options: dict[str, Any]
    backward_options: dict[str, Any]
    seed: int
    has_last: bool = True
    """Whether the last state has an error, too."""

    def errors(self, y: Tensor, last: State) -> tuple[Tensor, State]:
        """Draw dL/dy and dL/d(last state) from N(0, 1), as float32 numbers.

        No implementation has to round these.
        """
        rng = np.random.default_rng(self.seed)
        dy = normal(rng, y).astype(np.float32)
        if not self.has_last:
            return dy, None
        return dy, map_state(lambda s: normal(rng, s).astype(np.float32), last)

    def without_last(self) -> Problem:
        """Return the same data without an error of the last state."""
        return replace(self, has_last=False)


def run_layer(layer: Module, problem: Problem, move: Move = STILL) -> dict[str, Tensor]:
    """Run one training step and return all its results by name, in float64."""
    with untouched(layer):
        layer.flat_parameters[:] = move(layer.flat_parameters)
        y, last, tape = layer.forward(
            map_state(move, problem.x), map_state(move, problem.state), **problem.options
        )
        _move_tape(tape, move)
        dy, dlast = problem.errors(y, last)
        layer.zero_grad()
        dx, dstate = layer.backward(tape, move(dy), map_state(move, dlast), **problem.backward_options)
        results = flatten(y, "y") | flatten(last, "state") | named_gradients(layer, dx, dstate)
        for name in ("dh_norm", "dc_norm", "dh"):
            results |= flatten(getattr(tape, name, None), name)
        return {name: np.array(tensor, np.float64) for name, tensor in results.items()}


def _move_tape(tape: Tape, move: Move) -> None:
    """Perturb the arrays that reference layers saved.

    Native tapes have no arrays that Python can change.
    """
    if isinstance(tape, ModelTape):
        for part in tape.tapes:
            _move_tape(part, move)
    elif isinstance(tape, RecurrentTape) and isinstance(tape.core, (StackTape, RaggedTape)):
        tape.core.move(move.kept, move.between)
