"""Optimisers against their formulas in NumPy, and against torch.optim."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise, together

import bptt
from bptt.optim import Optimizer

STEPS = 6
SIZES = (1, 2, 7, 15, 16, 17, 33, 1000)


@dataclass(frozen=True)
class Case:
    """Constructor arguments, the rule in plain NumPy, and PyTorch's class with these arguments, if any."""

    kind: str
    options: dict[str, Any]
    rule: Callable[..., np.ndarray]
    torch: str

    def build(self, **options: Any) -> Optimizer:
        return getattr(bptt, self.kind)(**self.options | options)


def sgd(p, g, state, n, lr=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * p
    v = state["v"] = momentum * state.get("v", 0.0) + g
    return p - lr * (g + momentum * v if nesterov else v)


def rmsprop(
    p,
    g,
    state,
    n,
    lr=1e-2,
    alpha=0.99,
    momentum=0.0,
    eps=1e-8,
    centered=False,
    initial_accumulator=0.0,
    weight_decay=0.0,
):
    g = g + weight_decay * p
    s = state["s"] = alpha * state.get("s", initial_accumulator) + (1 - alpha) * g**2
    if centered:
        a = state["a"] = alpha * state.get("a", 0.0) + (1 - alpha) * g
        s = s - a**2
    v = state["v"] = momentum * state.get("v", 0.0) + g / (np.sqrt(s) + eps)
    return p - lr * v


def adam(
    p,
    g,
    state,
    n,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    amsgrad=False,
    weight_decay=0.0,
    decoupled=False,
):
    p, g = (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)
    m = state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * g**2
    if amsgrad:
        v = state["top"] = np.maximum(state.get("top", 0.0), v)
    return p - lr * (m / (1 - betas[0] ** n)) / (np.sqrt(v / (1 - betas[1] ** n)) + eps)


def adamw(p, g, state, n, weight_decay=1e-2, **options):
    return adam(p, g, state, n, weight_decay=weight_decay, decoupled=True, **options)


CASES = {
    "sgd": Case("SGD", {}, sgd, "SGD"),
    "sgd momentum": Case("SGD", {"lr": 0.1, "momentum": 0.9}, sgd, "SGD"),
    "sgd nesterov": Case(
        "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, sgd, "SGD"
    ),
    "rmsprop": Case("RMSProp", {}, rmsprop, "RMSprop"),
    "rmsprop all": Case(
        "RMSProp",
        {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "eps": 1e-3, "weight_decay": 0.2},
        rmsprop,
        "RMSprop",
    ),
    "rmsprop centered": Case("RMSProp", {"alpha": 0.9, "centered": True}, rmsprop, "RMSprop"),
    "rmsprop centered, all": Case(
        "RMSProp",
        {"alpha": 0.9, "centered": True, "momentum": 0.5, "eps": 1e-3, "weight_decay": 0.2},
        rmsprop,
        "RMSprop",
    ),
    "rmsprop without eps": Case("RMSProp", {"eps": 0.0}, rmsprop, "RMSprop"),
    "rmsprop that starts at 0.5": Case("RMSProp", {"initial_accumulator": 0.5}, rmsprop, ""),
    "adam": Case("Adam", {}, adam, "Adam"),
    "amsgrad": Case("Adam", {"betas": (0.5, 0.6), "amsgrad": True}, adam, "Adam"),
    "amsgrad of adamw": Case(
        "AdamW", {"betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1}, adamw, "AdamW"
    ),
    "adam all": Case(
        "Adam",
        {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.3},
        adam,
        "Adam",
    ),
    "adamw": Case("AdamW", {}, adamw, "AdamW"),
    "adamw all": Case(
        "AdamW",
        {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.3},
        adamw,
        "AdamW",
    ),
}


def model(size: int, dtype: str = "float64") -> bptt.Linear:
    """A model of `size` parameters."""
    return bptt.Linear(size, 1, bias=False, dtype=dtype, seed=1)


def gradients(size: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((STEPS, size))


def rounding(dtype: str) -> float:
    """A dozen roundings per step, on numbers around 1."""
    return 12 * STEPS * float(np.finfo(dtype).eps)


@together(pairwise(("name", CASES.keys()), ("dtype", ["float32", "float64"])))
def test_formula(name: str, dtype: str) -> None:
    for size in SIZES:
        case, net = CASES[name], model(size, dtype)
        optimizer, state = case.build(), {}
        p = net.flat_parameters.astype(np.float64)
        for n, g in enumerate(gradients(size).astype(dtype), 1):
            net.flat_gradients[:] = g
            optimizer.step(net)
            np.testing.assert_array_equal(net.flat_gradients, g)
            p = case.rule(p, g.astype(np.float64), state, n, **case.options)
        np.testing.assert_allclose(net.flat_parameters, p, rtol=rounding(dtype), atol=rounding(dtype))
        assert optimizer.steps == STEPS


def test_pytorch(subtests: pytest.Subtests) -> None:
    for name in [name for name, case in CASES.items() if case.torch]:
        with subtests.test(name):
            torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
            case, net = CASES[name], model(33)
            optimizer = case.build()
            weight = torch.nn.Parameter(torch.tensor(net.flat_parameters))
            options = dict(case.options)
            if case.kind == "SGD":
                options = {"lr": 1e-3} | options  # the one that had no default in PyTorch 2.2
            peer = getattr(torch.optim, case.torch)([weight], **options)
            for g in (
                np.random.default_rng(3).standard_normal((100, 33)) * np.geomspace(1, 1e-3, 100)[:, None]
            ):
                net.flat_gradients[:] = g
                optimizer.step(net)
                weight.grad = torch.from_numpy(g)
                peer.step()
            np.testing.assert_allclose(net.flat_parameters, weight.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_no_gradient_ever_moves_nothing(name: str) -> None:
    net = model(5, "float32")
    before = net.flat_parameters.copy()
    case = CASES[name]
    smallest = 0.0 if case.kind == "RMSProp" else 1e-30
    optimizer = case.build(weight_decay=0.0, **({} if case.kind == "SGD" else {"eps": smallest}))
    for _ in range(2):
        optimizer.step(net)
    np.testing.assert_array_equal(net.flat_parameters, before)


@pytest.mark.parametrize("name", CASES)
def test_state_goes_on_with_the_same_bits(name: str) -> None:
    case, whole, halves = CASES[name], model(33, "float32"), model(33, "float32")
    first, second = case.build(), case.build()
    unbroken = case.build()
    for n, g in enumerate(gradients(33)):
        whole.flat_gradients[:] = g
        unbroken.step(whole)
        halves.flat_gradients[:] = g
        if n == 3:
            second.load_state_dict(first.state_dict())
            first.load_state_dict(case.build().state_dict())  # the copy must not be the original
        (first if n < 3 else second).step(halves)
    np.testing.assert_array_equal(halves.flat_parameters, whole.flat_parameters)


def test_state_vectors_are_aligned_and_made_at_the_first_step() -> None:
    net, optimizer = model(7), bptt.Adam()
    assert optimizer.state_dict() == {"kind": "Adam", "steps": 0}
    optimizer.step(net)
    state = optimizer.state_dict()
    assert set(state) == {"kind", "steps", "m", "v"}
    state["m"][:] = 1
    assert not optimizer.state_dict()["m"].any()
    optimizer.load_state_dict(state)
    for vector in optimizer._state.values():
        assert vector.__array_interface__["data"][0] % 64 == 0
        assert vector.dtype == net.dtype


@pytest.mark.parametrize(("kind", "vectors"), [("SGD", set()), ("RMSProp", {"square"})])
def test_no_velocity_without_momentum(kind: str, vectors: set[str]) -> None:
    for momentum in (0.0, 0.5):
        net, optimizer = model(3), getattr(bptt, kind)(momentum=momentum)
        optimizer.step(net)
        expected = vectors | ({"velocity"} if momentum else set())
        assert set(optimizer.state_dict()) == {"kind", "steps"} | expected


def test_schedule() -> None:
    net = model(3)
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.5 / (1 + step)

    optimizer, p = bptt.SGD(schedule), net.flat_parameters.copy()
    for step, g in enumerate(gradients(3)):
        assert optimizer.lr == 0.5 / (1 + step)
        net.flat_gradients[:] = g
        optimizer.step(net)
        p -= optimizer.steps**-1 * 0.5 * g
    np.testing.assert_allclose(net.flat_parameters, p, atol=rounding("float64"))
    assert set(asked) == set(range(STEPS))
    assert optimizer.schedule is optimizer.given_lr is schedule
    optimizer.lr = 0.25
    assert optimizer.lr == 0.25
    assert optimizer.schedule is None


BAD_OPTIONS = {
    "negative lr": ("SGD", {"lr": -1.0}, ValueError, "lr must"),
    "infinite lr": ("SGD", {"lr": math.inf}, ValueError, "lr must"),
    "lr of text": ("Adam", {"lr": "fast"}, TypeError, "lr must"),
    "momentum 1": ("SGD", {"momentum": 1.0}, ValueError, "momentum must"),
    "momentum 1 of RMSProp": ("RMSProp", {"momentum": 1.0}, ValueError, "momentum must"),
    "nesterov alone": ("SGD", {"nesterov": True}, ValueError, "nesterov"),
    "alpha 1": ("RMSProp", {"alpha": 1.0}, ValueError, "alpha must"),
    "eps 0": ("Adam", {"eps": 0.0}, ValueError, "eps must"),
    "eps 1e-31": ("RMSProp", {"eps": 1e-31}, ValueError, "eps must"),
    "eps a bool": ("RMSProp", {"eps": False}, TypeError, "eps must"),
    "centered a number": ("RMSProp", {"centered": 1}, TypeError, "centered must"),
    "amsgrad a number": ("AdamW", {"amsgrad": 1}, TypeError, "amsgrad must"),
    "negative accumulator": ("RMSProp", {"initial_accumulator": -1}, ValueError, "initial_accumulator must"),
    "accumulator beyond float32": (
        "RMSProp",
        {"initial_accumulator": 1e39},
        ValueError,
        "initial_accumulator",
    ),
    "decay of text": ("SGD", {"weight_decay": "a"}, TypeError, "weight_decay must"),
    "negative decay of a pattern": ("SGD", {"weight_decay": {"*": -1}}, ValueError, r"weight_decay\['\*'\]"),
    "decay of a pattern that is no text": ("SGD", {"weight_decay": {1: 1}}, TypeError, "weight_decay must"),
    "NaN": ("RMSProp", {"weight_decay": math.nan}, ValueError, "weight_decay must"),
    "one beta": ("Adam", {"betas": (0.9,)}, ValueError, "betas must"),
    "betas a number": ("Adam", {"betas": 0.9}, ValueError, "betas must"),
    "first beta 1": ("Adam", {"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must"),
    "beta 1": ("AdamW", {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must"),
    "negative decay": ("AdamW", {"weight_decay": -0.1}, ValueError, "weight_decay must"),
}


def test_bad_options(subtests: pytest.Subtests) -> None:
    for name in BAD_OPTIONS:
        with subtests.test(name):
            kind, options, error, message = BAD_OPTIONS[name]
            with pytest.raises(error, match=message):
                getattr(bptt, kind)(**options)


def test_schedule_that_leaves_the_range_changes_nothing() -> None:
    net, optimizer = model(3), bptt.Adam(lambda step: math.nan)
    before = net.flat_parameters.copy()
    with pytest.raises(ValueError, match=r"lr\(0\) must"):
        optimizer.step(net)
    np.testing.assert_array_equal(net.flat_parameters, before)
    assert optimizer.steps == 0


def test_a_state_that_is_no_mapping() -> None:
    with pytest.raises(TypeError, match="state must be a mapping; got int"):
        bptt.Adam().load_state_dict(3)  # type: ignore[arg-type]


def test_another_model_is_refused() -> None:
    optimizer = bptt.Adam()
    optimizer.step(model(3))
    with pytest.raises(ValueError, match="3 parameters in float64; got 4 in float64"):
        optimizer.step(model(4))
    with pytest.raises(ValueError, match="got 3 in float32"):
        optimizer.step(model(3, "float32"))


VECTOR = np.zeros(3)
BAD_STATES = {
    "another kind": {"kind": "AdamW", "steps": 1, "m": VECTOR, "v": VECTOR},
    "no kind": {"steps": 1, "m": VECTOR, "v": VECTOR},
    "negative steps": {"kind": "Adam", "steps": -1, "m": VECTOR, "v": VECTOR},
    "steps not a number": {"kind": "Adam", "steps": "1", "m": VECTOR, "v": VECTOR},
    "vectors missing": {"kind": "Adam", "steps": 1},
    "a vector missing": {"kind": "Adam", "steps": 1, "m": VECTOR},
    "a vector unknown": {"kind": "Adam", "steps": 1, "m": VECTOR, "v": VECTOR, "w": VECTOR},
    "two lengths": {"kind": "Adam", "steps": 1, "m": VECTOR, "v": VECTOR[:2]},
    "two dtypes": {"kind": "Adam", "steps": 1, "m": VECTOR, "v": VECTOR.astype(np.float32)},
    "two axes": {"kind": "Adam", "steps": 1, "m": VECTOR[None], "v": VECTOR[None]},
    "integers": {"kind": "Adam", "steps": 1, "m": VECTOR.astype(int), "v": VECTOR.astype(int)},
}


def test_bad_state_changes_nothing(subtests: pytest.Subtests) -> None:
    for name in BAD_STATES:
        with subtests.test(name):
            net, optimizer = model(3), bptt.Adam()
            net.flat_gradients[:] = 1
            optimizer.step(net)
            before = optimizer.state_dict()
            with pytest.raises(ValueError, match="state"):
                optimizer.load_state_dict(BAD_STATES[name])
            after = optimizer.state_dict()
            assert after["steps"] == before["steps"]
            np.testing.assert_array_equal(after["m"], before["m"])
