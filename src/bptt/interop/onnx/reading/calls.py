"""The inputs and attributes of one node, for the functions that read nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.interop.onnx.reading.axes import Axis, Dim, Problem, Size, is_unit, same
from bptt.interop.onnx.reading.graph import Node
from bptt.interop.onnx.reading.values import (
    Fill,
    Flow,
    Input,
    Known,
    Missing,
    Value,
    require_layer,
)


class Roles:
    """What the nodes of a graph have in common.

    Attributes
    ----------
    time, batch : tuple of Axis or None
        The axes of the input that are time and batch. The first layer that depends on it decides.
    ragged : bool
        Whether rows have unequal lengths.
    budget : int
        Bytes of constants that may still be computed.
    """

    def __init__(self, budget: int) -> None:
        self.time: Dim | None = None
        self.batch: Dim | None = None
        self.ragged = False
        self.budget = budget

    def spend(self, size: int) -> None:
        """Subtract bytes from the budget, before they are computed."""
        self.budget -= size
        if self.budget < 0:
            raise Problem("it computes with constants that are much larger than the file")

    def set(self, time: Dim, batch: Dim) -> None:
        if not time:
            raise Problem("its input has no time axis. Fix: export the model with an input of several steps")
        if self.time is None:
            self.time, self.batch = time, batch
        elif self.time != time and not (same(self.time, time) and same(self.batch or (), batch)):
            raise Problem("it reads time steps where another layer reads rows of the batch")


class Call:
    """A node with its input values.

    Attributes
    ----------
    node : Node
    inputs : list of Value
    attributes : dict
    opset : int
    roles : Roles
    """

    def __init__(self, node: Node, inputs: Sequence[Value], opset: int, roles: Roles) -> None:
        self.node = node
        self.inputs = inputs
        self.attributes = node.attributes
        self.opset = opset
        self.roles = roles

    def value(self, index: int) -> Value:
        return self.inputs[index] if index < len(self.inputs) else Missing()

    def known(self, index: int, name: str) -> npt.NDArray[Any]:
        """Return the values of an input that must be a constant."""
        return self.stored(index, name).array

    def stored(self, index: int, name: str) -> Known:
        """Return an input that must be a constant, without reading its values."""
        value = self.value(index)
        if not isinstance(value, Known):
            got = "an equal number everywhere" if isinstance(value, Fill) else "a value computed at run time"
            got = "nothing" if isinstance(value, Missing) else got
            raise Problem(f"its input {name} must be an initializer or a constant; got {got}")
        value.check()
        return value

    def flow(self, index: int = 0) -> Flow:
        """Return an input that must depend on the model's input."""
        value = self.value(index)
        if not isinstance(value, Flow):
            raise Problem(f"its input {index} must depend on the model's input")
        return value

    def whole(self, index: int = 0) -> Flow:
        """Return an input whose last dimension has all features of a step of the chain."""
        flow = self.flow(index)
        require_layer(flow.step)
        if not flow.dims or not same(flow.dims[-1], flow.step.features):
            raise Problem("it needs all features of a layer on the last axis of its input")
        return flow

    def floats(self, index: int = 0) -> Flow:
        """Return an input of floats that depends on the model's input."""
        flow = self.flow(index)
        if isinstance(flow.step, Input) and flow.step.integer:
            raise Problem("it computes with whole numbers")
        return flow

    def sizes(self, index: int, name: str) -> list[int | Size]:
        """Return a vector of sizes, or the attribute of the same name."""
        if name in self.attributes:
            values = self.attributes[name]
            return list(values) if isinstance(values, list) else [values]
        array = self.known(index, name)
        return [entry if isinstance(entry, Size) else int(entry) for entry in array.reshape(-1).tolist()]

    def integers(self, index: int, name: str) -> list[int]:
        values = self.sizes(index, name)
        integers = [value for value in values if not isinstance(value, Size)]
        if len(integers) < len(values):
            raise Problem(f"its {name} depend on the sizes of the input")
        return integers

    def axes(self, index: int, rank: int) -> list[int] | None:
        """Return the axes of a Squeeze, Unsqueeze or Reduce, in order; None if they are not given."""
        if "axes" not in self.attributes and isinstance(self.value(index), Missing):
            return None
        return sorted(position(axis, rank) for axis in self.integers(index, "axes"))


Operator: TypeAlias = Callable[[Call], "Sequence[Value]"]


def position(axis: int, rank: int) -> int:
    """Return the position of an axis that may count from the end."""
    if not -rank <= axis < rank:
        raise Problem(f"its axis {axis} does not exist; its input has {rank} axes")
    return axis % rank


def without(dims: Sequence[Dim], axes: Sequence[int]) -> tuple[Dim, ...]:
    """Remove dimensions of size 1."""
    if any(not is_unit(dims[axis]) for axis in axes):
        raise Problem("it removes an axis whose size is not 1")
    return tuple(dim for axis, dim in enumerate(dims) if axis not in axes)


def vector(values: Sequence[Any]) -> Known:
    """Return sizes as a value."""
    whole = all(not isinstance(value, Size) for value in values)
    return Known(np.array(values, np.int64 if whole else object))


def one_axis(name: str, size: int | None) -> Dim:
    return (Axis(name, size),)
