"""An affine map over the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from bptt.arguments import Seed, flag, size
from bptt.arrays import Floats
from bptt.layers.module import Init
from bptt.layers.passes.precision import parse_precision
from bptt.layers.stateless.affine import Affine


class Linear(Affine):
    """Compute y = x W^T + b over the last axis. All other axes stay unchanged.

    Parameters
    ----------
    in_features, out_features : int
        I and O, at least 1. `weight` is (O, I), `bias` (O,).
    bias : bool
        False: no bias.
    init : str, Initialiser or callable
        "default": both tensors uniform in +-1/sqrt(I), as in PyTorch. "orthogonal", "glorot",
        "normal", "uniform", or one of `bptt.init` with its parameters; or init(name, shape, rng) -> array.
    precision : {"highest", "bfloat16"}
        "bfloat16": round the operands of products to bfloat16, for speed. See `LSTM`. Needs
        float32.
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
    >>> import numpy as np
    >>> import bptt
    >>> y, state = bptt.Linear(8, 2)(np.ones((20, 4, 8)))
    >>> y.shape
    (20, 4, 2)
    """

    built_with = frozenset({"in_features", "out_features", "bias", "precision"})

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Init = "default",
        precision: str = "highest",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(dtype, seed)
        self.in_features = size(in_features, "in_features")
        self.out_features = size(out_features, "out_features")
        self.bias = flag(bias, "bias")
        self.precision = parse_precision(precision, self.dtype, dtypes=self.rounding_dtypes)
        self.allocate(init)

    def config(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias,
            "precision": self.precision,
            "dtype": self.dtype.name,
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.out_features, self.in_features)}
        return shapes | {"bias": (self.out_features,)} if self.bias else shapes

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        bound = 1.0 / math.sqrt(self.in_features)
        return self.rng.uniform(-bound, bound, shape)

    # Where the products find their arrays

    @property
    def widths(self) -> tuple[int, int]:
        return self.in_features, self.out_features

    @property
    def matrix(self) -> Floats:
        return self.parameters["weight"]

    @property
    def matrix_gradient(self) -> Floats | None:
        return self.gradients["weight"] if self.trainable else None

    @property
    def int8_weights(self) -> frozenset[str]:
        return frozenset({"weight"})

    def wrong_width(self, shape: tuple[int, ...]) -> str:
        return (
            f"x must have shape (..., {self.in_features}), with in_features on the last axis; got {shape}. "
            f"Fix: pass x with {self.in_features} values on its last axis."
        )
