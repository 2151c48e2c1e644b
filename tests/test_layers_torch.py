"""Layers without state give what PyTorch's give: 1e-12 in float64, a few eps in float32."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import DTYPES

import bptt

torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")

SHAPES = [(7,), (3, 33), (4, 3, 6)]


def numbers(shape, seed=0, scale=3.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


def run_theirs(module, x, dy):
    """y and dx of PyTorch in float64; the parameters get their gradients."""
    x = torch.tensor(x, requires_grad=True)
    y = module(x)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), x.grad.numpy()


def assert_agrees(ours, theirs, dtype, size):
    """`size` is the largest term of a sum that the result is made of."""
    tolerance = 1e-12 if dtype == "float64" else 16 * np.finfo(np.float32).eps
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * size)


PAIRS = {
    "Tanh": (bptt.Tanh, torch.nn.Tanh()),
    "ReLU": (bptt.ReLU, torch.nn.ReLU()),
    "Sigmoid": (bptt.Sigmoid, torch.nn.Sigmoid()),
    "GELU": (bptt.GELU, torch.nn.GELU()),
    "SiLU": (bptt.SiLU, torch.nn.SiLU()),
    "Softmax": (bptt.Softmax, torch.nn.Softmax(-1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations(dtype, subtests):
    for name, (ours, theirs) in PAIRS.items():
        for shape in SHAPES:
            with subtests.test(name=name, shape=shape):
                x, dy = (numbers(shape, seed).astype(dtype) for seed in (0, 1))
                y, dx = run_theirs(theirs, x.astype(np.float64), dy.astype(np.float64))
                layer = ours(dtype=dtype)
                our_y, _, tape = layer.forward(x)
                assert_agrees(our_y, y, dtype, 1)
                assert_agrees(layer.backward(tape, dy)[0], dx, dtype, abs(dy).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm(dtype, subtests):
    for options in ({}, {"eps": 0.1}, {"bias": False}, {"elementwise_affine": False}):
        for shape in [*SHAPES, (200, 5)]:
            with subtests.test(options=options, shape=shape):
                theirs = torch.nn.LayerNorm(shape[-1], dtype=torch.float64, **options)
                layer = bptt.LayerNorm(shape[-1], dtype=dtype, **options)
                assert list(layer.parameters) == list(theirs.state_dict())
                assert all((layer.parameters[n] == v.numpy()).all() for n, v in theirs.state_dict().items())
                for seed, name in enumerate(layer.parameters):
                    layer.parameters[name] += numbers(shape[-1], 5 + seed, 0.3)
                theirs.load_state_dict({n: torch.tensor(v) for n, v in layer.parameters.items()})
                x, dy = (numbers(shape, seed).astype(dtype) for seed in (0, 1))
                y, dx = run_theirs(theirs, x.astype(np.float64), dy.astype(np.float64))
                our_y, _, tape = layer.forward(x)
                assert np.array_equal(our_y, layer(x)[0])
                assert_agrees(our_y, y, dtype, 1)
                assert_agrees(layer.backward(tape, dy)[0], dx, dtype, 4 * abs(dy).max())
                for name, gradient in layer.gradients.items():
                    terms = np.prod(shape[:-1]) * abs(dy).max()
                    assert_agrees(gradient, getattr(theirs, name).grad.numpy(), dtype, terms)
