"""Losses and their gradients against the formulas in NumPy, and against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise, together

import bptt


@dataclass(frozen=True)
class Case:
    """A loss, targets for it, and per row what it should be: the value, and its gradient."""

    loss: Any
    target: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    expected: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    torch: str


def softmax_cross_entropy(y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = y - y.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    chosen = np.eye(y.shape[-1])[target]
    return -(log_p * chosen).sum(axis=-1), np.exp(log_p) - chosen


def squared_error(y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ((y - target) ** 2).mean(axis=-1), 2 * (y - target) / y.shape[-1]


def logistic_cross_entropy(y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value = np.logaddexp(0, y) - target * y
    return value.mean(axis=-1), (1 / (1 + np.exp(-y)) - target) / y.shape[-1]


CASES = {
    "cross_entropy": Case(
        bptt.CrossEntropy(),
        lambda rng, shape: rng.integers(0, shape[-1], shape[:-1]),
        softmax_cross_entropy,
        "cross_entropy",
    ),
    "mean_squared_error": Case(
        bptt.MeanSquaredError(), lambda rng, shape: rng.standard_normal(shape), squared_error, "mse_loss"
    ),
    "binary_cross_entropy": Case(
        bptt.BinaryCrossEntropy(),
        lambda rng, shape: rng.random(shape),
        logistic_cross_entropy,
        "binary_cross_entropy_with_logits",
    ),
}
SHAPES = ((1, 1), (7, 2), (3, 5, 33), (50, 4, 16), (2, 600, 1))


def bound(dtype: Any, shape: tuple[int, ...], largest: float) -> float:
    """Rounding of a few operations on numbers up to `largest`, and of their sum, taken in pairs."""
    return 4 * (1 + np.ceil(np.log2(np.prod(shape)))) * float(np.finfo(dtype).eps) * (1 + largest)


@together(
    pairwise(
        ("name", CASES.keys()),
        ("dtype", ["float32", "float64"]),
        ("shape", SHAPES),
        ("masked", [False, True]),
    )
)
def test_value_and_gradient(name: str, dtype: str, shape: tuple[int, ...], masked: bool) -> None:
    case, rng = CASES[name], np.random.default_rng(3)
    y = (3 * rng.standard_normal(shape)).astype(dtype)
    target = case.target(rng, shape)
    if target.dtype == np.float64:
        target = target.astype(dtype)
    mask = rng.random(shape[:-1]) < 0.6 if masked else np.ones(shape[:-1], bool)
    mask.flat[0] = True
    value, dy = case.loss(y, target, mask if masked else None)

    rows, drows = case.expected(y.astype(np.float64), target)
    atol = bound(dtype, shape, float(np.abs(y).max()) ** 2)
    assert isinstance(value, float)
    assert value == pytest.approx(rows[mask].mean(), rel=0, abs=atol)
    assert dy.shape == shape
    assert dy.dtype == dtype
    np.testing.assert_allclose(
        dy, np.where(mask[..., None], drows, 0) / mask.sum(), rtol=0, atol=atol / mask.sum()
    )
    assert (dy[~mask] == 0).all()
    assert case.loss.value(y, target, mask if masked else None) == value


@pytest.mark.parametrize("name", CASES)
def test_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    case, rng, shape = CASES[name], np.random.default_rng(4), (11, 3, 9)
    y = 3 * rng.standard_normal(shape)
    target = case.target(rng, shape)
    value, dy = case.loss(y, target)
    y_peer = torch.tensor(y, requires_grad=True)
    target_peer = torch.from_numpy(target)
    if name == "cross_entropy":
        peer = torch.nn.functional.cross_entropy(y_peer.flatten(0, 1), target_peer.flatten())
    else:
        peer = getattr(torch.nn.functional, case.torch)(y_peer, target_peer)
    peer.backward()
    atol = bound("float64", shape, float(np.abs(y).max()) ** 2)
    assert value == pytest.approx(peer.item(), rel=0, abs=atol)
    np.testing.assert_allclose(dy, y_peer.grad, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_masked_rows_may_hold_anything(name: str, dtype: str) -> None:
    case, rng = CASES[name], np.random.default_rng(5)
    y = rng.standard_normal((6, 4, 5)).astype(dtype)
    target = case.target(rng, y.shape)
    mask = rng.random((6, 4)) < 0.5
    expected = case.loss(y, target, mask)
    y[~mask] = np.nan
    target[~mask] = 10**9 if target.dtype.kind == "i" else np.nan
    value, dy = case.loss(y, target, mask)
    assert value == expected[0]
    np.testing.assert_array_equal(dy, expected[1])


@pytest.mark.parametrize("shape", [(3, 2, 4), (0, 2, 4)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_nothing_that_counts(name: str, shape: tuple[int, ...]) -> None:
    case = CASES[name]
    target = case.target(np.random.default_rng(6), shape)
    value, dy = case.loss(np.ones(shape, np.float32), target, np.zeros(shape[:-1], bool))
    assert value == 0.0
    assert dy.shape == shape
    assert not dy.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits_stay_finite(dtype: str) -> None:
    y = np.array([[1e4, -1e4, 0.0]], dtype)
    value, dy = bptt.CrossEntropy()(y, [1])
    assert value == pytest.approx(2e4, rel=float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(dy, [[1, -1, 0]])
    value, dy = bptt.BinaryCrossEntropy()(y, [[0.0, 1.0, 0.0]])
    assert value == pytest.approx((2e4 + np.log(2)) / 3, rel=4 * float(np.finfo(dtype).eps))
    np.testing.assert_allclose(dy, np.array([[1, -1, 0.5]]) / 3, rtol=4 * np.finfo(dtype).eps)


def test_layout_of_the_arrays_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    y, target = rng.standard_normal((4, 6, 5)), rng.integers(0, 5, (4, 6))
    value, dy = bptt.CrossEntropy()(y, target)
    turned, dturned = bptt.CrossEntropy()(y.swapaxes(0, 1).copy().swapaxes(0, 1), target.T.copy().T)
    assert turned == value
    np.testing.assert_array_equal(dturned, dy)


Y = np.zeros((3, 2, 4), np.float32)
IDS = np.zeros((3, 2), np.int64)
BAD = {
    "y of one axis": ("CrossEntropy", (Y[0, 0], 0), ValueError, "y must"),
    "y of text": ("CrossEntropy", ("abc", IDS), TypeError, "y must"),
    "target of another shape": ("CrossEntropy", (Y, IDS[:2]), ValueError, "target must"),
    "target with the class axis": ("CrossEntropy", (Y, IDS[..., None]), ValueError, "target must"),
    "target of floats": ("CrossEntropy", (Y, IDS.astype(float)), TypeError, "target must"),
    "class too large": ("CrossEntropy", (Y, IDS + 4), ValueError, "target"),
    "class negative": ("CrossEntropy", (Y, IDS - 1), ValueError, "target"),
    "target that would broadcast": ("MeanSquaredError", (Y, Y[:1]), ValueError, "target must"),
    "target beyond float32": ("MeanSquaredError", (Y, Y.astype(float) + 1e300), ValueError, "target must"),
    "target of complex": ("MeanSquaredError", (Y, Y + 1j), TypeError, "target must"),
    "target above 1": ("BinaryCrossEntropy", (Y, Y + 1.5), ValueError, "target must"),
    "target below 0": ("BinaryCrossEntropy", (Y, Y - 0.5), ValueError, "target must"),
    "target NaN": ("BinaryCrossEntropy", (Y, Y + np.nan), ValueError, "target must"),
    "mask of integers": ("CrossEntropy", (Y, IDS, IDS), TypeError, "mask must"),
    "mask with the class axis": ("CrossEntropy", (Y, IDS, Y == 0), ValueError, "mask must"),
}


def test_bad_input(subtests: pytest.Subtests) -> None:
    for name in BAD:
        with subtests.test(name):
            loss, arguments, error, message = BAD[name]
            with pytest.raises(error, match=message):
                getattr(bptt, loss)()(*arguments)
