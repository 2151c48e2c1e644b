"""Parameters whose gradient is zero but for few rows: which rows these are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats

Rows = npt.NDArray[np.int64]


class TouchedRows:
    """The rows of a table whose gradient may differ from zero.

    Parameters
    ----------
    height : int
        Number of rows of the table.
    """

    def __init__(self, height: int) -> None:
        self._marks = np.zeros(height, np.uint8)
        self._rows: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Add rows, in any order and with repetitions."""
        self._rows.append(_core.mark_rows(rows, self._marks))

    def clear(self) -> None:
        """Forget all rows."""
        self._marks[self.rows] = 0
        self._rows = []

    @property
    def rows(self) -> Rows:
        """The rows, each once, in the order in which they were added."""
        if len(self._rows) != 1:
            self._rows = [np.concatenate([np.zeros(0, np.int64), *self._rows])]
        return self._rows[0]


@dataclass(frozen=True)
class SparseBlock:
    """A sparse parameter, as a part of a model's flat vectors.

    Optimizers, clips and `zero_grad` read and write only the rows that `touched` names.

    Attributes
    ----------
    name : str
        Name of the parameter.
    start : int
        Position of its first element in the flat vectors.
    height, width : int
        Shape of the parameter.
    touched : TouchedRows
        Rows whose gradient may differ from zero. Backward passes add to them.
    """

    name: str
    start: int
    height: int
    width: int
    touched: TouchedRows

    @property
    def slice(self) -> slice:
        """The elements of the parameter in a flat vector."""
        return slice(self.start, self.start + self.height * self.width)

    def inside(self, key: str, start: int) -> SparseBlock:
        """Return the block of the model that has this layer under the name `key`, from `start` on."""
        return replace(self, name=f"{key}.{self.name}", start=start + self.start)

    def table(self, flat: Floats) -> Floats:
        """Return the view (height, width) of a flat vector."""
        return flat[self.slice].reshape(self.height, self.width)


class HasGradients(Protocol):
    """A module, which `bptt.layers.module` defines."""

    @property
    def flat_gradients(self) -> Floats: ...

    @property
    def sparse_blocks(self) -> tuple[SparseBlock, ...]: ...


def outside(run: slice, blocks: Sequence[SparseBlock]) -> list[slice]:
    """Return the parts of `run` that belong to no block. The blocks are in ascending order."""
    parts, start = [], run.start
    for block in blocks:
        parts.append(slice(start, block.slice.start))
        start = block.slice.stop
    parts.append(slice(start, run.stop))
    return [part for part in parts if part.start < part.stop]


def zero_touched(flat: Floats, blocks: Sequence[SparseBlock]) -> None:
    """Set a flat vector of gradients to zero, and forget the touched rows."""
    for part in outside(slice(0, flat.size), blocks):
        flat[part] = 0
    for block in blocks:
        _core.set_rows(block.touched.rows, None, block.table(flat))
        block.touched.clear()


@contextmanager
def restored_gradients(model: HasGradients) -> Iterator[None]:
    """Restore the gradients of a model at the end, and which of their rows occurred."""
    gradients = model.flat_gradients.copy()
    touched = [block.touched.rows for block in model.sparse_blocks]
    try:
        yield
    finally:
        model.flat_gradients[:] = gradients
        for block, rows in zip(model.sparse_blocks, touched, strict=True):
            block.touched.clear()
            block.touched.add(rows)
