"""The result of `frozen.error()`: how far a snapshot is from float32."""

from __future__ import annotations

import math
import re
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
    part : {"h", "c", ""}
        The part of the state of a recurrent layer.
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
    part: str = ""

    def __str__(self) -> str:
        name = f"{self.part}, {self.name}" if self.part else self.name
        return (
            f"largest error of {name}: {self.largest:.2%} of the root mean square in float32, "
            f"{self.scale:.3g}\nroot-mean-square error of {name}: {self.root_mean_square:.2%}"
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


def report_errors(outputs: tuple[Any, Any], expected: tuple[Any, Any], pattern: str) -> ErrorReport:
    """Compare (y, state) of a snapshot with (y, state) in float32.

    `pattern` is the form of the state, such as "((h, c), None)".
    """
    ys, states = list(_arrays(outputs[0], "y")), list(_arrays(outputs[1], "state"))
    exact = [*_arrays(expected[0], "y"), *_arrays(expected[1], "state")]
    parts = [part if part in ("h", "c") else "" for part in re.findall(r"\w+", pattern) if part != "None"]
    if len(parts) != len(states):  # a layer of the user's own
        parts = [""] * len(states)
    pairs = zip([*ys, *states], exact, [*[""] * len(ys), *parts], strict=True)
    return ErrorReport(tuple(_compare(name, y, right, part) for (name, y), (_, right), part in pairs))


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


def _compare(name: str, y: Floats, expected: Floats, part: str) -> OutputError:
    exact = expected.astype(np.float64)
    errors = np.abs(y - exact)
    scale = math.sqrt(np.mean(exact**2)) if exact.size else 0.0
    largest = float(errors.max(initial=0))
    root_mean_square = math.sqrt(np.mean(errors**2)) if errors.size else 0.0
    if scale > 0:
        largest, root_mean_square = largest / scale, root_mean_square / scale
    elif largest > 0:
        largest = root_mean_square = math.inf
    return OutputError(name, largest, root_mean_square, scale, part)
