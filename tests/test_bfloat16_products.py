"""Products of bfloat16 operands are one chain of float32 sums: the same bits on every instruction set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.product_forms import forms

from bptt import _core

Floats = npt.NDArray[np.float32]

SHAPES = ((1, 1, 1), (3, 2, 5), (7, 31, 16), (1, 33, 70), (40, 64, 48), (33, 517, 65), (2, 2100, 3))
"""Rows, depth, columns: of one and of several panels, tiles, and blocks of depth."""


def rounded(x: Floats) -> Floats:
    """Return x rounded to bfloat16, to nearest with ties to even, as float32."""
    bits = x.view(np.uint32)
    kept = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return kept.astype(np.uint32).view(np.float32)


def chain(a: Floats, b: Floats) -> Floats:
    """Return a @ b of rounded operands, summed from the first product to the last. Each product is exact."""
    a, b = rounded(a), rounded(b)
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total += a[:, k, None] * b[None, k]
    return total


def test_products_are_chains_of_rounded_operands(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(0)
    for form in forms():
        for rows, depth, columns in SHAPES:
            with subtests.test(**form, shape=(rows, depth, columns)):
                x = rng.standard_normal((rows, depth)).astype(np.float32)
                weight = rng.standard_normal((columns, depth)).astype(np.float32)
                dy = rng.standard_normal((rows, columns)).astype(np.float32)
                dweight = np.zeros_like(weight)
                y = _core.linear_forward(x, weight, None, "bfloat16")
                dx = _core.linear_backward(x, weight, dy, dweight, None, True, "bfloat16")
                np.testing.assert_array_equal(y, chain(x, np.ascontiguousarray(weight.T)))
                np.testing.assert_array_equal(dx, chain(dy, weight))
                np.testing.assert_array_equal(dweight, chain(np.ascontiguousarray(dy.T), x))


def test_special_numbers_pass_through() -> None:
    large = np.float32(3.3961775e38)  # rounds to infinity
    x = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [large, 1], [-0.0, -0.0], [1e-45, 1]], np.float32)
    weight = np.array([[1, 0.5]], np.float32)
    for _ in forms():
        y = _core.linear_forward(x, weight, None, "bfloat16")[:, 0]
        np.testing.assert_array_equal(y, np.array([np.nan, np.inf, -np.inf, np.inf, 0, 0.5], np.float32))
