"""Layer norm over the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import flag, real, size
from bptt.arrays import Floats, as_real, read_only, to_floats
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class LayerNorm(Stateless):
    """Normalise the last axis: y = weight (x - mean) / sqrt(variance + eps) + bias.

    Mean and variance are those of one vector, so rows and steps do not mix. The variance is the mean of the
    squared deviations. The argument `layer_norm=True` of recurrent layers normalises inside the cell, which
    this layer cannot do.

    Parameters
    ----------
    normalized_shape : int
        F, the size of the last axis. `weight` and `bias` are (F,).
    eps : float
        Above 0.
    elementwise_affine : bool
        False: neither weight nor bias.
    bias : bool
        False: no bias.
    dtype : {"float32", "float64"}
        Type of parameters, outputs and gradients.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a value is out of range.

    References
    ----------
    Ba, Kiros and Hinton (2016), Layer normalization, arXiv:1607.06450.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.LayerNorm(3)([-1.0, 0.0, 1.0])
    >>> y.round(3)
    array([-1.225,  0.   ,  1.225], dtype=float32)
    """

    built_with = frozenset({"normalized_shape", "elementwise_affine", "bias"})

    def __init__(
        self,
        normalized_shape: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(dtype, None)
        self.normalized_shape = size(normalized_shape, "normalized_shape")
        self.eps = real(eps, "eps", 0.0, above=True)
        self.elementwise_affine = flag(elementwise_affine, "elementwise_affine")
        self.bias = flag(bias, "bias") and self.elementwise_affine
        self.allocate()

    def config(self) -> dict[str, Any]:
        return {
            "normalized_shape": self.normalized_shape,
            "eps": self.eps,
            "elementwise_affine": self.elementwise_affine,
            "bias": self.bias,
            "dtype": self.dtype.name,
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        if not self.elementwise_affine:
            return {}
        shape = (self.normalized_shape,)
        return {"weight": shape, "bias": shape} if self.bias else {"weight": shape}

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return np.ones(shape) if name == "weight" else np.zeros(shape)

    def _convert(self, x: Any) -> Floats:
        array = as_real(x, "x")
        if array.ndim == 0 or array.shape[-1] != self.normalized_shape:
            raise ValueError(
                f"x must have shape (..., {self.normalized_shape}), with normalized_shape on the last axis; "
                f"got {array.shape}. Fix: pass x with {self.normalized_shape} values on its last axis."
            )
        return to_floats(array, "x", self.dtype)

    def step_input(self, batch_size: int) -> Floats:
        return np.zeros((batch_size, self.normalized_shape), self.dtype)

    def _infer(self, x: Floats) -> Floats:
        y, _, _ = self._normalise(x, self.parameters.get("weight"), keep=False)
        return y

    def _forward(self, x: Floats) -> tuple[Floats, Any]:
        weight = self.parameters.get("weight")
        weight = None if weight is None else read_only(weight)
        y, hat, scale = self._normalise(x, weight, keep=True)
        return y, (hat, scale, weight)

    def _normalise(self, x: Floats, weight: Floats | None, *, keep: bool) -> tuple[Floats, Any, Any]:
        rows = x.reshape(-1, self.normalized_shape)
        y, hat, scale = _core.layer_norm_forward(rows, weight, self.parameters.get("bias"), self.eps, keep)
        return y.reshape(x.shape), hat, scale

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        hat, scale, weight = tape.saved
        dx = _core.layer_norm_backward(
            dy.reshape(-1, self.normalized_shape),
            hat,
            scale,
            weight,
            self.gradients.get("weight") if self.trainable else None,
            self.gradients.get("bias") if self.trainable else None,
            need_dx,
        )
        return None if dx is None else dx.reshape(dy.shape)
