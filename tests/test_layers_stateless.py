"""Linear, Embedding, Dropout and Last against their definitions, their gradients against differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from tests.cells import DTYPES, ISAS

import bptt
from bptt.reference.stack import dropout_mask

T, B = 4, 3


def normal(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def ids(*shape: int, n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, n, shape)


LAYERS: dict[str, tuple[Callable[..., bptt.Module], Callable[..., np.ndarray]]] = {
    "Linear": (lambda **o: bptt.Linear(5, 7, seed=0, **o), lambda *axes: normal(*axes, 5)),
    "Linear, no bias": (
        lambda **o: bptt.Linear(5, 7, bias=False, seed=0, **o),
        lambda *axes: normal(*axes, 5),
    ),
    "Embedding": (lambda **o: bptt.Embedding(6, 5, seed=0, **o), lambda *axes: ids(*axes, n=6)),
    "Dropout": (lambda **o: bptt.Dropout(0.4, seed=0, **o), lambda *axes: normal(*axes, 5)),
    "Last": (lambda **o: bptt.Last(**o), lambda *axes: normal(*axes, 5)),
    "Last, batch first": (lambda **o: bptt.Last(batch_first=True, **o), lambda *axes: normal(*axes, 5)),
}
layers = pytest.mark.parametrize("name", LAYERS)


@layers
def test_gradients_agree_with_differences(name):
    build, x = LAYERS[name]
    bptt.gradcheck(build(dtype="float64"), x(T, B), entries=None)


@layers
def test_one_protocol(name):
    for dtype in DTYPES:
        build, make = LAYERS[name]
        layer, x = build(dtype=dtype), make(T, B)
        y, state = layer(x)
        y_train, state_train, tape = layer.forward(x)
        assert state is state_train is None
        assert y.dtype == y_train.dtype == dtype
        assert y.shape == y_train.shape
        assert not y_train.flags.writeable
        assert tape.owner is layer
        if not isinstance(layer, bptt.Dropout):
            assert np.array_equal(y, y_train)
        dy = normal(*y.shape)
        dx, dstate = layer.backward(tape, dy)
        assert dstate is None
        once = layer.flat_gradients.copy()
        assert (dx is None) == isinstance(layer, bptt.Embedding)
        assert dx is None or (dx.shape, dx.dtype) == (x.shape, np.dtype(dtype))
        none, _ = layer.backward(tape, dy, need_dx=False)
        assert none is None
        # g + g is exact; what is added in parts may round at every part.
        bound = T * B * np.finfo(dtype).eps * max(abs(once), default=0)
        assert np.allclose(layer.flat_gradients, 2 * once, rtol=0, atol=bound)
        layer.zero_grad()
        silent, _ = layer.backward(tape)
        assert not layer.flat_gradients.any()
        assert silent is None or not silent.any()


# Last needs a step: tests/test_errors.py.
NO_ROWS = [(name, axes) for name in LAYERS if "Last" not in name for axes in ((0, 3), (3, 0), (0, 0))]
NO_ROWS += [("Last", (3, 0)), ("Last, batch first", (0, 3))]


def test_no_rows(subtests):
    for name, axes in NO_ROWS:
        with subtests.test(name=name):
            build, make = LAYERS[name]
            layer, x = build(), make(*axes)
            y, _, tape = layer.forward(x)
            assert y.size == 0
            layer.backward(tape, y)
            assert not layer.flat_gradients.any()


WIDE = (1100, 257, 512)
"""Rows, inputs, outputs: the weight gradients are taken from a copy of dy, in two blocks of rows."""
WIDER = (1100, 33, 1400)
"""A block of dy is more than the weight gradients take at once: they go by parts of the outputs, too."""

PRODUCTS = [
    *product([1, 2, 7, 33], [1, 17, 130], [1, 2, 16, 33]),
    WIDE,
    WIDER,
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_is_a_matrix_product(dtype, isa):
    bptt.use_isa(isa)
    eps = np.finfo(dtype).eps
    for rows, I, O in PRODUCTS:
        layer = bptt.Linear(I, O, dtype=dtype, seed=0)
        weight, bias = (layer.parameters[name].astype(np.float64) for name in ("weight", "bias"))
        x, dy = normal(rows, I).astype(dtype), normal(rows, O).astype(dtype)
        y, _, tape = layer.forward(x)
        dx, _ = layer.backward(tape, dy)
        x, dy = x.astype(np.float64), dy.astype(np.float64)
        for what, got, left, right, offset in (
            ("y", y, x, weight.T, bias),
            ("dx", dx, dy, weight, 0.0),
            ("dW", layer.gradients["weight"], dy.T, x, 0.0),
            ("db", layer.gradients["bias"][None], np.ones((1, rows)), dy, 0.0),
        ):
            # n products and additions, each off by at most half an eps of the terms' absolute sum.
            n = left.shape[1] + 1
            bound = n * eps * (abs(left) @ abs(right) + abs(offset))
            assert (abs(got - (left @ right + offset)) <= bound).all(), f"{what} of {rows} x {I} -> {O}"


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(("rows", "I", "O"), [WIDE, WIDER])
def test_wide_linear_gradients_are_the_same_on_any_number_of_threads(rows, I, O, threads):
    layer, x, dy = bptt.Linear(I, O, seed=0), normal(rows, I), normal(rows, O)
    _, _, tape = layer.forward(x.astype(np.float32))
    found = []
    for n in (1, threads):
        bptt.set_num_threads(n)
        layer.zero_grad()
        dx, _ = layer.backward(tape, dy.astype(np.float32))
        found.append([dx, layer.flat_gradients.copy()])
    assert all(np.array_equal(one, many) for one, many in zip(*found, strict=True))


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5), (2, 3, 4, 5)], ids=str)
def test_linear_keeps_leading_axes(shape):
    layer = bptt.Linear(5, 7, seed=0)
    x = normal(*shape)
    y, _, tape = layer.forward(x)
    rows, _ = layer(x.reshape(-1, 5))
    assert np.array_equal(y, rows.reshape(*shape[:-1], 7))
    assert layer.backward(tape, y)[0].shape == shape


@pytest.mark.parametrize("shape", [(), (4,), (2, 4), (2, 3, 4)], ids=str)
def test_embedding_takes_integers_of_any_shape(shape):
    layer = bptt.Embedding(6, 5, seed=0)
    x = ids(*shape, n=6)
    y, _, tape = layer.forward(x)
    assert np.array_equal(y, layer.parameters["weight"][x])
    dy = np.round(4 * normal(*y.shape))
    layer.backward(tape, dy)
    expected = np.zeros((6, 5))
    np.add.at(expected, x, dy)
    assert np.array_equal(layer.gradients["weight"], expected)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_masks_are_those_of_their_key(p, dtype):
    layer = bptt.Dropout(p, dtype=dtype, seed=np.random.default_rng(5))
    x = normal(100, 70).astype(dtype)
    key = int(np.random.default_rng(5).integers(0, 2**64, dtype=np.uint64))
    mask = dropout_mask(x.shape, p, key)
    y, _, tape = layer.forward(x)
    # The scale is rounded to the dtype, and so is the product.
    assert np.allclose(y, x * mask, rtol=2 * np.finfo(dtype).eps, atol=0)
    assert np.array_equal(layer.backward(tape, x)[0], y)
    deviation = np.sqrt(p * (1 - p) / mask.size)
    assert abs((mask == 0).mean() - p) <= 6 * deviation


def test_dropout_draws_anew_each_time_and_again_from_the_seed():
    x = np.ones((40, 40))
    draws = [bptt.Dropout(0.5, seed=seed) for seed in (1, 1, 2)]
    first, again, other = ([layer.forward(x)[0] for _ in range(2)] for layer in draws)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_dropout_leaves_inference_alone():
    x = normal(3, 4).astype(np.float32)
    layer = bptt.Dropout(0.5, seed=0)
    before = layer.rng.bit_generator.state
    assert np.array_equal(layer(x)[0], x)
    assert layer.rng.bit_generator.state == before


def test_last_takes_the_last_step():
    x = normal(T, B, 5).astype(np.float32)
    dy = normal(B, 5).astype(np.float32)
    for layer, given in ((bptt.Last(), x), (bptt.Last(batch_first=True), x.swapaxes(0, 1))):
        y, _, tape = layer.forward(given)
        assert np.array_equal(y, x[-1])
        dx = layer.backward(tape, dy)[0]
        time_first = dx.swapaxes(0, 1) if layer.batch_first else dx
        assert np.array_equal(time_first[-1], dy)
        assert not time_first[:-1].any()
        alone, _, tape = layer.forward(x[:, 0])
        assert np.array_equal(alone, x[-1, 0])
        assert layer.backward(tape, dy[0])[0].shape == (T, 5)
