"""Finite in, infinite or NaN inside: float32 kernels on values of every size, against float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS, build
from tests.grids import pairwise

import bptt
from bptt import _core

MAGNITUDES = (0.0, 1e-38, 1e-20, 1.0, 1e19, 3e38)
VALUES = np.array([sign * size for size in MAGNITUDES for sign in (1, -1)])
T, B, I, H = 3, 12, 4, 8
LARGEST = float(np.finfo(np.float32).max)


def spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Every value turns up, on every axis with others beside it; exact in float32."""
    count = int(np.prod(shape))
    return rng.permutation(np.resize(VALUES, count)).reshape(shape).astype(np.float32).astype(np.float64)


def careful(layer: bptt.Module) -> bptt.Module:
    """Weights whose sums over any inputs stay below the largest of them: no pre-activation overflows."""
    for name, value in layer.parameters.items():
        if name.startswith("weight") and value.ndim == 2:
            value /= 4 * np.abs(value).sum(axis=1, keepdims=True)
    return layer


def twins(cell: str, **options: Any) -> tuple[bptt.Module, bptt.Module]:
    narrow = careful(build(cell, I, H, dtype="float32", **options))
    wide = build(cell, I, H, dtype="float64", **options)
    wide.flat_parameters[:] = narrow.flat_parameters
    return narrow, wide


def agree(found: Any, wanted: Any, what: str, close: bool = True, rtol: float = 2e-3) -> None:
    """Finite wherever the true value is one of float32, and as close as rounding of its neighbours allows."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted)
    in_range = np.abs(wanted) < LARGEST / 64
    assert np.isfinite(wanted).all(), what
    assert np.isfinite(found[in_range]).all(), what
    if not close:
        return
    scale = np.max(np.abs(wanted), where=in_range, initial=0.0)
    np.testing.assert_allclose(
        found[in_range], wanted[in_range], rtol=rtol, atol=rtol * scale + 1e-37, err_msg=what
    )


def states(cell: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return (spread(rng, *shape), spread(rng, *shape)) if cell.startswith("lstm") else spread(rng, *shape)


def parts(state: Any) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


@pairwise(
    ("isa", bptt.available_isas()),
    ("cell", CELLS.keys()),
    ("layer_norm", [False, True]),
    ("where", ["x", "state", "dy"]),
    # The gradients of a ReLU leave float32 if the state is as large as the input.
    where=lambda isa, cell, layer_norm, where: cell != "rnn_relu" or layer_norm or where == "dy",
)
def test_cells(cell, layer_norm, where, isa):
    bptt.use_isa(isa)
    rng = np.random.default_rng(1)
    narrow, wide = twins(cell, layer_norm=layer_norm)
    x = spread(rng, T, B, I) if where == "x" else rng.standard_normal((T, B, I))
    initial = states(cell, rng, (1, B, H)) if where == "state" else None
    dy = 1e-3 * rng.standard_normal((T, B, H))
    if where == "dy":  # layer norm of small rows stretches an error up to 316 times, at every step
        dy = spread(rng, T, B, H) / (2.0**40 if layer_norm else 64)
    results = []
    for layer in (narrow, wide):
        y, last, tape = layer.forward(x, initial)
        dx, dstate = layer.backward(tape, dy)
        results.append(
            {"y": y, "dx": dx}
            | {f"last {k}": part for k, part in enumerate(parts(last))}
            | {f"dstate {k}": part for k, part in enumerate(parts(dstate))}
            | {name: layer.gradients[name] for name in layer.gradients}
        )
    # Behind the norm of 3e38, errors are subnormal numbers: the gradients they should give lie at the noise.
    subnormal = layer_norm and where != "dy"
    for name, wanted in results[1].items():
        agree(results[0][name], wanted, name, close=not subnormal or name.startswith(("y", "last")))


@pairwise(("dtype", ["float32", "float64"]), ("isa", bptt.available_isas()))
def test_layer_norm_of_large_rows(dtype, isa):
    """Doubling the input changes nothing as long as epsilon is small beside the variance."""
    for size in [1, 5, 16, 37]:
        bptt.use_isa(isa)
        top = 126 if dtype == "float32" else 1022
        layer = bptt.RNN(1, size, layer_norm=True, bias=False, dtype=dtype, seed=0)
        layer.parameters["weight_hh_l0"][:] = 0
        layer.parameters["weight_ih_l0"][:] = np.random.default_rng(0).uniform(-0.9, 0.9, (size, 1))
        expected, _ = layer(np.full((1, 1, 1), 2.0**20))
        for power in (40, top // 2, top // 2 + 4, top - 1, top):
            y, _ = layer(np.full((1, 1, 1), 2.0**power))
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("isa", bptt.available_isas())
def test_layer_norm_backward_of_large_errors(isa):
    """Sums of dy leave float32, dx does not."""
    for size in [1, 5, 16, 37]:
        bptt.use_isa(isa)
        rng = np.random.default_rng(0)
        dy = rng.uniform(0.5, 1.0, (1, 1, size)) * LARGEST / 8
        found = []
        for dtype in ("float32", "float64"):
            layer = bptt.RNN(1, size, layer_norm=True, bias=False, dtype=dtype, seed=0)
            layer.parameters["weight_ih_l0"][:] = np.linspace(-0.9, 0.8, size)[:, None]
            *_, tape = layer.forward(np.full((1, 1, 1), 1e19))
            found.append(layer.backward(tape, dy)[0])
        if size > 1:
            assert np.isfinite(found[0]).all()
            scale = float(np.abs(dy).max()) * 1e-19  # what cancels in the sum over units
            np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("magnitude", [1e20, 1e30, 3e38])
@pytest.mark.parametrize("layers", [1, 2])
def test_lstm_backward_from_large_states_is_finite_as_pytorchs(layers, magnitude):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    layer = bptt.LSTM(I, H, num_layers=layers, seed=0)
    peer = torch.nn.LSTM(I, H, layers)
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    h, c = (
        np.float32(magnitude) * rng.choice([-1, 1], (layers, B, H)).astype(np.float32) / np.float32(H)
        for _ in range(2)
    )
    dy, dh, dc = (rng.standard_normal(shape).astype(np.float32) for shape in ((T, B, H), h.shape, c.shape))
    *_, tape = layer.forward(x, (h, c))
    dx, (dh0, dc0) = layer.backward(tape, dy, (dh, dc))
    inputs = [torch.from_numpy(array).requires_grad_() for array in (x, h, c)]
    y, (last_h, last_c) = peer(inputs[0], tuple(inputs[1:]))
    torch.autograd.backward([y, last_h, last_c], [torch.from_numpy(array) for array in (dy, dh, dc)])
    theirs = [*(each.grad for each in inputs), *(p.grad for p in peer.parameters())]
    names = [name for name, _ in peer.named_parameters()]
    ours = [dx, dh0, dc0, *(layer.gradients[name] for name in names)]
    for name, mine, other in zip(["dx", "dh0", "dc0", *names], ours, theirs, strict=True):
        wanted = other.numpy()
        assert np.isfinite(mine[np.isfinite(wanted)]).all(), name


@pytest.mark.parametrize("isa", bptt.available_isas())
def test_activations(isa):
    bptt.use_isa(isa)
    values = np.concatenate([VALUES, [87.2, -87.2, 87.5, -87.5, 88.5, -88.5, 104.0, -104.0]])
    for dtype in (np.float32, np.float64):
        x = values.astype(dtype)
        wide = x.astype(np.float64)
        with np.errstate(over="ignore"):
            sigmoid = 1 / (1 + np.exp(-wide))
        sigmoid[sigmoid < np.finfo(dtype).tiny] = 0.0
        np.testing.assert_allclose(_core.activation("sigmoid", x), sigmoid, rtol=4e-7)
        np.testing.assert_allclose(_core.activation("tanh", x), np.tanh(wide), rtol=4e-7, atol=2e-38)


@pytest.mark.parametrize("bias", [False, True])
def test_linear(bias):
    rng = np.random.default_rng(0)
    narrow, wide = (bptt.Linear(12, 5, bias=bias, dtype=dtype, seed=0) for dtype in ("float32", "float64"))
    careful(narrow)
    wide.flat_parameters[:] = narrow.flat_parameters
    x = spread(rng, 24, 12)
    results = []
    for layer in (narrow, wide):
        y, _, tape = layer.forward(x)
        dx, _ = layer.backward(tape, 1e-3 * np.cos(np.arange(y.size).reshape(y.shape)))
        results.append([y, dx, *layer.gradients.values()])
    for k, (found, wanted) in enumerate(zip(*results, strict=True)):
        agree(found, wanted, str(k))


def test_lookup_dropout_and_selection_pass_values_through():
    for value in VALUES:
        embedding = bptt.Embedding(3, 2, seed=0)
        embedding.parameters["weight"][:] = value
        np.testing.assert_array_equal(embedding(np.array([0, 2]))[0], np.full((2, 2), value, np.float32))
        x = np.full((2, 3, 4), value, np.float32)
        y = bptt.Last().forward(x)[0]
        np.testing.assert_array_equal(y, x[-1])
        assert np.isfinite(bptt.Dropout(0.1, seed=0).forward(x)[0]).all() or abs(value) > LARGEST * 0.9


PAIRS = list(itertools.product(MAGNITUDES, repeat=2))


def test_streams_and_frozen_layers_agree_with_the_call():
    for one, other in PAIRS:
        layer = careful(bptt.LSTM(2, 3, layer_norm=True, seed=0))
        x = np.array([[[one, -other]], [[-one, other]]], np.float32)
        expected, _ = layer(x)
        assert np.isfinite(expected).all()
        np.testing.assert_array_equal(layer.stream().run(x), expected)
        np.testing.assert_array_equal(layer.freeze()(x)[0], expected)


@pytest.mark.parametrize(
    ("dtype", "sizes"),
    [
        ("float32", (1.0, 1e30, 2.0**125, 2.0**127)),
        ("float64", (1.0, 1e100, 1e150, 1e160, 1e300, 2.0**1023)),
    ],
)
def test_directions_of_long_errors(dtype, sizes):
    """An error over its norm is a unit vector, also where 1 / norm is subnormal or the squares overflow."""
    for size in [1, 7, 16, 100]:
        direction = np.random.default_rng(0).uniform(-1, 1, (1, size))
        direction[0, 0] = 1
        expected = direction / np.linalg.norm(direction)
        slopes = np.full((1, size), 0.5, dtype)
        for scale in sizes:
            units, count = _core.unit_errors((direction * scale).astype(dtype), slopes, 1e-20)
            assert count == 1
            np.testing.assert_allclose(units, 0.5 * expected, rtol=1e-6, err_msg=str(scale))
