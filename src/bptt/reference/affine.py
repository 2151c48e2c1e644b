"""`Linear` and `TiedLinear` whose products read operands that are rounded to bfloat16."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.precision import parse_precision
from bptt.layers.passes.stages import Inference, Stage
from bptt.layers.stateless.affine import Affine
from bptt.layers.stateless.linear import Linear as NativeLinear
from bptt.layers.stateless.stateless import Stateless
from bptt.layers.stateless.tied_linear import TiedLinear as NativeTiedLinear
from bptt.reference.rounding import to_bfloat16


class Rounding(Affine):
    """An affine layer with `precision="bfloat16"`, also in float64."""

    rounding_dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64")

    def product(self, x: Floats, matrix: Floats) -> Floats:
        y: Floats = to_bfloat16(x) @ to_bfloat16(matrix).T + self.parameters.get("bias", 0.0)
        return y.astype(self.dtype)

    def product_errors(self, x: Floats, matrix: Floats, dy: Floats, need_dx: bool) -> Floats | None:
        rounded = to_bfloat16(dy)
        gradient = self.matrix_gradient
        if gradient is not None:
            gradient[...] += rounded.T @ to_bfloat16(x)
        if self.trainable and "bias" in self.gradients:
            self.gradients["bias"][...] += dy.sum(axis=0)
        dx: Floats = rounded @ to_bfloat16(matrix)
        return dx.astype(self.dtype) if need_dx else None

    def packed(self, precision: str | None = None) -> Inference:
        if precision is not None:
            parse_precision(precision, self.dtype, dtypes=self.rounding_dtypes)
        return super().packed(precision) if precision == "highest" else self.__call__

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> Stage:
        return Stateless.stage(self, batch_size, before, precision=precision)


class Linear(Rounding, NativeLinear):
    """`bptt.Linear` of lower precision."""


class TiedLinear(Rounding, NativeTiedLinear):
    """`bptt.TiedLinear` of lower precision."""
