"""Products of int8 operands: the same bits on every instruction set, and those of exact integer sums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.product_forms import forms

from bptt import _core

Floats = npt.NDArray[np.float32]

BLOCK = 1024
"""Products in an exact sum."""

SHAPES = (
    *((1, 1, 1), (2, 3, 5), (5, 4, 16), (3, 5, 17), (7, 16, 33), (1, 17, 70), (33, 64, 65)),
    *((6, 1024, 3), (1, 1025, 2), (40, 2100, 48)),
)
"""Rows, depth, columns: of one and of several panels, tiles, and blocks of depth."""


def integers(x: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return each row as integers, and its scale with 17 bits."""
    largest = np.abs(x).max(axis=1, initial=0)
    finite = np.isfinite(largest)
    used = finite & (largest >= np.float32(2.0**-116))
    bits = (largest / np.float32(127)).view(np.uint32) + np.uint32(0x40)
    scales = np.where(used, (bits & ~np.uint32(0x7F)).view(np.float32), np.float32(0))
    inverses = np.float32(127) / np.where(used, largest, np.float32(1))
    q = np.rint(np.where(used[:, None], x, 0) * inverses[:, None]).astype(np.int64)
    return q, np.where(finite, scales, np.float32(np.nan)).astype(np.float32)


def product(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Return bias + x @ weight.T: each exact sum is scaled, and then added."""
    (a, a_scales), (b, b_scales) = integers(x), integers(weight)
    y = np.broadcast_to(bias, (len(x), len(weight))).astype(np.float32)
    for k in range(0, x.shape[1], BLOCK):
        total = (a[:, k : k + BLOCK] @ b[:, k : k + BLOCK].T).astype(np.float32)
        y = y + total * b_scales * a_scales[:, None]
    return y


def test_products_are_exact_sums_of_integers(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(0)
    for form in forms():
        names = {"generic": {"emulated"}, "avx2": {"vpmaddubsw"}, "avx512": {"emulated", "vpdpbusd"}}
        assert _core.instruction_of("int8") in ({"emulated"} if form["emulate"] else names[str(form["isa"])])
        for rows, depth, columns in SHAPES:
            with subtests.test(**form, shape=(rows, depth, columns)):
                x = rng.standard_normal((rows, depth)).astype(np.float32)
                weight = rng.standard_normal((columns, depth)).astype(np.float32)
                bias = rng.standard_normal(columns).astype(np.float32)
                y = _core.PackedLinear(weight, bias, "int8").forward(x)
                np.testing.assert_array_equal(y, product(x, weight, bias))


def test_the_error_of_a_product_is_bounded(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(3)
    for rows, depth, columns in SHAPES:
        for tails in (1, 3, 9):  # powers: a few numbers much larger than the others
            with subtests.test(shape=(rows, depth, columns), tails=tails):
                x = (rng.standard_normal((rows, depth)) ** tails).astype(np.float32)
                weight = (rng.standard_normal((columns, depth)) ** tails).astype(np.float32)
                y = _core.PackedLinear(weight, None, "int8").forward(x)
                magnitudes, weights = np.abs(x.astype(float)), np.abs(weight.astype(float))
                largest, largest_weights = magnitudes.max(axis=1)[:, None], weights.max(axis=1)
                bound = magnitudes.sum(axis=1)[:, None] * largest_weights + largest * weights.sum(axis=1)
                bound += depth * largest * largest_weights / 254
                assert np.all(np.abs(y - x.astype(float) @ weight.T.astype(float)) <= bound / 253)


def test_the_largest_sums_fit() -> None:
    x = np.full((3, 2048), 3.0, np.float32)
    weight = np.full((18, 2048), -0.7, np.float32)
    weight[1::2] *= -1
    for _ in forms():
        for sign in (1, -1):
            y = _core.PackedLinear(weight, None, "int8").forward(sign * x)
            np.testing.assert_array_equal(y, product(sign * x, weight, np.zeros(18, np.float32)))
            np.testing.assert_allclose(y, sign * x.astype(np.float64) @ weight.T, rtol=1e-5)


def test_rows_of_any_magnitude(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((8, 21)).astype(np.float32)
    factors = np.array([0, 1e-45, 1e-38, 1e-35, 1e-30, 1, 1e30, 1e32], np.float32)
    x = values / np.abs(values).max(axis=1, keepdims=True) * factors[:, None]
    x[5] = 0.5  # constant
    weight = np.ascontiguousarray(np.vstack([values, np.zeros((1, 21)), np.ones((1, 21))]), np.float32)
    bias = np.arange(10, dtype=np.float32)
    for form in forms():
        for name, rows, columns in (("rows", x, weight), ("columns", weight, x)):
            with subtests.test(**form, name=name):
                y = _core.PackedLinear(columns, bias[: len(columns)], "int8").forward(rows)
                np.testing.assert_array_equal(y, product(rows, columns, bias[: len(columns)]))


def test_nan_and_infinity_show_in_the_output() -> None:
    x = np.ones((4, 70), np.float32)
    x[0, 3], x[1, 69], x[2, 0] = np.nan, np.inf, -np.inf
    weight = np.ones((3, 70), np.float32)
    weight[1, 17] = np.nan
    expected = np.full((4, 3), np.nan, np.float32)
    expected[3, ::2] = 70
    for _ in forms():
        y = _core.PackedLinear(weight, None, "int8").forward(x)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
        np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_multiples_of_a_scale_are_converted_to_themselves() -> None:
    rng = np.random.default_rng(2)
    weight = (rng.standard_normal((2000, 9)) * 10.0 ** rng.uniform(-30, 30, (2000, 1))).astype(np.float32)
    q, scales = integers(weight)
    multiples = (q * scales[:, None]).astype(np.float32)
    again, scales_again = integers(multiples)
    np.testing.assert_array_equal(again, q)
    np.testing.assert_array_equal(scales_again, scales)
    x = rng.standard_normal((2, 9)).astype(np.float32)
    for _ in forms():
        first, second = (_core.PackedLinear(w, None, "int8").forward(x) for w in (weight, multiples))
        np.testing.assert_array_equal(first, second)
