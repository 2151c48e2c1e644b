"""Embedding: rows of a table, selected by integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed, flag, integer, size
from bptt.arrays import Floats, as_ids
from bptt.layers.initialisers import Initialiser
from bptt.layers.module import Init
from bptt.layers.passes.int8 import from_int8, to_int8
from bptt.layers.passes.stages import Inference
from bptt.layers.passes.tape import LayerTape
from bptt.layers.sparse import SparseBlock, TouchedRows
from bptt.layers.stateless.stateless import Stateless


class Embedding(Stateless):
    """Map integers of any shape to vectors on a new last axis: y = weight[x].

    x has no gradient: `backward` returns None for dx.

    Parameters
    ----------
    num_embeddings : int
        Number of rows: x holds integers from 0 to num_embeddings - 1.
    embedding_dim : int
        Width of a row. `weight` is (num_embeddings, embedding_dim).
    padding_idx : int, optional
        Row of a symbol that has no meaning. The row is zero at the start, and gets no gradient from this
        layer. A negative number counts from the end. Default: no such row.
    sparse : bool
        True: clips, optimizers and `zero_grad` touch only the rows that occurred since the last `zero_grad`,
        which makes large vocabularies fast. "Large vocabularies" in docs/guide/layers.md says what differs
        from a dense embedding. Write to the gradients of other rows only by assigning `flat_gradients`.
    init : str, Initialiser or callable
        "default": standard normal, as in PyTorch. "orthogonal", "glorot", or one of `bptt.init` with its
        parameters; or init(name, shape, rng) -> array.
    dtype : {"float32", "float64"}
        Type of parameters, outputs and gradients.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a value is out of range, or the product of the sizes overflows.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Embedding(100, 16)
    >>> y, state = layer([[7, 2], [5, 5], [99, 0]])  # (T, B)
    >>> y.shape
    (3, 2, 16)
    """

    built_with = frozenset({"num_embeddings", "embedding_dim", "sparse"})

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None = None,
        sparse: bool = False,
        init: Init = "default",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(dtype, seed)
        self.num_embeddings = size(num_embeddings, "num_embeddings")
        self.embedding_dim = size(embedding_dim, "embedding_dim")
        if padding_idx is not None:
            padding_idx = integer(padding_idx, "padding_idx", -self.num_embeddings, self.num_embeddings - 1)
            padding_idx %= self.num_embeddings
        self.padding_idx = padding_idx
        self.sparse = flag(sparse, "sparse")
        self.allocate(init)
        if self.sparse:
            block = SparseBlock(
                "weight", 0, self.num_embeddings, self.embedding_dim, TouchedRows(self.num_embeddings)
            )
            self.sparse_blocks = (block,)

    def config(self) -> dict[str, Any]:
        return {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "padding_idx": self.padding_idx,
            "sparse": self.sparse,
            "dtype": self.dtype.name,
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.num_embeddings, self.embedding_dim)}

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self.rng.standard_normal(shape)

    def _draw(self, initialiser: Initialiser) -> None:
        super()._draw(initialiser)
        if self.padding_idx is not None:
            self.parameters["weight"][self.padding_idx] = 0

    @property
    def no_gradient(self) -> Mapping[str, slice]:  # type: ignore[override]
        """The padding row."""
        row = self.padding_idx
        return {} if row is None else {"weight": slice(row, row + 1)}

    def _convert(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        ids = as_ids(x, "x")
        outside = (ids < 0) | (ids >= self.num_embeddings)
        if outside.any():
            raise ValueError(
                f"x must hold ids from 0 to {self.num_embeddings - 1}; got {ids[outside][0]} at "
                f"{tuple(map(int, np.argwhere(outside)[0]))}. Fix: make num_embeddings the size of the "
                "vocabulary, or map unknown symbols to an extra id."
            )
        return ids

    def _infer(self, x: npt.NDArray[np.int64]) -> Floats:
        return _core.embedding_forward(x.reshape(-1), self.parameters["weight"]).reshape(
            *x.shape, self.embedding_dim
        )

    def packed(self, precision: str | None = None) -> Inference:
        if precision != "int8":
            return super().packed(precision)
        table, scales = to_int8(self.parameters["weight"])

        def call(x: Any, state: None = None) -> tuple[Floats, None]:
            self._check_state(state, "state")
            ids = self._convert(x)
            y = from_int8(table[ids.reshape(-1)], scales[ids.reshape(-1)])
            return y.reshape(*ids.shape, self.embedding_dim), None

        return call

    @property
    def int8_weights(self) -> frozenset[str]:
        return frozenset({"weight"})

    def multiply_adds(self, rows: int) -> int:
        return 0  # a call only copies rows

    def step_input(self, batch_size: int) -> npt.NDArray[np.int64]:
        return np.zeros(batch_size, np.int64)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> None:
        if not self.trainable:
            return
        ids, errors = tape.saved.reshape(-1), dy.reshape(-1, self.embedding_dim)
        if self.padding_idx is not None:
            counts = ids != self.padding_idx
            if not counts.all():
                ids, errors = ids[counts], errors[counts]
        for block in self.sparse_blocks:
            block.touched.add(ids)
        _core.embedding_backward(ids, errors, self.gradients["weight"])
