"""Random values for calls: arguments that fit, and wild ones that do not."""

from __future__ import annotations

import decimal
import fractions
import math
from collections.abc import Callable
from typing import Any

import numpy as np

WILD: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: -1,
    lambda: 0,
    lambda: 1,
    lambda: 7,
    lambda: 2**31,
    lambda: 2**63,
    lambda: 10**400,
    lambda: 0.5,
    lambda: -0.0,
    lambda: 1e308,
    lambda: 1e-320,
    lambda: math.nan,
    lambda: math.inf,
    lambda: -math.inf,
    lambda: 1j,
    lambda: "",
    lambda: "abc",
    lambda: "auto",
    lambda: b"abc",
    list,
    dict,
    tuple,
    set,
    lambda: [1, 2],
    lambda: [[1.0], [2.0, 3.0]],
    lambda: [None],
    lambda: (1, 2),
    lambda: (None, None),
    lambda: {"a": 1},
    lambda: {1: "a"},
    lambda: range(3),
    object,
    lambda: lambda: None,
    lambda: int,
    lambda: slice(3),
    lambda: Ellipsis,
    lambda: decimal.Decimal("1.5"),
    lambda: fractions.Fraction(1, 3),
    lambda: np.float32(2),
    lambda: np.int8(1),
    lambda: np.bool_(True),
    lambda: np.array(3),
    lambda: np.array(2.5),
    lambda: np.array([]),
    lambda: np.zeros(0, int),
    lambda: np.ones(3),
    lambda: np.ones((2, 3), bool),
    lambda: np.ones((2, 3, 4), ">f8")[::-1],
    lambda: np.ones((2, 3, 4, 5), np.float16),
    lambda: np.zeros((0, 3, 4)),
    lambda: np.zeros((3, 0, 4)),
    lambda: np.zeros((2, 3, 0)),
    lambda: np.array(["a", "b"]),
    lambda: np.array([None, 1], object),
    lambda: np.array([1 + 2j]),
    lambda: np.array(["2020-01-01"], "datetime64[D]"),
    lambda: np.array([2**63], np.uint64),
    lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    lambda: np.full((2, 3, 4), np.nan),
    lambda: np.full((2, 3, 4), 1e308),
    lambda: memoryview(b"abcd"),
    lambda: np.random.default_rng(0),
)
EDGES = (0.0, -0.0, 1e-38, 1e-20, 1.0, -1.0, 1e19, -3e38, 1e300, math.nan, math.inf)


class Draw:
    """Draws arguments from a seed.

    Parameters
    ----------
    seed : int
    wildness : float
        Probability that an argument is a wild one.
    """

    def __init__(self, seed: int, wildness: float = 0.12) -> None:
        self.rng = np.random.default_rng(seed)
        self.wildness = wildness

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choose(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def size(self, low: int = 1, high: int = 4) -> int:
        return int(self.rng.integers(low, high + 1))

    def wild(self) -> Any:
        return self.choose(*WILD)()

    def arg(self, value: Callable[[], Any]) -> Any:
        """What `value` draws, or now and then something wild."""
        return self.wild() if self.chance(self.wildness) else value()

    def options(self, **values: Callable[[], Any]) -> dict[str, Any]:
        """Each option is left out half the time."""
        return {name: self.arg(value) for name, value in values.items() if self.chance(0.5)}

    def flag(self) -> bool:
        return self.chance(0.5)

    def numbers(self, *shape: int) -> Any:
        """An array of this shape, of some dtype and layout, now and then with an edge value in it."""
        array = self.rng.standard_normal(shape)
        if array.size and self.chance(0.15):
            array.flat[self.rng.integers(array.size)] = self.choose(*EDGES)
        if self.chance(0.1):
            return array.tolist()
        if self.chance(0.1):
            array = np.repeat(array, 2, axis=0)[::2] if array.ndim else array
        with np.errstate(over="ignore"):
            return array.astype(self.choose("f4", "f8", "f8", ">f4"), order=self.choose("C", "F"))

    def ids(self, high: int, *shape: int) -> Any:
        array = self.rng.integers(0, max(high, 1), shape)
        if array.size and self.chance(0.05):
            array.flat[0] = self.choose(-1, high, -100, 2**40)
        return array.astype(self.choose("i8", "i4", "u2", "f8")) if self.chance(0.3) else array

    def bools(self, *shape: int) -> Any:
        return self.rng.random(shape) < self.choose(0.0, 0.5, 1.0)
