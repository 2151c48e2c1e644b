"""Rows of a table, looked up by integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed
from bptt.arguments import size as check_size
from bptt.arrays import Floats, as_ids
from bptt.layers.module import Init, Table
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless import Stateless


class Embedding(Stateless):
    """
    y = weight[x]: integers of any shape to vectors on a new last axis.

    x has no gradient: `backward` returns None for dx.

    Parameters
    ----------
    n : int
        How many rows: x holds integers 0 ... n - 1.
    size : int
        Width of a row. `weight` is (n, size).
    init : str, Initialiser or callable
        "default": PyTorch's, standard normal. "orthogonal", "glorot", or one of `bptt.init` with its
        parameters; or init(name, shape, rng) -> array.
    dtype : {"float32", "float64"}
        Type of parameters, outputs and gradients.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters.

    Raises
    ------
    TypeError
        An argument of the wrong kind.
    ValueError
        A value out of range, or sizes whose product overflows.
    """

    def __init__(
        self, n: int, size: int, *, init: Init = "default", dtype: Any = "float32", seed: Seed = None
    ) -> None:
        super().__init__(dtype, seed)
        self.n = check_size(n, "n")
        self.size = check_size(size, "size")
        self._allocate(init)

    def config(self) -> dict[str, Any]:
        return {"n": self.n, "size": self.size, "dtype": self.dtype.name}

    def _table(self) -> Table:
        return [("weight", (self.n, self.size))]

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return self.rng.standard_normal(shape)

    def _convert(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        ids = as_ids(x, "x")
        outside = (ids < 0) | (ids >= self.n)
        if outside.any():
            raise ValueError(
                f"x must hold ids from 0 to {self.n - 1}; got {ids[outside][0]} at "
                f"{tuple(map(int, np.argwhere(outside)[0]))}. Fix: make Embedding(n, ...) as large as the "
                "vocabulary, or map unknown symbols to an id of their own."
            )
        return ids

    def _infer(self, x: npt.NDArray[np.int64]) -> Floats:
        return _core.embedding_forward(x.reshape(-1), self.parameters["weight"]).reshape(*x.shape, self.size)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> None:
        _core.embedding_backward(tape.saved.reshape(-1), dy.reshape(-1, self.size), self.gradients["weight"])
