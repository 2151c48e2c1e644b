"""Frozen layers: the bits of the layer's own call in every schedule, and no weights of later."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, ISAS, build, state
from tests.grids import pairwise

import bptt

SHAPES = [  # T, B, I, H: single steps, single rows, panels with and without a rest, large weights, many rows
    (1, 1, 5, 32),
    (6, 1, 5, 17),
    (3, 2, 4, 256),
    (5, 40, 3, 32),
    (40, 7, 6, 16),
]


def numbers(*shape, dtype="float32", seed=3):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaves(value):
    return value if isinstance(value, tuple) else (value,)


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    for one, other in zip(leaves(found[1]), leaves(expected[1]), strict=True):
        np.testing.assert_array_equal(one, other)


@pairwise(("cell", CELLS.keys()), ("dtype", DTYPES), ("isa", ISAS), ("shape", SHAPES))
def test_bits_of_the_call(cell, dtype, isa, shape):
    bptt.use_isa(isa)
    T, B, I, H = shape
    layer = build(cell, I, H, num_layers=2, dtype=dtype)
    x, start = numbers(T, B, I, dtype=dtype), state(cell, (2, B, H))
    assert_same(layer.freeze()(x, start), layer(x, start))


@pytest.mark.parametrize("cell", CELLS)
def test_directions_layouts_and_threads(cell):
    layer = build(cell, 5, 33, num_layers=2, bidirectional=True, batch_first=True)
    frozen = layer.freeze()
    x = numbers(20, 30, 5)
    expected = layer(x)
    for threads in (1, 2, 3):
        bptt.set_num_threads(threads)
        assert_same(frozen(x), expected)
    assert_same(frozen(x[0]), layer(x[0]))


@pytest.mark.parametrize("cell", CELLS)
def test_later_weights_do_not_show(cell):
    for module in [bptt, bptt.reference]:
        layer = build(cell, 5, 16)
        if module is bptt.reference:
            layer = bptt.reference.like(layer)
        x = numbers(4, 3, 5)
        before = layer(x)
        frozen = layer.freeze()
        layer.flat_parameters[:] = 0
        assert_same(frozen(x), before)


def test_it_keeps_the_instruction_set_that_it_was_packed_for():
    layer = bptt.LSTM(5, 32, seed=0)
    x = numbers(6, 3, 5)
    bptt.use_isa(ISAS[0])
    expected, frozen = layer(x), layer.freeze()
    bptt.use_isa(ISAS[-1])
    assert_same(frozen(x), expected)


def test_several_threads_may_call_it_at_once():
    layer = bptt.GRU(6, 40, num_layers=2, seed=0)
    frozen = layer.freeze()
    inputs = [numbers(30, 4, 6, seed=seed) for seed in range(16)]
    expected = [layer(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(frozen, inputs), expected, strict=True):
            assert_same(found, wanted)


def test_bad_input_says_what_the_layer_says():
    layer = bptt.LSTM(5, 16, seed=0)
    frozen = layer.freeze()
    for arguments in [(numbers(4, 3, 6),), ("text",), (numbers(4, 3, 5), numbers(1, 3, 16))]:
        with pytest.raises((TypeError, ValueError)) as own:
            layer(*arguments)
        with pytest.raises(type(own.value)) as found:
            frozen(*arguments)
        assert str(found.value) == str(own.value)
    assert "Frozen(LSTM(" in repr(frozen)


class Around(bptt.Module):
    """A layer that calls another layer, whose weights are not its own."""

    def __init__(self, inner):
        super().__init__("float32", None)
        self.inner = inner
        self.allocate()

    def forward(self, x, state=None):
        return self.inner.forward(x, state)

    def backward(self, tape, dy=None, dstate=None, *, need_dx=True):
        return self.inner.backward(tape, dy, dstate, need_dx=need_dx)


def test_a_snapshot_copies_layers_inside_and_layers_outside_of_the_model():
    """The copies of layers inside share the model's vector, so their own vectors need no values."""
    inner = bptt.Sequential(bptt.Linear(3, 4), bptt.Sequential(bptt.GRU(4, 5), bptt.Tanh()), seed=0)
    x = numbers(6, 2, 3)
    expected = inner(x)[0]
    for model in (inner, Around(inner), bptt.Sequential(Around(inner))):
        frozen = model.freeze()
        np.testing.assert_array_equal(frozen(x)[0], expected)
        np.testing.assert_array_equal(frozen.layer(x)[0], expected)
    parts = inner.freeze().layer
    parts.flat_parameters[:] = 0
    assert not parts[1][0].flat_parameters.any()  # a view of the model's vector
    inner.flat_gradients[:] = 1
    assert not inner.freeze().layer.flat_gradients.any()
