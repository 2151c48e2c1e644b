"""The table of `model.summary()`: shapes, parameters, multiply-adds and memory of each layer."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import size
from bptt.layers.flat_vectors import FlatVectors

_HEADINGS = ("layer", "output", "parameters", "multiply-adds", "tape bytes")


@dataclass(frozen=True)
class Cost:
    """One row of the table. `tape_bytes` is None if the backend does not tell."""

    name: str
    shape: tuple[int | str, ...]
    parameters: int
    multiply_adds: int
    tape_bytes: int | None
    fixed: bool = False

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the row."""
        shape = f"({', '.join(map(str, self.shape))})" if self.shape else ""
        parameters = f"{self.parameters:,}{' (fixed)' if self.fixed else ''}"
        tape = "unknown" if self.tape_bytes is None else f"{self.tape_bytes:,}"
        return self.name, shape, parameters, f"{self.multiply_adds:,}", tape


class CostTable:
    """Costs of the layers of a model for a batch, measured with a small batch.

    Parameters
    ----------
    T : int or None
        Number of steps. None: costs of one step.
    B : int
        Number of rows.
    steps_made : frozenset of int
        Numbers of steps that layers make. The small batch must have other sizes.

    Attributes
    ----------
    small : pair of int
        (T, B) of the small batch. Axes of these sizes stand for those of the real batch.
    """

    def __init__(self, T: object, B: object, steps_made: frozenset[int]) -> None:
        first, second = itertools.islice((n for n in itertools.count(2) if n not in steps_made), 2)
        self.small = second, first
        self.T = None if T is None else size(T, "T")
        self.B = size(B, "B")
        self.rows: list[Cost] = []
        self._real: dict[int, int | str] = {first: self.B, second: "T" if self.T is None else self.T}

    def add(self, place: str, layer: Costed, x: Any, y: npt.NDArray[Any]) -> None:
        """Add a layer that read x and returned y in a pass of the small batch."""
        lead = [1 if axis == "T" else int(axis) for axis in self._leading(np.shape(x))]
        steps = lead[1 if getattr(layer, "batch_first", False) else 0] if len(lead) == 2 else 1
        outputs = self._count(y.shape) * y.shape[-1] * y.itemsize
        self.rows.append(
            Cost(
                f"{place} {layer.kind}".strip(),
                (*self._leading(y.shape), y.shape[-1]),
                layer.parameter_count,
                layer.multiply_adds(math.prod(lead)),
                layer.tape_bytes(steps, self.B, outputs),
                fixed=layer.parameter_count > 0 and not layer.trainable,
            )
        )

    def _leading(self, shape: Sequence[int]) -> tuple[int | str, ...]:
        """Return the real sizes of all axes but the last, which has the features."""
        return tuple(self._real.get(n, n) for n in shape[:-1])

    def _count(self, shape: Sequence[int]) -> int:
        """Return the number of rows over time of an array."""
        return math.prod(1 if axis == "T" else int(axis) for axis in self._leading(shape))

    def __str__(self) -> str:
        known = [row.tape_bytes for row in self.rows if row.tape_bytes is not None]
        total = Cost(
            "total",
            (),
            sum(row.parameters for row in self.rows),
            sum(row.multiply_adds for row in self.rows),
            sum(known) if len(known) == len(self.rows) else None,
        )
        cells = [_HEADINGS, *(row.cells() for row in self.rows), total.cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if column > 1 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        rule = "-" * len(lines[0])
        rows = f"{self.B} row" if self.B == 1 else f"{self.B} rows"
        steps = "each step" if self.T is None else f"{self.T} steps"
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], f"for {steps} of {rows}"])


class Costed(FlatVectors):
    """Base class of `Module`: the costs of a layer."""

    kind: ClassVar[str]
    call_options: ClassVar[frozenset[str]]

    @abstractmethod
    def __call__(self, x: Any, state: Any = None) -> tuple[Any, Any]: ...

    def summary(self, T: int | None = None, B: int = 1) -> str:
        """Return a table of the layers: output, parameters, multiply-adds and memory for training.

        A recurrent layer needs the bytes of its tape until its backward pass. Other layers need at most the
        bytes of their output. The input and copies of the weights are left out. A multiply-add is counted for
        each weight, row and step. Activation functions and biases are not counted.

        Parameters
        ----------
        T : int, optional
            Number of time steps. Default: the costs of one step.
        B : int
            Number of rows.

        Raises
        ------
        TypeError, ValueError
            If `T` or `B` is not a positive int. If the first layer has no input size, as `Dropout`.

        Examples
        --------
        >>> import bptt
        >>> model = bptt.Sequential(bptt.GRU(3, 8), bptt.Last(), bptt.Linear(8, 2))
        >>> print(model.summary(T=20, B=4))
        layer            output      parameters  multiply-adds  tape bytes
        ------------------------------------------------------------------
        model[0] GRU     (20, 4, 8)         312         21,120      13,056
        model[1] Last    (4, 8)               0              0         128
        model[2] Linear  (4, 2)              18             64          32
        ------------------------------------------------------------------
        total                               330         21,184      13,216
        for 20 steps of 4 rows
        """
        return str(self.costs(T, B))

    def costs(self, T: int | None = None, B: int = 1) -> CostTable:
        """Return the table of `summary`."""
        table = CostTable(T, B, self.steps_made)
        steps, rows = table.small
        self.measure(self.sample(steps if self.reads_time else None, rows), None, "", table)
        return table

    def output_shapes(self) -> dict[str, str]:
        """Return the shape of the output of each layer by its name in the table; empty if it is unknown."""
        try:
            return {row.name: row.cells()[1] for row in self.costs().rows}
        except Exception:  # a display must not fail, whatever a layer of the user's own does
            return {}

    @property
    def steps_made(self) -> frozenset[int]:
        """Numbers of time steps that the layer makes from one vector for each row."""
        return frozenset()

    @property
    def keeps_width(self) -> bool:
        """Whether the layer reads vectors of any width, and returns vectors of the same width."""
        return False

    @property
    def reads_time(self) -> bool:
        """Whether the steps of x are steps of time, not only rows."""
        return "lengths" in self.call_options

    def measure(self, x: Any, state: Any, place: str, table: CostTable) -> tuple[Any, Any]:
        """Run inference on a small batch, and add the layer to the table."""
        y, state = self(x, state)
        table.add(place, self, x, y)
        return y, state

    def multiply_adds(self, rows: int) -> int:
        """Return the number of multiply-adds for a number of rows over time."""
        weights = (view.size for name, view in self.parameters.items() if name.startswith("weight"))
        return rows * sum(weights)

    def tape_bytes(self, T: int, B: int, outputs: int) -> int | None:
        """Return the bytes that the layer needs until its backward pass, given those of its output."""
        return outputs

    def sample(self, T: int | None, B: int, *, batch_first: bool = False) -> Any:
        """Return zeros for the input of a call, with T steps or without a time axis.

        `batch_first` is that of the model, for layers that have no such option.
        """
        step = self.step_input(B)
        if T is None:
            return step
        batch_first = getattr(self, "batch_first", batch_first)
        return np.repeat(step[None], T, axis=0).swapaxes(0, 1 if batch_first else 0)

    def step_input(self, batch_size: int) -> npt.NDArray[Any]:
        """Return zeros in the shape of the input of one step, (B, I) or (B,) for ids."""
        raise ValueError(
            f"a model must begin with a layer that has an input size here; got {self.kind}. "
            "Fix: begin the model with a recurrent layer, Linear or Embedding."
        )
