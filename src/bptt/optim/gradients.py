"""The gradient as a whole: its vectors, its norm, and entries that are not finite."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats
from bptt.layers.module import Module

Value = TypeVar("Value")

Gradients: TypeAlias = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | Module


_SMALLEST = {4: 2.0**-126, 8: 2.0**-1022}
"""The smallest normal number, by the size of its dtype in bytes."""


class NonFiniteError(FloatingPointError):
    """A gradient holds NaN or an infinity. Gradients and parameters have not been changed.

    Attributes
    ----------
    parameter : str
        Name of the first parameter whose gradient is not finite.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(2, 1)
    >>> layer.flat_gradients[:] = float("nan")
    >>> try:
    ...     bptt.ClipNorm(1.0)(layer)
    ... except bptt.NonFiniteError as error:
    ...     print(error.parameter)
    weight
    """

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter

    def __reduce__(self) -> tuple[type[NonFiniteError], tuple[str, str]]:
        # The default passes only the message, so the error could not leave a worker process.
        return type(self), (str(self), self.parameter)


@dataclass(frozen=True)
class Norm:
    """A norm, stored as relative * unit.

    The 2-norm of finite float64 entries may be larger than the largest float64.
    """

    relative: float
    unit: float = 1.0

    @classmethod
    def of(cls, vectors: Iterable[Floats]) -> Norm:
        """Return the 2-norm."""
        norm = math.hypot(*(_core.norm(vector) for vector in vectors))
        if math.isfinite(norm) or any(_core.first_nonfinite(vector) >= 0 for vector in vectors):
            return cls(norm)
        unit = max(float(np.abs(vector).max(initial=0.0)) for vector in vectors)
        return cls(math.hypot(*(_core.norm(vector / unit) for vector in vectors)), unit)

    @classmethod
    def largest(cls, vectors: Iterable[Floats]) -> Norm:
        """Return the infinity norm of finite vectors: the largest magnitude."""
        return cls(max((_core.largest_magnitude(vector) for vector in vectors), default=0.0))

    @property
    def value(self) -> float:
        return self.relative * self.unit

    @property
    def finite(self) -> bool:
        """Whether every entry is finite."""
        return math.isfinite(self.relative)

    def limit(self, vectors: Iterable[Floats], max_norm: float) -> bool:
        """Scale vectors with this total norm down to `max_norm`. Return False if no scaling is needed."""
        if self.value <= max_norm:
            return False
        # If a factor may be subnormal, scale in two steps: the core treats a subnormal factor as zero.
        root = 1.0 / math.sqrt(self.unit)
        factor = max_norm / self.relative
        for vector in vectors:
            if self.unit != 1.0:
                _core.scale(vector, root)
                _core.scale(vector, root)
            if factor < _SMALLEST[vector.dtype.itemsize]:
                _core.scale(vector, math.sqrt(max_norm) / math.sqrt(self.relative))
                _core.scale(vector, math.sqrt(max_norm) / math.sqrt(self.relative))
            else:
                _core.scale(vector, factor)
        return True


def named(gradients: Gradients, fixed: Collection[str] = ()) -> Mapping[str, npt.NDArray[Any]]:
    """Return the gradients by name, without the gradients of fixed parameters."""
    if isinstance(gradients, Module):
        arrays: Mapping[str, npt.NDArray[Any]] = gradients.gradients
        fixed = {*fixed, *gradients.fixed_parameters}
    elif isinstance(gradients, Mapping):
        arrays = gradients
    else:
        arrays = {"gradients": gradients}
    return {name: array for name, array in arrays.items() if name not in fixed} if fixed else arrays


def flat_runs(model: Module, value_of: Mapping[str, Value]) -> list[tuple[slice, Value]]:
    """Return slices of the model's flat vectors, one per run of neighbours with equal values."""
    runs: list[tuple[slice, Value]] = []
    flat = model.flat_parameters
    for name, array in model.parameters.items():
        start = (array.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // flat.itemsize
        stop, value = start + array.size, value_of[name]
        if runs and runs[-1][0].stop == start and runs[-1][1] == value:
            runs[-1] = slice(runs[-1][0].start, stop), value
        else:
            runs.append((slice(start, stop), value))
    return runs


def vectors_of(gradients: Gradients, fixed: Collection[str] = ()) -> list[Floats]:
    """Return flat writable views of the gradients of all parameters that are not fixed."""
    if isinstance(gradients, Module):
        fixed = {*fixed, *gradients.fixed_parameters}
        if not fixed:
            return [gradients.flat_gradients]
        runs = flat_runs(gradients, {name: name in fixed for name in gradients.parameters})
        return [gradients.flat_gradients[run] for run, is_fixed in runs if not is_fixed]
    vectors: list[Floats] = []
    for name, array in named(gradients, fixed).items():
        if not isinstance(array, np.ndarray) or array.dtype not in ("f4", "f8"):
            actual = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(
                f"{name} must be a float32 or float64 ndarray, to be clipped in place; got {actual}. "
                "Fix: pass arrays, a mapping of names to arrays, or a model."
            )
        flags = array.flags
        if not (flags.c_contiguous and flags.writeable and flags.aligned):
            raise ValueError(
                f"{name} must be writable, aligned and C-contiguous, to be clipped in place; got an array of "
                f"shape {array.shape} and strides {array.strides}. Fix: pass a copy, numpy.array({name})."
            )
        vectors.append(array.reshape(-1))
    return vectors


def refuse_nonfinite(
    gradients: Gradients, fixed: Collection[str] = (), fix: str = "lower the learning rate"
) -> None:
    """Raise NonFiniteError for the first entry that is not finite."""
    for name, array in named(gradients, fixed).items():
        position = _core.first_nonfinite(array.reshape(-1))
        if position >= 0:
            index = tuple(int(i) for i in np.unravel_index(position, array.shape))
            raise NonFiniteError(
                f"the gradient of {name} must be finite; got {array[index]} at {index}; nothing was changed. "
                f"Fix: look for NaN or infinite values in the data, or {fix}.",
                name,
            )
