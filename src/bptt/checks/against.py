"""Comparisons of a layer with the reference, another layer, a function or a PyTorch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from bptt.arguments import short
from bptt.checks.bounds import Bounds
from bptt.checks.differences import Differences, compare_gradients
from bptt.checks.first_difference import between_layers, in_outputs
from bptt.checks.layer_run import Problem, run_layer
from bptt.checks.nested import flatten
from bptt.checks.own_function import Function, OwnFunction
from bptt.checks.report import Comparison, Difference, compare
from bptt.checks.torch_module import TorchModule
from bptt.checks.training_step import Tensor, untouched
from bptt.layers.module import Module
from bptt.reference.copies import generators

Compared: TypeAlias = tuple[list[Comparison], Callable[[], Difference | None]]
"""One row per tensor, and a function that finds the first difference."""

GRADIENTS = Differences(eps=1e-6, atol=1e-7, rtol=1e-5, entries=32)
"""The settings of `gradcheck`."""


def with_layer(layer: Module, other: Module, problem: Problem) -> Compared:
    """Compare with the reference, or with another layer that has the same parameters."""
    names = {name: value.shape for name, value in layer.parameters.items()}
    others = {name: value.shape for name, value in other.parameters.items()}
    if names != others:
        raise ValueError(
            f"against must have the layer's parameters, {short(names)}; got {short(others)}. "
            "Fix: build both layers with the same sizes and options."
        )
    bounds = Bounds(layer, problem)
    actual, expected = run_layer(layer, problem), run_layer(other, problem)
    rows = _parameters(layer, other.parameters)
    rows += [bounds.compare(name, actual[name], tensor) for name, tensor in expected.items()]
    return rows, lambda: between_layers(layer, other, problem, bounds.tolerance)


def with_reference(layer: Module, problem: Problem) -> Compared:
    """Compare with the reference that ships with bptt."""
    bounds = Bounds(layer, problem)
    actual = run_layer(layer, problem)
    rows = [bounds.compare(name, actual[name], tensor) for name, tensor in bounds.results.items()]
    return rows, lambda: between_layers(layer, bounds.reference, problem, bounds.tolerance)


def with_function(layer: Module, function: Function, problem: Problem, *, gradients: bool) -> Compared:
    """Compare with a function of parameters, x and state."""
    refuse_random(layer, problem)
    own = OwnFunction(function, layer, problem)
    expected = own()
    bounds = Bounds(layer, problem)
    actual = run_layer(layer, problem)
    rows = [bounds.compare(name, actual[name], tensor) for name, tensor in expected.items()]
    if gradients:
        rows += _differences(own, actual, bounds, problem)
    return rows, lambda: in_outputs(layer, own, actual, expected, bounds.tolerance)


def with_torch(layer: Module, module: Any, problem: Problem) -> Compared:
    """Compare with a torch.nn module, its gradients included."""
    refuse_random(layer, problem)
    other = TorchModule(module, layer)
    if not other.returns_state(problem):
        problem = problem.without_last()
    expected = other.run(problem)
    bounds = Bounds(layer, problem)
    actual = run_layer(layer, problem)
    rows = _parameters(layer, other.parameters())
    shared = [name for name in expected if name in actual]
    rows += [bounds.compare(name, actual[name], expected[name]) for name in shared]
    own = OwnFunction(other.function, layer, problem)
    own.parameters = {name: value.copy() for name, value in other.parameters().items()}
    return rows, lambda: in_outputs(layer, own, actual, expected, bounds.tolerance)


def refuse_random(layer: Module, problem: Problem) -> None:
    """Raise ValueError if a forward pass draws random masks, which only the reference can share."""
    with untouched(layer):
        before = [str(rng.bit_generator.state) for rng in generators(layer)]
        layer.forward(problem.x, problem.state)
        after = [str(rng.bit_generator.state) for rng in generators(layer)]
    if before != after:
        raise ValueError(
            f"layer must draw no dropout or zoneout masks with against; got {layer!r}. "
            "Fix: build the layer without them, or leave against out."
        )


def _parameters(layer: Module, others: Mapping[str, Tensor]) -> list[Comparison]:
    """Compare the parameters themselves, so that a report shows weights that were never copied."""
    rows = []
    for name, value in layer.parameters.items():
        bound = np.finfo(layer.dtype).eps * np.abs(value.ravel()).astype(np.float64)
        actual, expected = value.ravel().astype(np.float64), others[name].ravel().astype(np.float64)
        rows.append(compare(f"parameters[{name}]", actual, expected, bound, value.shape))
    return rows


def _differences(
    own: OwnFunction, actual: Mapping[str, Tensor], bounds: Bounds, problem: Problem
) -> list[Comparison]:
    """Compare the layer's gradients with central differences of the function."""
    variables = flatten(own.x, "dx") | flatten(own.state, "dstate")
    variables |= {f"gradients[{name}]": value for name, value in own.parameters.items()}
    gradients = {name: actual[name] for name in variables if name in actual}
    dy, dlast = problem.errors(own.y, own.last)
    errors = flatten(dy, "y") | flatten(dlast, "state")

    def terms() -> list[Tensor]:
        return [value * errors[name] for name, value in own().items()]

    slack = {name: bounds.of(name) for name in gradients}
    rng = np.random.default_rng(problem.seed)
    return compare_gradients(gradients, variables, terms, GRADIENTS, rng, slack)
