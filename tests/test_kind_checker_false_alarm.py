"""gradcheck and crosscheck pass for every pair of options, at states of any size, and find planted errors.

The suite runs each option alone, and few layers that together hold every pair, with the states in turn.
`pytest -m grid` runs each pair alone, in every state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.backends import Wrapped
from tests.cells import COMBINED, PAIRS, SINGLE
from tests.grids import in_turn, together

import bptt

I, H, T, B = (1, 2), 4, 3, 2
STATES = {"zero": None, "tiny": 1e-8, "large": 1e3}
EVERY = [*(SINGLE | COMBINED | PAIRS).values()]
every_pair_of_options = together(
    in_turn(("kind, options", SINGLE | COMBINED), ("inputs", I), ("state", STATES.keys()), extra=PAIRS)
)


def state_of(layer: Any, name: str) -> Any:
    size = STATES[name]
    if size is None:
        return None
    rng = np.random.default_rng(2)
    h = size * rng.standard_normal((1, B, layer.output_size))
    return (h, size * rng.standard_normal((1, B, H))) if layer.has_cell_state else h


def case(kind: str, options: dict[str, Any], inputs: int, state: str, dtype: str, base: Any = None) -> Any:
    """The layer, its input and its state."""
    layer = (base or getattr(bptt, kind))(inputs, H, dtype=dtype, seed=0, **options)
    return layer, np.random.default_rng(1).standard_normal((T, B, inputs)), state_of(layer, state)


def overflows(layer: Any, x: Any, state: Any) -> bool:
    """Gates without bounds multiply large states: what a step computes may be beyond float32."""
    _, _, tape = bptt.reference.like(layer).forward(x, state)
    return max(np.abs(part).max() for part in (*tape.gates, *(tape.c or ()))) > 1e15


@every_pair_of_options
def test_correct_layers_pass(kind: str, options: Any, inputs: int, state: str) -> None:
    bptt.gradcheck(*case(kind, options, inputs, state, "float64"), entries=3)
    bptt.crosscheck(*case(kind, options, inputs, state, "float64"))
    single = case(kind, options, inputs, state, "float32")
    if not overflows(*single):
        bptt.crosscheck(*single)


def planted(kind: str) -> type[Any]:
    """The class with an error of 1e-3 in the last entry of one tensor, relative to its largest entry."""

    class Planted(getattr(bptt, kind)):  # type: ignore[misc]
        tensor = ""
        error = 0.0

        def _backend(self) -> Any:
            return Wrapped(super()._backend(), backward=self._spoiled)

        def _spoiled(self, backward: Any, *arguments: Any) -> Any:
            found = backward(*arguments)
            dx, dh, dc = found
            states = {"dstate": dh} if dc is None else {"dstate[0]": dh, "dstate[1]": dc}
            gradients = {f"gradients[{name}]": value for name, value in self.gradients.items()}
            tensors = {"dx": dx} | states | gradients
            self.names = tuple(tensors)
            if self.tensor:
                place = tensors[self.tensor]
                type(self).error = 1e-3 * float(np.abs(place).max())
                place.flat[-1] += self.error
            return found

    Planted.__name__ = kind
    return Planted


@every_pair_of_options
def test_a_planted_error_is_found(kind: str, options: Any, inputs: int, state: str) -> None:
    """One tensor in turn. Gradients below 1e-3, as of saturated units, are within gradcheck's atol."""
    base = planted(kind)
    layer, x, start = case(kind, options, inputs, state, "float64", base)
    _, _, tape = layer.forward(x, start)
    layer.backward(tape, np.ones((T, B, layer.output_size)))
    name = base.tensor = layer.names[EVERY.index((kind, options)) % len(layer.names)]
    for check, options_of_check in ((bptt.gradcheck, {"entries": 2}), (bptt.crosscheck, {})):
        report = check(layer, x, start, raises=False, **options_of_check)
        if base.error > 1e-6:
            assert name in [row.name for row in report.failures], f"{name}\n{report}"


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "MGU"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_planted_error_is_found_in_every_tensor(kind: str, layer_norm: bool) -> None:
    base = planted(kind)
    layer, x, start = case(kind, {"layer_norm": layer_norm}, 2, "zero", "float64", base)
    _, _, tape = layer.forward(x, start)
    layer.backward(tape, np.ones((T, B, layer.output_size)))
    for name in layer.names:
        base.tensor = name
        for check in (bptt.gradcheck, bptt.crosscheck):
            report = check(layer, x, start, raises=False)
            assert base.error > 1e-6
            assert [row.name for row in report.failures] == [name]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "MGU"])
def test_steps_of_any_size(kind: str) -> None:
    """A step that is too short gets a wider error bound. No step vanishes beside its number."""
    for eps in [1e-3, 1e-7, 1e-10, 1e-13, 1e-15, 1e-18, 1e-100, 1e-300, 5e-324]:
        for x in (
            np.ones((4, 1, 1)),
            np.zeros((4, 1, 1)),
            np.full((4, 1, 1), 1e-200),
            np.full((4, 1, 1), 1e8),
        ):
            layer = getattr(bptt, kind)(1, 3, dtype="float64", seed=0)
            layer.parameters["bias_ih_l0"][:2] = 0.0, 1e-150
            bptt.gradcheck(layer, x, eps=eps, entries=3)


def test_huge_inputs_are_no_division_by_zero() -> None:
    layer = bptt.GRU(2, H, dtype="float64", seed=0)
    assert bptt.gradcheck(layer, 1e11 * np.random.default_rng(1).standard_normal((T, B, 2))).passed
    assert bptt.gradcheck(layer, np.ones((T, B, 2)), eps=1e-30, atol=10.0, raises=False) is not None
