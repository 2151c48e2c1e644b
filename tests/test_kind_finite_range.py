"""Kind "finite in, infinite or NaN inside": extreme values in float32 against float64."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.grids import in_turn, together

import bptt
from bptt.optim import SGD, Adam, AdamW, Optimizer, RMSProp

VALUES = [sign * value for value in (0.0, 1e-38, 1e-20, 1.0, 1e19, 3e38) for sign in (1, -1)]
SEQUENCES = np.array(list(itertools.product(VALUES, VALUES, [0.0, 1.0, -3e38]))).T
"""Gradients of 3 updates for as many parameters as there are combinations."""

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "momentum": lambda **options: SGD(momentum=0.5, **options),
    "nesterov": lambda **options: SGD(momentum=0.5, nesterov=True, **options),
    "rmsprop": RMSProp,
    "rmsprop momentum": lambda **options: RMSProp(momentum=0.9, **options),
    "rmsprop centered": lambda **options: RMSProp(centered=True, **options),
    "rmsprop without eps": lambda **options: RMSProp(**{"eps": 0.0} | options),
    "amsgrad": lambda **options: Adam(amsgrad=True, **options),
    "adam": Adam,
    "adam short": lambda **options: Adam(betas=(0.5, 0.0), **options),
    "adamw": AdamW,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weight decay": {"weight_decay": 0.1},
    "smallest eps": {"eps": 1e-30},
}
CASES = [
    (kind, options)
    for kind in OPTIMIZERS
    for options in OPTIONS
    if options != "smallest eps" or "eps" in inspect.signature(type(OPTIMIZERS[kind]())).parameters
]
LARGEST = float(np.finfo(np.float32).max)
ROUNDING = 32 * float(np.finfo(np.float32).eps)
"""A dozen roundings for each of 3 updates."""


def linear(size: int, dtype: str) -> bptt.Linear:
    net = bptt.Linear(size, 1, bias=False, dtype=dtype, seed=1)
    net.flat_parameters[...] = np.linspace(-1, 1, size).astype(np.float32)
    return net


def vectors(optimizer: Optimizer) -> dict[str, np.ndarray]:
    return {name: value for name, value in optimizer.state_dict().items() if isinstance(value, np.ndarray)}


@together(in_turn(("kind, options", CASES), ("isa", bptt.available_isas())))
def test_float32_matches_float64(kind: str, options: str, isa: str) -> None:
    bptt.use_isa(isa)
    gradients = SEQUENCES.astype(np.float32)
    if kind == "rmsprop without eps":  # its step does not depend on the size of a gradient
        gradients[np.abs(gradients) < np.finfo(np.float32).tiny] = 0  # the core reads subnormal numbers as 0
    narrow, wide = (linear(gradients.shape[1], dtype) for dtype in ("float32", "float64"))
    optimizer, exact = (OPTIMIZERS[kind](**OPTIONS[options]) for _ in range(2))
    scale = np.maximum(np.abs(wide.flat_parameters), 0.02)  # an update of Adam is at most about 0.01
    representable = np.ones(scale.shape, bool)
    for gradient in gradients:
        for net, steps in ((narrow, optimizer), (wide, exact)):
            net.flat_gradients[...] = gradient
            steps.step(net)
        result = wide.flat_parameters
        assert np.isfinite(narrow.flat_parameters[np.abs(result) < LARGEST]).all()
        assert all(np.isfinite(vector).all() for vector in vectors(optimizer).values())
        scale = np.maximum(scale, np.abs(result))
        representable &= scale < LARGEST
        if "velocity" in vectors(exact):
            representable &= np.abs(vectors(exact)["velocity"]) < LARGEST
        error = np.abs(narrow.flat_parameters[representable] - result[representable])
        assert (error <= ROUNDING * scale[representable]).all()
    assert representable.mean() > 0.7


@pytest.mark.parametrize("kind", ["rmsprop", "rmsprop momentum", "adam", "adamw"])
def test_float64_gradients_whose_squares_overflow(kind: str) -> None:
    results = []
    for factor in (1.0, 1e170):
        net, optimizer = linear(33, "float64"), OPTIMIZERS[kind](eps=1e-30)
        for gradient in np.random.default_rng(0).standard_normal((3, 33)):
            net.flat_gradients[...] = factor * gradient
            optimizer.step(net)
        assert all(np.isfinite(vector).all() for vector in vectors(optimizer).values())
        results.append(net.flat_parameters.copy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_state_of_huge_gradients_continues_with_the_same_bits(kind: str) -> None:
    nets = [linear(SEQUENCES.shape[1], "float32") for _ in range(2)]
    whole, first, second = (OPTIMIZERS[kind]() for _ in range(3))
    for number, gradient in enumerate(SEQUENCES.astype(np.float32)):
        if number == 1:
            second.load_state_dict(first.state_dict())
        for net, optimizer in zip(nets, (whole, second if number else first), strict=True):
            net.flat_gradients[...] = gradient
            optimizer.step(net)
    np.testing.assert_array_equal(nets[0].flat_parameters, nets[1].flat_parameters)


def test_an_infinite_gradient_stays_visible() -> None:
    for kind, make in OPTIMIZERS.items():
        net = linear(5, "float32")
        net.flat_gradients[2] = np.inf
        make().step(net)
        assert np.isfinite(net.flat_parameters[[0, 1, 3, 4]]).all(), kind
        assert not np.isfinite(net.flat_parameters[2]), kind


@pytest.mark.parametrize("isa", bptt.available_isas())
def test_losses(isa: str) -> None:
    bptt.use_isa(isa)
    y = np.array(list(itertools.product(VALUES, VALUES))).reshape(-1, 6)
    turned = y[:, ::-1]
    shares = np.linspace(0, 1, y.size).reshape(y.shape)
    classes = np.arange(len(y)) % 6
    for loss, target in (
        (bptt.MeanSquaredError(), turned),
        (bptt.BinaryCrossEntropy(), shares),
        (bptt.CrossEntropy(), classes),
        (bptt.MeanAbsoluteError(), turned),
        (bptt.Huber(2.0), turned),
        (bptt.Quantile(0.3), turned),
        (bptt.BinaryCrossEntropy(pos_weight=2.0), shares),
        (bptt.CrossEntropy(class_weight=np.arange(1, 7), label_smoothing=0.25), classes),
    ):
        # The core reads subnormal numbers as 0. Only losses with a kink at y = target show the difference.
        kink = isinstance(loss, (bptt.MeanAbsoluteError, bptt.Quantile))
        y32 = (np.where(np.abs(y) < 1e-37, 0, y) if kink else y).astype(np.float32)
        target = target if target.dtype.kind == "i" else target.astype(np.float32)
        target = np.where(np.abs(target) < 1e-37, 0, target) if kink else target
        value, dy = loss(y32, target)
        exact, exact_dy = loss(y32.astype(np.float64), target)
        assert value == pytest.approx(exact, rel=ROUNDING), loss
        # With weights, a derivative is a difference of rounded terms, each at most the largest derivative.
        weighted = "weight" in repr(loss)
        atol = 4 * np.finfo(np.float32).eps * np.abs(exact_dy).max() if weighted else 1e-37
        np.testing.assert_allclose(dy, exact_dy, rtol=ROUNDING, atol=atol)
