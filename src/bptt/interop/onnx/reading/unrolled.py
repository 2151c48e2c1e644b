"""Recurrences that an exporter wrote as one product and one activation for each time step.

PyTorch's newer exporter does so with `RNN`. Step t is f(U x_t + b + V h_{t-1} + c). The products U x_t come
from one product over all steps, of which each step selects its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bptt.interop.onnx.reading.axes import Axis, Dim, Problem, same, size_of, wide
from bptt.interop.onnx.reading.calls import Roles
from bptt.interop.onnx.reading.values import CellInput, Finals, Flow, Plain, Recurrent, Reduced, Step
from bptt.interop.onnx.reading.weights import DirectionWeights, Weights

_NONLINEARITIES = {"Tanh": "tanh", "ReLU": "relu", "Sigmoid": "sigmoid", "GELU": "gelu", "SiLU": "silu"}


def cell_input(first: Flow, second: Flow, name: object) -> Flow | None:
    """Return the sum of a product with the input at one step, and of one with the state before."""
    for product, hidden in ((first, second), (second, first)):
        if not (_is_linear(product.step) and _is_linear(hidden.step)):
            return None
        assert isinstance(hidden.step, Plain)
        before = hidden.step.source
        if not (isinstance(before, Plain) and before.kind in _NONLINEARITIES and _position(product.step)):
            continue
        if not same(product.dims[-1], product.step.features):
            return None
        features = hidden.step.features
        step = CellInput(product.step, product.step.lead, features, name, hidden.step)
        rank = max(len(first.dims), len(second.dims))
        dims: tuple[Dim, ...] = (*product.dims[:-1], features)
        return Flow(step, ((),) * (rank - len(dims)) + dims)
    return None


def _is_linear(step: Step | None) -> bool:
    return isinstance(step, Plain) and step.kind == "Linear"


def _position(product: Step) -> tuple[Step, int] | None:
    """Return the sequence and the number of the step that a product reads; -1 is the last step."""
    source = product.source
    if isinstance(source, Reduced) and isinstance(source.how, int) and source.source is not None:
        return source.source, source.how
    if isinstance(source, Finals) and len(source.rows) == 1:
        layer, part, row = source.rows[0]
        if part == "h" and not layer.arguments.get("bidirectional") and not row:
            return layer, 0 if layer.arguments.get("reverse") else -1
    return None


def is_state(step: Step | None) -> bool:
    """Return whether a step is the state of an unrolled recurrence, after its first time step."""
    return _hidden(step) is not None


def _hidden(step: Step | None) -> Plain | None:
    """Return the product with the state before, of a step that `is_state`; else None."""
    source = step.source if isinstance(step, Plain) else None
    return source.hidden if isinstance(source, CellInput) else None


def _follows(step: Step | None, before: Step | None) -> bool:
    hidden = _hidden(step)
    return hidden is not None and hidden.source is before


def final_state(step: Step, roles: Roles) -> Finals:
    """Return the final state of a layer for the last state of an unrolled recurrence.

    Raises
    ------
    Problem
        If the states before it are not those of one layer.
    """
    states = [step]
    while (hidden := _hidden(states[-1])) is not None:
        assert hidden.source is not None  # `cell_input` has seen it
        states.append(hidden.source)
    layer = _layer(states[::-1], roles)
    return Finals(layer, tuple(wide(layer.batch)), (layer.units,), step.name, ((layer, "h", 0),))


def sequence(flows: Sequence[Flow], axis: int, roles: Roles) -> Flow | None:
    """Return the outputs of a layer, if a Concat joins all states of an unrolled recurrence.

    Raises
    ------
    Problem
        If the states are not those of one layer.
    """
    states = [flow.step for flow in flows]
    if len(states) < 2 or not any(map(is_state, states)) or wide(flows[0].dims[axis]):
        return None
    if _follows(states[-1], states[-2]):
        layer = _layer(states, roles)
    elif _follows(states[0], states[1]):
        layer = _layer(states[::-1], roles)
    else:
        return None
    dims = list(flows[-1].dims)
    dims[axis], dims[-1] = layer.time, layer.features
    return Flow(layer, tuple(dims))


def _layer(states: Sequence[Step], roles: Roles) -> Recurrent:
    """Make a layer of states in the order in which they are computed."""
    last = states[-1].source
    if not isinstance(last, CellInput):
        raise Problem(_STRANGE)
    if last.layer is None:
        last.layer = _new_layer(states, roles)
    return last.layer


_STRANGE = (
    "it is part of a recurrence that is written step by step, and not that of an RNN. Fix: export with "
    "torch.onnx.export(..., dynamo=False), or take the weights with bptt.interop.from_torch or from_keras"
)


def _new_layer(states: Sequence[Step], roles: Roles) -> Recurrent:
    products = [_product(state) for state in states]
    hidden = [state.source.hidden for state in states[1:] if isinstance(state.source, CellInput)]
    place = _position(products[-1])
    T = None if roles.time is None else size_of(roles.time)
    if place is None or not isinstance(T, int) or len(states) != T or len(hidden) != T - 1:
        raise Problem(_STRANGE)
    source = place[0]
    positions = [_position(product) for product in products]
    steps = [entry[1] % T if entry and entry[0] is source else None for entry in positions]
    reverse = steps == list(range(T))[::-1]
    one, other = products[-1].parameters, hidden[-1].parameters
    alike = (
        (reverse or steps == list(range(T)))
        and all(isinstance(state, Plain) and state.kind == states[0].kind for state in states)  # type: ignore[attr-defined]
        and all(product.parameters["weight"] is one["weight"] for product in products)
        and all(product.parameters.get("bias") is one.get("bias") for product in products[1:])
        and all(_same_parameters(layer.parameters, other) for layer in hidden)
        and all(layer.source is state for layer, state in zip(hidden, states[:-1], strict=True))
    )
    if not alike:
        raise Problem(_STRANGE)
    U, V = one["weight"], other["weight"]
    first, b, c = products[0].parameters.get("bias"), one.get("bias"), other.get("bias")
    zeros = np.zeros(len(U), U.dtype)
    b, c = (zeros if b is None else b), (zeros if c is None else c)
    if V.shape != (len(U), len(U)) or not np.array_equal(zeros if first is None else first, b + c):
        raise Problem(_STRANGE)
    bias = None if first is None and not b.any() and not c.any() else np.concatenate([b, c])
    units = Axis("units", len(U))
    nonlinearity = _NONLINEARITIES[states[0].kind]  # type: ignore[attr-defined]
    arguments: dict[str, Any] = {"nonlinearity": nonlinearity} | ({"reverse": True} if reverse else {})
    return Recurrent(
        *(source, source.lead, (units,), states[-1].name),
        kind="RNN",
        arguments=arguments,
        weights=Weights("rnn", len(U), False, (DirectionWeights(U, V, bias, None),)),
        time=roles.time or (),
        batch=roles.batch or (),
        directions=(),
        units=units,
        lengths=None,
        initial=(None,),
    )


def _same_parameters(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two products read the same matrix and bias of the file."""
    return one.keys() == other.keys() and all(
        one[name].__array_interface__["data"] == other[name].__array_interface__["data"]
        and one[name].strides == other[name].strides
        for name in one
    )


def _product(state: Step) -> Plain:
    """Return the product with the input of a state."""
    source = state.source
    product = source.source if isinstance(source, CellInput) else source
    if not (isinstance(product, Plain) and product.kind == "Linear"):
        raise Problem(_STRANGE)
    return product
