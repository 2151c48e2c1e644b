"""Embedding: rows of a table, selected by integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed, size
from bptt.arrays import Floats, as_ids
from bptt.layers.module import Init
from bptt.layers.passes.tape import LayerTape
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
    init : str, Initialiser or callable
        "default": standard normal, as in PyTorch. "orthogonal", "glorot", "normal", "uniform", or
        one of `bptt.init` with its parameters; or init(name, shape, rng) -> array.
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
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        init: Init = "default",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(dtype, seed)
        self.num_embeddings = size(num_embeddings, "num_embeddings")
        self.embedding_dim = size(embedding_dim, "embedding_dim")
        self.allocate(init)

    def config(self) -> dict[str, Any]:
        return {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "dtype": self.dtype.name,
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.num_embeddings, self.embedding_dim)}

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self.rng.standard_normal(shape)

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

    def multiply_adds(self, rows: int) -> int:
        return 0  # a call only copies rows

    def step_input(self, batch_size: int) -> npt.NDArray[np.int64]:
        return np.zeros(batch_size, np.int64)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> None:
        if self.trainable:
            _core.embedding_backward(
                tape.saved.reshape(-1), dy.reshape(-1, self.embedding_dim), self.gradients["weight"]
            )
