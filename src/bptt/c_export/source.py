"""The parts of a header while it is written: weights, fields of the state, and statements of a step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH = 100
LANES = 8
"""Partial sums of a dot product. Compilers keep them in one or two vectors."""
COLUMNS = 4
"""Columns of a matrix that one loop adds, so that it reads and writes the sums less often."""

LARGEST = float(np.finfo(np.float32).max)

Array = npt.NDArray[Any]


def literal(value: float) -> str:
    """Return the shortest constant that every C and C++ compiler reads as this float32.

    A larger number becomes the largest float32, because C has no constant for infinity. Hexadecimal constants
    would be exact, too, but C++ has them only since 2017.
    """
    return f"{np.float32(min(max(value, -LARGEST), LARGEST))!s}f"


class Source:
    """Collects the parts of one header.

    Parameters
    ----------
    name : str
        The prefix of all names. Suffixes have no second underscore, so the names of two headers in one file
        cannot be equal, even if one prefix begins with the other.

    Attributes
    ----------
    weights : list of (str, array)
        Constant arrays: the name and the values, float32.
    state : list of (str, int, str)
        Fields of the state: name, size and comment.
    body : list of str
        Statements of the step.
    functions : dict
        Functions that the step calls, in the order of their first use.
    tables : dict
        The names of the rows of embeddings, by the `id` of the layer.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.weights: list[tuple[str, Array]] = []
        self.state: list[tuple[str, int, str]] = []
        self.body: list[str] = []
        self.functions: dict[str, None] = {}
        self.tables: dict[int, str] = {}
        self.stack_floats = 0
        self._depth = 1

    def line(self, text: str) -> None:
        """Add one line to the step."""
        self.body.append("  " * self._depth + text)

    def comment(self, text: str) -> None:
        """Add a comment to the step."""
        self.line(f"/* {text} */")

    @contextmanager
    def block(self, head: str = "") -> Iterator[None]:
        """Put the lines of the `with` block into braces."""
        self.line(f"{head} {{".lstrip())
        self._depth += 1
        yield
        self._depth -= 1
        self.line("}")

    def loop(self, count: int, *lines: str) -> None:
        """Add a loop over k. A single pass needs no loop."""
        if count == 1:
            for text in lines:
                self.line(re.sub(r"\bk\b", "0", text))
            return
        with self.block(f"for (int k = 0; k < {count}; ++k)"):
            for text in lines:
                self.line(text)

    def array(self, name: str, size: int) -> None:
        """Declare a local array."""
        self.stack_floats += size
        self.line(f"float {name}[{size}];")

    def weight(self, label: str, values: Array) -> str:
        """Add a constant array and return its name."""
        name = f"{self.name}_{label}"
        self.weights.append((name, np.ascontiguousarray(values, np.float32)))
        return name

    def field(self, name: str, size: int, comment: str) -> str:
        """Add a field of the state and return the expression that reads it."""
        self.state.append((name, size, comment))
        return f"state->{name}"

    def call(self, function: str, *arguments: str) -> str:
        """Return a call of a function of the header, and remember that the header needs this function."""
        self.functions[function] = None
        return f"{self.name}_{function}({', '.join(arguments)})"

    def set_vector(self, target: str, label: str, values: Array | None, size: int, offset: int = 0) -> None:
        """Set target[offset + k] to a constant vector. None: to zeros."""
        value = "0.0f" if values is None else f"{self.weight(label, values)}[k]"
        self.loop(size, f"{place(target, offset)} = {value};")

    def add_product(self, target: str, label: str, matrix: Array, vector: str, offset: int = 0) -> None:
        """Add matrix @ vector to target[offset:]. The matrix is (outputs, inputs).

        A narrow result is a dot product for each output. Otherwise, the loop over the outputs is the inner
        loop, which compilers vectorise without a change of the order of sums.
        """
        outputs, inputs = matrix.shape
        result = place(target, offset)
        if outputs < LANES <= inputs:
            name = self.weight(label, matrix)
            self.loop(outputs, f"{result} += {self.call('dot', f'{name}[k]', vector, str(inputs))};")
            return
        name = self.weight(label, matrix.T)
        whole = inputs - inputs % COLUMNS
        if whole:
            with self.block(f"for (int j = 0; j < {whole}; j += {COLUMNS})"):
                steps = ["j", *(f"j + {index}" for index in range(1, COLUMNS))]
                for index, step in enumerate(steps):
                    self.line(f"const float v{index} = {vector}[{step}];")
                rows = [f"{name}[{step}][k] * v{index}" for index, step in enumerate(steps)]
                half = COLUMNS // 2
                self.loop(
                    outputs, f"{result} += {' + '.join(rows[:half])}", f"  + {' + '.join(rows[half:])};"
                )
        if whole < inputs:
            one = whole == inputs - 1
            with self.block("" if one else f"for (int j = {whole}; j < {inputs}; ++j)"):
                j = str(whole) if one else "j"
                self.line(f"const float v = {vector}[{j}];")
                self.loop(outputs, f"{result} += {name}[{j}][k] * v;")


def place(array: str, offset: int) -> str:
    """Return the expression of element offset + k."""
    return f"{array}[{offset} + k]" if offset else f"{array}[k]"


def c_array(name: str, values: Array, qualifier: str) -> str:
    """Return the definition of a constant array, with nested braces for a matrix."""
    rows = values if values.ndim == 2 else values[np.newaxis]
    sizes = "".join(f"[{size}]" for size in values.shape)
    text = ",\n".join(f"  {{\n{_wrapped(row, '    ')}\n  }}" for row in rows)
    if values.ndim == 1:
        text = _wrapped(values, "  ")
    return f"{qualifier} float {name}{sizes} = {{\n{text}\n}};\n"


def _wrapped(values: Array, indent: str) -> str:
    lines, line = [], indent
    for text in (f"{value!s}f," for value in values):
        if len(line) + len(text) > WIDTH:
            lines.append(line.rstrip())
            line = indent
        line += f"{text} "
    return "\n".join([*lines, line.rstrip().removesuffix(",")])
