"""An affine map over the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed, flag, size
from bptt.arrays import Floats, as_real, check_shape, contiguous, read_only, to_floats
from bptt.layers.module import Init
from bptt.layers.passes.stages import Inference
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class LinearStage:
    """A linear layer in a stream. Its steps allocate no memory."""

    state: None = None

    def __init__(self, core: _core.PackedLinear, before: Floats, output: Floats) -> None:
        self.input, self.output, self._core = before, output, core

    def step(self) -> None:
        self._core.forward(self.input, self.output)

    def step_skipping(self, skip: object) -> None:
        self.step()

    def run(self, x: Floats, skip: object = None) -> Floats:
        y = self._core.forward(contiguous(x).reshape(-1, x.shape[-1]))
        return y.reshape(*x.shape[:-1], self.output.shape[-1])

    def set_state(self, value: object) -> None:
        if value is not None:
            raise TypeError(f"state must be None for Linear; got {type(value).__name__}. Fix: pass None.")

    def reset(self) -> None:
        """Do nothing, because a linear layer has no state."""


class Linear(Stateless):
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

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Init = "default",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(dtype, seed)
        self.in_features = size(in_features, "in_features")
        self.out_features = size(out_features, "out_features")
        self.bias = flag(bias, "bias")
        self.allocate(init)

    def config(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias,
            "dtype": self.dtype.name,
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.out_features, self.in_features)}
        return shapes | {"bias": (self.out_features,)} if self.bias else shapes

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        bound = 1.0 / math.sqrt(self.in_features)
        return self.rng.uniform(-bound, bound, shape)

    def _convert(self, x: npt.ArrayLike) -> Floats:
        array = as_real(x, "x")
        if array.ndim == 0 or array.shape[-1] != self.in_features:
            raise ValueError(
                f"x must have shape (..., {self.in_features}), with in_features on the last axis; "
                f"got {array.shape}. Fix: pass x with {self.in_features} values on its last axis."
            )
        return to_floats(array, "x", self.dtype)

    def _infer(self, x: Floats) -> Floats:
        return self._multiply(x, self.parameters["weight"])

    def _forward(self, x: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
        x, weight = read_only(x), read_only(self.parameters["weight"])
        return self._multiply(x, weight), (x, weight)

    def _multiply(self, x: Floats, weight: Floats) -> Floats:
        rows = x.reshape(-1, self.in_features)
        y = _core.linear_forward(rows, weight, self.parameters["bias"] if self.bias else None)
        return y.reshape(*x.shape[:-1], self.out_features)

    def packed(self, precision: str | None = None) -> Inference:
        core = self._packed(precision)

        def call(x: Any, state: None = None) -> tuple[Floats, None]:
            self._check_state(state, "state")
            array = self._convert(x)
            y = core.forward(array.reshape(-1, self.in_features))
            return y.reshape(*array.shape[:-1], self.out_features), None

        return call

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> LinearStage:
        if before is None:
            before = self.step_input(batch_size)
        check_shape(before, "x", (batch_size, self.in_features))
        output = np.zeros((batch_size, self.out_features), self.dtype)
        return LinearStage(self._packed(precision), before, output)

    def step_input(self, batch_size: int) -> Floats:
        return np.zeros((batch_size, self.in_features), self.dtype)

    def _packed(self, precision: str | None) -> _core.PackedLinear:
        weight, bias = self.parameters["weight"], self.parameters.get("bias")
        return _core.PackedLinear(weight, bias, precision or "highest")

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        x, weight = tape.saved
        dx = _core.linear_backward(
            x.reshape(-1, self.in_features),
            weight,
            dy.reshape(-1, self.out_features),
            self.gradients["weight"] if self.trainable else None,
            self.gradients["bias"] if self.bias and self.trainable else None,
            need_dx,
        )
        return None if dx is None else dx.reshape(tape.x_shape)
