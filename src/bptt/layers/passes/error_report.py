"""The result of `frozen.error()`: how far a snapshot is from float32."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.arrays import Floats


@dataclass(frozen=True)
class OutputError:
    """Error of one output array of a snapshot.

    Attributes
    ----------
    name : str
        "y", or the place in the final state, such as "state[0]".
    largest : float
        Largest absolute error, as a fraction of `scale`.
    root_mean_square : float
        Root mean square of the errors, as a fraction of `scale`.
    scale : float
        Root mean square of the output in float32.
    """

    name: str
    largest: float
    root_mean_square: float
    scale: float

    def __str__(self) -> str:
        return (
            f"largest error of {self.name}: {self.largest:.2%} of the root mean square in float32, "
            f"{self.scale:.3g}\nroot-mean-square error of {self.name}: {self.root_mean_square:.2%}"
        )


@dataclass(frozen=True)
class ErrorReport:
    """Errors of the outputs of a snapshot, against float32 with the same weights.

    `print(report)` shows two lines for each output.

    Attributes
    ----------
    outputs : tuple of OutputError
        The errors of y, and of each array of the final state.
    """

    outputs: tuple[OutputError, ...]

    @property
    def largest(self) -> float:
        """Largest error of y, as a fraction of the root mean square of y in float32."""
        return self.outputs[0].largest

    @property
    def root_mean_square(self) -> float:
        """Root-mean-square error of y, as a fraction of the root mean square of y in float32."""
        return self.outputs[0].root_mean_square

    def __str__(self) -> str:
        return "\n".join(map(str, self.outputs))


def report_errors(outputs: tuple[Any, Any], expected: tuple[Any, Any]) -> ErrorReport:
    """Compare (y, state) of a snapshot with (y, state) in float32."""
    named = [*_arrays(outputs[0], "y"), *_arrays(outputs[1], "state")]
    exact = [*_arrays(expected[0], "y"), *_arrays(expected[1], "state")]
    return ErrorReport(
        tuple(_compare(name, y, right) for (name, y), (_, right) in zip(named, exact, strict=True))
    )


def _arrays(value: Any, name: str) -> Iterator[tuple[str, Floats]]:
    """Yield the arrays of an output with their places."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _arrays(part, f"{name}[{key!r}]")
    elif isinstance(value, (tuple, list)):
        for i, part in enumerate(value):
            yield from _arrays(part, f"{name}[{i}]")


def _compare(name: str, y: Floats, expected: Floats) -> OutputError:
    exact = expected.astype(np.float64)
    errors = np.abs(y - exact)
    scale = math.sqrt(np.mean(exact**2)) if exact.size else 0.0
    largest = float(errors.max(initial=0))
    root_mean_square = math.sqrt(np.mean(errors**2)) if errors.size else 0.0
    if scale > 0:
        largest, root_mean_square = largest / scale, root_mean_square / scale
    elif largest > 0:
        largest = root_mean_square = math.inf
    return OutputError(name, largest, root_mean_square, scale)
