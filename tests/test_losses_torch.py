"""Every loss and option against PyTorch: value and gradient, with masks, weights and reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise

import bptt
from bptt.losses import Loss

torch = pytest.importorskip("torch", reason="PyTorch is the peer of these tests")

SHAPE, C = (7, 3, 5), 5
LEVELS = (0.1, 0.5, 0.9)
WEIGHTS = [0.5, 2.0, 0.0, 1.5, 1.0]
IGNORED = -100


def classes(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, C, SHAPE[:-1])


def ignored_classes(rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(SHAPE[:-1]) < 0.3, IGNORED, classes(rng))


def numbers(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(SHAPE)


def probabilities(rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(SHAPE) < 0.5, rng.integers(0, 2, SHAPE), rng.random(SHAPE))


def cross_entropy(y: Any, target: Any, weight: Any, smoothing: float = 0.0) -> tuple[Any, Any]:
    """PyTorch's losses of the rows, and the weights of the mean."""
    function = torch.nn.functional.cross_entropy
    options = {"ignore_index": IGNORED, "reduction": "none"}
    losses = function(y, target, weight, label_smoothing=smoothing, **options)
    divisor = (torch.ones(C) if weight is None else weight).double()[target.clamp(min=0)]
    return losses, divisor * (target != IGNORED)


def elementwise(name: str, **options: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    """PyTorch's losses of the rows, means over features, and weights 1."""

    def function(y: Any, target: Any) -> tuple[Any, Any]:
        losses = getattr(torch.nn.functional, name)(y, target, reduction="none", **options)
        return losses.mean(-1), torch.ones(len(y)).double()

    return function


def pinball(y: Any, target: Any) -> tuple[Any, Any]:
    error = target.unsqueeze(-1) - y.reshape(len(y), -1, len(LEVELS))
    levels = tensor([*LEVELS])
    return torch.maximum(levels * error, (levels - 1) * error).mean((-1, -2)), torch.ones(len(y)).double()


def tensor(values: list[float]) -> Any:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """A class and its options, targets, and PyTorch's losses (N,) and weights (N,) of rows (N, C)."""

    kind: Callable[..., Loss]
    target: Callable[[np.random.Generator], np.ndarray]
    peer: Callable[[Any, Any], tuple[Any, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    columns: int = C
    terms: int = C


CASES = {
    "cross entropy": Case(bptt.CrossEntropy, classes, lambda y, t: cross_entropy(y, t, None), terms=1),
    "class weights": Case(
        bptt.CrossEntropy,
        classes,
        lambda y, t: cross_entropy(y, t, tensor(WEIGHTS)),
        {"class_weight": WEIGHTS},
        terms=1,
    ),
    "smoothing": Case(
        bptt.CrossEntropy,
        classes,
        lambda y, t: cross_entropy(y, t, None, 0.2),
        {"label_smoothing": 0.2},
        terms=1,
    ),
    "ignored": Case(
        bptt.CrossEntropy,
        ignored_classes,
        lambda y, t: cross_entropy(y, t, None),
        {"ignore_index": IGNORED},
        terms=1,
    ),
    "all options of classes": Case(
        bptt.CrossEntropy,
        ignored_classes,
        lambda y, t: cross_entropy(y, t, tensor(WEIGHTS), 0.1),
        {"class_weight": np.array(WEIGHTS), "label_smoothing": 0.1, "ignore_index": IGNORED},
        terms=1,
    ),
    "binary": Case(bptt.BinaryCrossEntropy, probabilities, elementwise("binary_cross_entropy_with_logits")),
    "positive weight": Case(
        bptt.BinaryCrossEntropy,
        probabilities,
        elementwise("binary_cross_entropy_with_logits", pos_weight=tensor([3.0])),
        {"pos_weight": 3.0},
    ),
    "positive weights": Case(
        bptt.BinaryCrossEntropy,
        probabilities,
        elementwise("binary_cross_entropy_with_logits", pos_weight=tensor(WEIGHTS)),
        {"pos_weight": WEIGHTS},
    ),
    "squared error": Case(bptt.MeanSquaredError, numbers, elementwise("mse_loss")),
    "absolute error": Case(bptt.MeanAbsoluteError, numbers, elementwise("l1_loss")),
    "huber": Case(bptt.Huber, numbers, elementwise("huber_loss")),
    "huber 0.3": Case(bptt.Huber, numbers, elementwise("huber_loss", delta=0.3), {"delta": 0.3}),
    "quantile": Case(
        bptt.Quantile, numbers, pinball, {"levels": LEVELS}, columns=C * len(LEVELS), terms=C * len(LEVELS)
    ),
}


def compare(name: str, dtype: str, weighted: bool, masked: bool, reduction: str) -> None:
    case, rng = CASES[name], np.random.default_rng(5)
    y = 3 * rng.standard_normal((*SHAPE[:-1], case.columns)).astype(dtype)
    target = case.target(rng).astype(dtype if case.target in (numbers, probabilities) else np.int64)
    mask = rng.random(SHAPE[:-1]) < 0.7 if masked else None
    weight = rng.integers(0, 3, SHAPE[:-1]) * 0.7 if weighted else None

    peer_y = torch.tensor(y.astype(np.float64), requires_grad=True)
    peer_target = torch.from_numpy(target.astype(np.float64) if target.dtype.kind == "f" else target)
    rows = peer_y.flatten(0, 1)
    losses, divisor = case.peer(rows, peer_target.reshape(len(rows), *target.shape[2:]))
    factor = torch.ones(len(rows)).double()
    if weight is not None:
        factor = factor * torch.from_numpy(weight).flatten()
    if mask is not None:
        factor = factor * torch.from_numpy(mask).flatten()
    expected = (factor * losses).sum()
    expected = expected / (factor * divisor).sum() if reduction == "mean" else expected * case.terms
    expected.backward()

    loss = case.kind(**case.options, reduction=reduction)
    value, dy = loss(y, target, mask, weight)
    # A few roundings of each term, and of their sum, in units of the largest sum of absolute terms.
    tolerance = 1e-12 if dtype == "float64" else 2e-6
    assert type(value) is float
    assert value == pytest.approx(expected.item(), rel=tolerance)
    assert dy.dtype == dtype
    largest = float(peer_y.grad.abs().max())
    np.testing.assert_allclose(dy, peer_y.grad, rtol=0, atol=tolerance * largest)
    assert loss.value(y, target, mask, weight) == value
    total = float((factor * divisor).sum())
    assert loss.total_weight(target, y.shape, mask, weight) == pytest.approx(total, rel=1e-13)


@pairwise(
    ("dtype", ["float64", "float32"]),
    ("weighted", [False, True]),
    ("masked", [False, True]),
    ("reduction", ["mean", "sum"]),
)
def test_pytorch(dtype: str, weighted: bool, masked: bool, reduction: str, subtests: pytest.Subtests) -> None:
    for name in CASES:
        with subtests.test(name):
            compare(name, dtype, weighted, masked, reduction)


def test_derivatives_at_the_kinks(subtests: pytest.Subtests) -> None:
    """y = target, and Huber's corners: the derivatives that PyTorch chooses."""
    y = np.array([[0.0, 1.0, -1.0, 2.0]])
    for name, loss in (("l1_loss", bptt.MeanAbsoluteError()), ("huber_loss", bptt.Huber())):
        with subtests.test(name):
            peer = torch.tensor(y, requires_grad=True)
            getattr(torch.nn.functional, name)(peer, torch.zeros(1, 4).double()).backward()
            np.testing.assert_array_equal(loss(y, np.zeros((1, 4)))[1], peer.grad)
