"""How far rounding may carry each result of a layer: the bounds of `crosscheck`."""

from __future__ import annotations

import math

import numpy as np

from bptt import reference
from bptt.checks.layer_run import Problem, run_layer
from bptt.checks.nested import flatten
from bptt.checks.perturbation import Move
from bptt.checks.report import Comparison, compare
from bptt.checks.training_step import Tensor, rounds_operands, rounds_tape
from bptt.layers.module import Module

BFLOAT16 = 2.0**-8
"""Largest relative change of a number that is rounded to bfloat16."""

MOVES = ((0, 1), (0, -1), (1, 1), (1, -1))
"""(draw, sign) of each perturbation that measures the reference's response.

Perturbations come in opposite pairs, because one of the two crosses a nearby kink. More than one pair is
needed, because a single draw may be small by chance.
"""


class Bounds:
    """The results of the reference, and how far each may be off in the layer's dtype.

    `crosscheck` states the formula.

    Attributes
    ----------
    reference : Module
        The layer's copy on the reference.
    results : dict of str to ndarray
        Its results by name.
    tolerance : float
        Relative to the largest entry of a tensor.
    """

    def __init__(self, layer: Module, problem: Problem) -> None:
        limits = np.finfo(layer.dtype)
        width = max([1, *(axis for parameter in layer.parameters.values() for axis in parameter.shape)])
        leading = max(math.prod(array.shape[:2]) for array in flatten(problem.x, "x").values())
        depth = math.ceil(math.log2(max(2, width * leading)))
        self.tolerance = tolerance = 4 * depth * float(limits.eps)
        if rounds_operands(layer):
            self.tolerance = tolerance = BFLOAT16
        self._floor = floor = float(limits.tiny / limits.eps)
        kept = BFLOAT16 if rounds_tape(layer) else 0.0
        self.reference = reference.like(layer)
        self.results = run_layer(self.reference, problem)
        self._perturbed = [
            run_layer(
                self.reference,
                problem,
                Move(sign * tolerance, sign * floor, (problem.seed, draw), sign * kept),
            )
            for draw, sign in MOVES
        ]

    def of(self, name: str) -> float:
        """Return the largest error allowed in any entry of the tensor `name`."""
        tensor = self.results[name]
        response = max(_largest(results[name] - tensor) for results in self._perturbed)
        factor = 1 if name.startswith(("y", "state")) else 2
        return max(factor * max(self.tolerance * _largest(tensor), response), self._floor)

    def compare(self, name: str, value: Tensor, expected: Tensor) -> Comparison:
        """Compare all entries of the tensor `name`."""
        bound = np.full(expected.size, self.of(name))
        return compare(name, value.ravel(), expected.ravel(), bound, expected.shape)


def _largest(tensor: Tensor) -> float:
    return float(np.max(np.abs(tensor), initial=0.0))
