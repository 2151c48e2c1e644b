"""Base class of layers that multiply the last axis by a matrix."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, as_real, check_shape, contiguous, read_only, to_floats
from bptt.layers.passes.stages import Inference, Stage
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class AffineStage:
    """An affine layer in a stream. Its steps allocate no memory."""

    state: None = None

    def __init__(self, kind: str, core: _core.PackedLinear, before: Floats, output: Floats) -> None:
        self.input, self.output, self._core, self._kind = before, output, core, kind

    def step(self) -> None:
        self._core.forward(self.input, self.output)

    def step_skipping(self, skip: object) -> None:
        self.step()

    def run(self, x: Floats, skip: object = None) -> Floats:
        y = self._core.forward(contiguous(x).reshape(-1, x.shape[-1]))
        return y.reshape(*x.shape[:-1], self.output.shape[-1])

    def set_state(self, value: object) -> None:
        if value is not None:
            raise TypeError(
                f"state must be None for {self._kind}; got {type(value).__name__}. Fix: pass None."
            )

    def reset(self) -> None:
        """Do nothing, because an affine layer has no state."""


class Affine(Stateless):
    """Compute y = x W^T + b over the last axis. A subclass says where W and its gradient are.

    The bias, if there is one, is the parameter "bias".
    """

    precision: str

    @property
    @abstractmethod
    def widths(self) -> tuple[int, int]:
        """The sizes (I, O) of the last axes of x and y."""

    @property
    @abstractmethod
    def matrix(self) -> Floats:
        """W (O, I)."""

    @property
    @abstractmethod
    def matrix_gradient(self) -> Floats | None:
        """The array that gets dL/dW. None: W is not trained."""

    @abstractmethod
    def wrong_width(self, shape: tuple[int, ...]) -> str:
        """Return the message for an x of this shape, whose last axis does not fit."""

    def _convert(self, x: npt.ArrayLike) -> Floats:
        array = as_real(x, "x")
        if array.ndim == 0 or array.shape[-1] != self.widths[0]:
            raise ValueError(self.wrong_width(array.shape))
        return to_floats(array, "x", self.dtype)

    # Products of rows (N, I), which the reference replaces

    def product(self, x: Floats, matrix: Floats) -> Floats:
        """Return y (N, O)."""
        return _core.linear_forward(x, matrix, self.parameters.get("bias"), self.precision)

    def product_errors(self, x: Floats, matrix: Floats, dy: Floats, need_dx: bool) -> Floats | None:
        """Add to the gradients, and return dx (N, I)."""
        dbias = self.gradients.get("bias") if self.trainable else None
        return _core.linear_backward(x, matrix, dy, self.matrix_gradient, dbias, need_dx, self.precision)

    # Passes

    def _infer(self, x: Floats) -> Floats:
        return self._over_rows(self.product(self._rows(x), self.matrix), x)

    def _forward(self, x: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
        x, matrix = read_only(x), read_only(self.matrix)
        return self._over_rows(self.product(self._rows(x), matrix), x), (x, matrix)

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        x, matrix = tape.saved
        dx = self.product_errors(self._rows(x), matrix, dy.reshape(-1, self.widths[1]), need_dx)
        return None if dx is None else dx.reshape(tape.x_shape)

    def packed(self, precision: str | None = None) -> Inference:
        core = self._packed(precision)

        def call(x: Any, state: None = None) -> tuple[Floats, None]:
            self._check_state(state, "state")
            array = self._convert(x)
            return self._over_rows(core.forward(self._rows(array)), array), None

        return call

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> Stage:
        if before is None:
            before = self.step_input(batch_size)
        check_shape(before, "x", (batch_size, self.widths[0]))
        output = np.zeros((batch_size, self.widths[1]), self.dtype)
        return AffineStage(self.kind, self._packed(precision), before, output)

    def step_input(self, batch_size: int) -> Floats:
        return np.zeros((batch_size, self.widths[0]), self.dtype)

    def _packed(self, precision: str | None) -> _core.PackedLinear:
        return _core.PackedLinear(self.matrix, self.parameters.get("bias"), precision or self.precision)

    def _rows(self, x: Floats) -> Floats:
        return x.reshape(-1, self.widths[0])

    def _over_rows(self, y: Floats, x: Floats) -> Floats:
        return y.reshape(*x.shape[:-1], self.widths[1])
