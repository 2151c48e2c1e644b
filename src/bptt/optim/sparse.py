"""Sparse parameters in clips and updates: only the rows that occurred are read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from bptt import _core
from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.layers.sparse import SparseBlock
from bptt.optim.gradients import Gradients, vectors_of

CoreCall: TypeAlias = "partial[None]"
Update: TypeAlias = Callable[[Floats, Floats, Mapping[str, Floats], float, float], Sequence[CoreCall]]
"""The rule of an optimizer: (parameters, gradients, state, lr, weight_decay) -> calls for the update."""


@contextmanager
def compact(gradients: Gradients) -> Iterator[Gradients]:
    """Replace the gradients of sparse parameters by copies of the rows that occurred, and write them back.

    Yield the gradients by name, or `gradients` itself if it is not a model with sparse parameters.
    """
    if not isinstance(gradients, Module) or not gradients.sparse_blocks:
        yield gradients
        return
    flat = gradients.flat_gradients
    copies = {
        block.name: _core.embedding_forward(block.touched.rows, block.table(flat))
        for block in gradients.sparse_blocks
    }
    fixed = gradients.fixed_parameters
    yield {name: copies.get(name, g) for name, g in gradients.gradients.items() if name not in fixed}
    for block in gradients.sparse_blocks:
        _core.set_rows(block.touched.rows, copies[block.name], block.table(flat))


def all_finite(model: Module) -> bool:
    """Return whether every gradient of a model is finite."""
    with compact(model) as gradients:
        return all(_core.first_nonfinite(vector) < 0 for vector in vectors_of(gradients))


def refuse_decay(blocks: Sequence[SparseBlock], weight_decay: float) -> None:
    """Raise ValueError for weight decay of sparse parameters, which would change rows that did not occur."""
    if blocks and weight_decay:
        name = blocks[0].name
        raise ValueError(
            f"weight_decay must be 0 for the sparse parameter {name}, because decay changes every row at "
            f"every update; got {weight_decay:g}. "
            f'Fix: pass weight_decay={{"{name}": 0.0, "*": {weight_decay:g}}}, or sparse=False to Embedding.'
        )


def update_rows(
    update: Update,
    block: SparseBlock,
    parameters: Floats,
    gradients: Floats,
    state: Mapping[str, Floats],
    lr: float,
    weight_decay: float,
) -> list[CoreCall]:
    """Return calls that update the rows of a sparse parameter that occurred.

    The rule works on copies of the rows. Then the rows are written back.
    """
    rows = block.touched.rows
    if not rows.size:
        return []

    def copied(flat: Floats) -> Floats:
        return _core.embedding_forward(rows, block.table(flat)).reshape(-1)

    new = copied(parameters)
    new_state = {name: copied(vector) for name, vector in state.items()}
    pairs = [(parameters, new), *((state[name], values) for name, values in new_state.items())]
    writes = [
        partial(_core.set_rows, rows, values.reshape(-1, block.width), block.table(flat))
        for flat, values in pairs
    ]
    return [*update(new, copied(gradients), new_state, lr, weight_decay), *writes]
