"""Make a bptt model of a chain of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.files.checkpoint_header import LAYERS_LIMIT
from bptt.interop.onnx.errors import UnsupportedOnnxError
from bptt.interop.onnx.reading.chain import Chain
from bptt.interop.onnx.reading.values import Finals, Plain, Recurrent, Reduced, Step
from bptt.interop.onnx.reading.weights import copy
from bptt.layers import KINDS, Ends, Last, MaxPool, MeanPool, Module, Sequential
from bptt.layers.advice import unadvised
from bptt.layers.undrawn import undrawn


@dataclass(frozen=True)
class _Layer:
    """A layer, and the function that writes its parameters."""

    layer: Module
    write: Callable[[], None]


def build(chain: Chain, *, for_training: bool = True) -> Module:
    """Build the layers of a chain, and write their parameters.

    Without `for_training`, their gradients are constant zeros.

    Raises
    ------
    UnsupportedOnnxError
        If there is no layer, there are too many, or a layer refuses its arguments.
    """
    groups = _groups(chain.steps)
    if not groups:
        raise UnsupportedOnnxError("has no layer between its input and its output")
    if sum(map(len, groups)) > LAYERS_LIMIT:
        raise UnsupportedOnnxError(f"has more than {LAYERS_LIMIT} layers")
    dtype = _dtype(chain)
    layers: list[_Layer] = []
    with unadvised(), undrawn(for_training=for_training):
        for group in groups:
            try:
                layers.append(_make(group, chain.batch_first, dtype))
            except (TypeError, ValueError) as error:
                raise UnsupportedOnnxError(f"has {group[0].name}, which bptt refuses: {error}") from None
        try:
            model = layers[0].layer if len(layers) == 1 else Sequential(*(entry.layer for entry in layers))
        except ValueError as error:
            raise UnsupportedOnnxError(f"has an order of layers that bptt refuses: {error}") from None
    for entry in layers:
        entry.write()
    return model


def _groups(steps: Sequence[Step]) -> list[list[Step]]:
    """Put recurrent nodes that can be one stack into one group."""
    groups: list[list[Step]] = []
    for step in steps:
        if groups and isinstance(step, Recurrent) and _stackable(groups[-1][-1], step):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _stackable(below: Step, above: Recurrent) -> bool:
    if not isinstance(below, Recurrent):
        return False
    directions = len(below.weights.directions)
    follows = all(
        (first is None and second is None)
        or (first is not None and second is not None and second == (first[0], first[1] + directions))
        for first, second in zip(below.initial, above.initial, strict=False)
    )
    return (
        follows
        and below.kind == above.kind
        and below.arguments == above.arguments
        and below.weights.hidden_size == above.weights.hidden_size
        and below.weights.bias == above.weights.bias
    )


def _dtype(chain: Chain) -> np.dtype[Any]:
    dtypes: dict[np.dtype[Any], Step] = {}
    for step in chain.steps:
        if isinstance(step, Recurrent):
            dtypes[step.weights.dtype] = step
        elif isinstance(step, Plain):
            dtypes |= {array.dtype: step for array in step.parameters.values()}
    if len(dtypes) > 1:
        names = ", ".join(f"{dtype} at {step.name}" for dtype, step in dtypes.items())
        raise UnsupportedOnnxError(f"has weights of several types, {names}, and a bptt model has one type")
    dtype: np.dtype[Any] = next(iter(dtypes), np.dtype("float32")).newbyteorder("=")
    return dtype


def _make(group: Sequence[Step], batch_first: bool, dtype: np.dtype[Any]) -> _Layer:
    step = group[0]
    common: dict[str, Any] = {"batch_first": batch_first, "dtype": dtype}
    if isinstance(step, Recurrent):
        stack = [entry for entry in group if isinstance(entry, Recurrent)]
        build_layer: Any = KINDS[step.kind]
        layer: Module = build_layer(
            input_size=step.weights.input_size,
            hidden_size=step.weights.hidden_size,
            num_layers=len(stack),
            bias=step.weights.bias,
            **step.arguments,
            **common,
        )

        def write() -> None:
            for index, entry in enumerate(stack):
                entry.weights.write(layer.parameters, index)

        return _Layer(layer, write)
    if isinstance(step, Plain):
        build_plain: Any = KINDS[step.kind]
        plain: Module = build_plain(**step.arguments, dtype=dtype)
        values = step.parameters
        return _Layer(plain, lambda: _write(plain, values))
    return _Layer(_over_time(step)(**common), lambda: None)


def _over_time(step: Step) -> Callable[..., Module]:
    if isinstance(step, Finals):
        layer = step.rows[0][0]
        from_end = len(step.rows) > 1 or layer.arguments.get("reverse", False)
        return Ends if from_end else Last
    kinds: dict[Any, type[Module]] = {"mean": MeanPool, "max": MaxPool, -1: Last}
    return kinds[step.how if isinstance(step, Reduced) else -1]


def _write(layer: Module, values: dict[str, Any]) -> None:
    for name, array in values.items():
        copy(layer.parameters[name], array)
