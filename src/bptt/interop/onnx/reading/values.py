"""What is known about the values of a graph before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.interop.onnx.reading.axes import Axis, Dim, Dims, Problem
from bptt.interop.onnx.reading.tensors import Rows, Tensor
from bptt.interop.onnx.reading.weights import Weights


class Known:
    """An array that the model holds, or that follows from it. Sizes may be `Size` objects.

    Parameters
    ----------
    source : ndarray or Tensor
    """

    def __init__(self, source: npt.NDArray[Any] | Tensor) -> None:
        self._source = source
        self.shape: tuple[int, ...] = tuple(source.shape)

    @property
    def array(self) -> npt.NDArray[Any]:
        return self._source.array if isinstance(self._source, Tensor) else self._source

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._source.dtype

    def check(self) -> None:
        """Raise OnnxError if the file does not have the bytes of the array."""
        if isinstance(self._source, Tensor):
            self._source.check()

    def entry(self, index: int) -> npt.NDArray[Any] | Rows:
        """Return an entry along the first axis. If it is in an open file, it is not read yet."""
        return self._source.entry(index) if isinstance(self._source, Tensor) else self._source[index]

    @cached_property
    def is_zero(self) -> bool:
        return not np.any(self.array)


@dataclass(frozen=True)
class Fill:
    """An array of equal numbers, whose shape does not matter."""

    value: float


@dataclass(frozen=True)
class Missing:
    """An optional input that a node does not have."""


@dataclass(frozen=True)
class Unsupported:
    """A value of a node that has no layer. Nodes that read it are not reported."""


@dataclass(frozen=True, eq=False)
class Flow:
    """An array that depends on the model's input: an output of a step of the chain, in some order of axes.

    Attributes
    ----------
    step : Step
    dims : tuple of tuple of Axis
    """

    step: Step
    dims: Dims


Value: TypeAlias = "Known | Fill | Missing | Unsupported | Flow"


@dataclass(eq=False)
class Step:
    """One step of the chain from the input to an output.

    Attributes
    ----------
    source : Step or None
        None for an input.
    lead : tuple of Axis
        The axes before the features, in the order of the input.
    features : tuple of Axis
        The axes that together are the last dimension.
    name : Node or str
        The node, or the name of the input.
    """

    source: Step | None
    lead: tuple[Axis, ...]
    features: tuple[Axis, ...]
    name: object


@dataclass(eq=False)
class Input(Step):
    """An input of the model. `integer`: it holds whole numbers."""

    integer: bool


@dataclass(eq=False)
class Plain(Step):
    """A layer without time: the name of its class, its arguments and its parameters."""

    kind: str
    arguments: dict[str, Any]
    parameters: dict[str, npt.NDArray[Any]]


@dataclass(eq=False)
class Function(Step):
    """A function of each element that is not a layer, with its values at the points of `elementwise`."""

    values: npt.NDArray[np.float64]


@dataclass(eq=False)
class Recurrent(Step):
    """A recurrent node.

    Attributes
    ----------
    kind : str
    arguments : dict
        Of the class `kind`, without sizes, `bias` and `batch_first`.
    weights : Weights
    time, batch : tuple of Axis
    directions : tuple of Axis
        The axis of two directions, if the outputs have both. Empty if they are merged.
    units : Axis
    lengths : str or None
        The input with the number of valid steps.
    initial : tuple
        For h and c: the input with the initial state and its first row, or None.
    partners : dict
        Layers that read the same input from its end, by `id`, each with the layer of both directions.
    """

    kind: str
    arguments: dict[str, Any]
    weights: Weights
    time: Dim
    batch: Dim
    directions: Dim
    units: Axis
    lengths: str | None
    initial: tuple[tuple[str, int] | None, ...]
    partners: dict[int, Recurrent] = field(default_factory=dict)


@dataclass(eq=False)
class Flipped(Step):
    """The outputs of `source` in reverse order of time."""


@dataclass(eq=False)
class CellInput(Step):
    """The argument of the activation at one step of an unrolled recurrence.

    Attributes
    ----------
    source : Plain
        The product with the input of this step.
    hidden : Plain
        The product with the state of the step before.
    layer : Recurrent or None
        The layer whose last step this is, once it is known.
    """

    hidden: Plain
    layer: Recurrent | None = None


@dataclass(eq=False)
class Direction(Step):
    """The outputs of one direction of a bidirectional layer."""

    index: int


@dataclass(eq=False)
class Reduced(Step):
    """One vector per row: "mean", "max", or the step with this number, -1 for the last one."""

    how: str | int


@dataclass(eq=False)
class Finals(Step):
    """Final states: rows of `(layer, "h" or "c", direction)`. `source` is the layer of the last row."""

    rows: tuple[tuple[Recurrent, str, int], ...]


@dataclass(eq=False)
class InputRows(Step):
    """Some rows of an input, for the initial state of a layer."""

    first: int
    stop: int


def ancestors(step: Step) -> Iterator[Step]:
    """Yield a step and all steps before it, last to first."""
    current: Step | None = step
    while current is not None:
        yield current
        current = current.source


def require_layer(step: Step) -> None:
    """Raise Problem if a step is a function that no layer has."""
    if isinstance(step, Function):
        raise Problem(f"it reads {step.name}, a function of each element that no layer of bptt has")


def is_zero(value: Value) -> bool:
    """Return whether a value is missing or holds only zeros."""
    if isinstance(value, Fill):
        return value.value == 0
    return isinstance(value, Missing) or (isinstance(value, Known) and value.is_zero)
