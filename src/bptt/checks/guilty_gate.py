"""Find the gate in which a function computes something else than a layer, without seeing the gates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from bptt.checks.own_function import OwnFunction
from bptt.checks.training_step import Tensor
from bptt.layers.passes.gates import gate_names
from bptt.layers.recurrent_calls import RecurrentCalls
from bptt.reference.copies import rebuild


def name_gate(layer: RecurrentCalls, function: OwnFunction, tolerance: float) -> str:
    """Return the gate to blame, such as "gate g", the order of the gates, or "" if it is unknown.

    A gate is to blame if the two agree once its weights and biases are zero. Then a wrong activation, or a
    bias that was left out, makes no difference. If no gate is, but the function agrees with the layer after
    the blocks of its weights changed places, it reads the gates in another order.
    """
    names = gate_names(layer)
    exact = rebuild(layer, np.dtype(np.float64))
    own = {name: value.copy() for name, value in function.parameters.items()}

    def agrees(for_layer: Mapping[str, Tensor], for_function: Mapping[str, Tensor]) -> bool:
        exact.load_state_dict(for_layer)
        function.parameters = dict(for_function)
        y, _ = exact(function.x, function.state)
        return bool(np.abs(function()["y"] - y).max() <= tolerance * np.abs(y).max())

    try:
        if agrees(own, own):  # only the parameters differ
            return ""
        for k, name in enumerate(names):
            without = {key: _without_block(value, k, names, layer) for key, value in own.items()}
            if agrees(without, without):
                return f"gate {name}"
        for order in permutations(range(len(names))):
            moved = {key: _in_order(value, order, layer) for key, value in own.items()}
            if agrees(own, moved):
                read = [names[k] for k in order]
                return f"gates read in the order {', '.join(read)} instead of {', '.join(names)}"
    finally:
        function.parameters = own
    return ""


def _blocks(value: Tensor, count: int, layer: RecurrentCalls) -> Tensor | None:
    """Return the blocks of the gates, (G, H, ...), or None if the parameter has none."""
    if value.shape[0] != count * layer.hidden_size:
        return None
    return value.reshape(count, layer.hidden_size, *value.shape[1:])


def _without_block(value: Tensor, k: int, names: tuple[str, ...], layer: RecurrentCalls) -> Tensor:
    value = value.copy()
    blocks = _blocks(value, len(names), layer)
    if blocks is not None:
        blocks[k] = 0.0
    return value


def _in_order(value: Tensor, order: tuple[int, ...], layer: RecurrentCalls) -> Tensor:
    blocks = _blocks(value, len(order), layer)
    return value if blocks is None else blocks[list(order)].reshape(value.shape)
