"""Streams: the bits of the whole call, one step or one block at a time."""

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, ISAS, build, state
from tests.product_forms import forms

import bptt

T, B, I, H, L = 7, 3, 5, 17, 2


def layer_of(cell, dtype="float32", **options):
    return build(cell, I, H, num_layers=L, dtype=dtype, **options)


def numbers(dtype="float32", rows=B):
    return np.random.default_rng(3).standard_normal((T, rows, I)).astype(dtype)


def leaves(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_have_the_bits_of_the_whole_call(cell):
    for dtype in DTYPES:
        for isa in ISAS:
            bptt.use_isa(isa)
            layer, x = layer_of(cell, dtype), numbers(dtype)
            start = state(cell, (L, B, H))
            y, last = layer(x, start)
            stream = layer.stream(B)
            stream.state = start
            for t in range(T):
                np.testing.assert_array_equal(stream.step(x[t]), y[t])
            for found, expected in zip(leaves(stream.state), leaves(last), strict=True):
                np.testing.assert_array_equal(found, expected)
            stream.state = start
            np.testing.assert_array_equal(stream.run(x[:4]), y[:4])
            np.testing.assert_array_equal(stream.run(x[4:]), y[4:])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu", "mgu"])
def test_small_layers_have_the_bits_of_the_whole_call(cell, subtests):
    """Small layers run many steps in one call of a kernel: around vectors of units, and around its limits."""
    inputs, rows, layers = (1, 2, 8, 9), (1, 2, 3, 4, 7), (1, 2)
    for number, units in enumerate((1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65)):
        inputs_of, B, L = inputs[number % 4], rows[number % 5], layers[number // 5 % 2]
        for isa in ISAS:
            for dtype in DTYPES:
                with subtests.test(units=units, inputs=inputs_of, rows=B, layers=L, isa=isa, dtype=dtype):
                    bptt.use_isa(isa)
                    layer = build(cell, inputs_of, units, num_layers=L, dtype=dtype)
                    x = np.random.default_rng(number).standard_normal((70, B, inputs_of)).astype(dtype)
                    start = state(cell, (L, B, units))
                    y, last = layer(x, start)
                    stream = layer.stream(B)
                    stream.state = start
                    np.testing.assert_array_equal(stream.run(x), y)
                    for found, expected in zip(leaves(stream.state), leaves(last), strict=True):
                        np.testing.assert_array_equal(found, expected)
                    stream.state = start
                    pieces = [stream.run(x[:33]), stream.step(x[33])[None], stream.run(x[34:])]
                    np.testing.assert_array_equal(np.concatenate(pieces), y)
                    skip = np.random.default_rng(B).random((70, B)) < 0.3
                    stream.state = start
                    np.testing.assert_array_equal(stream.run(x, skip=skip), layer(x, start, skip=skip)[0])
                    stream.reset()
                    np.testing.assert_array_equal(stream.step(x[0]), layer(x[:1])[0][0])
    number = 0
    for units in (1, 7, 16, 17, 33, 48, 63, 64, 65):
        for inputs_of in (1, 3, 16, 63, 64):
            B, L, number = rows[number % 5], layers[number // 5 % 2], number + 1
            with subtests.test(units=units, inputs=inputs_of, rows=B, layers=L, reduced=True):
                check_small_layers_of_reduced_precision(build(cell, inputs_of, units, num_layers=L), B)


def check_small_layers_of_reduced_precision(layer, B):
    """Only some instructions have small layers: all forms, calls and steps must have the same bits."""
    steps = 6
    x = np.random.default_rng(B).standard_normal((steps, B, layer.input_size)).astype("f")
    x[1] = 0
    x[2] *= 1e-37
    x[3] *= 1e30
    x[-1, 0, 0] = np.nan
    for precision in ("bfloat16", "int8"):
        outputs = {}
        for form in forms():
            y, last = layer.freeze(precision)(x)
            stream = layer.stream(B, precision)
            pieces = [stream.run(x[:3]), stream.step(x[3])[None], stream.run(x[4:])]
            np.testing.assert_array_equal(np.concatenate(pieces), y)
            for found, expected in zip(leaves(stream.state), leaves(last), strict=True):
                np.testing.assert_array_equal(found, expected)
            outputs[form["isa"], form["emulate"]] = y
        for isa in ISAS:
            np.testing.assert_array_equal(outputs[isa, True], outputs[isa, False])


@pytest.mark.parametrize("cell", CELLS)
def test_bound_buffers_out_and_single_rows(cell):
    layer, x = layer_of(cell), numbers(rows=1)
    y, _ = layer(x)
    bound, out, single, block = (layer.stream() for _ in range(4))
    target = np.empty((1, H), np.float32)
    for t in range(T):
        bound.input[...] = x[t]
        assert bound.step() is bound.output
        np.testing.assert_array_equal(bound.output, y[t])
        assert out.step(x[t], target) is target
        np.testing.assert_array_equal(target, y[t])
        np.testing.assert_array_equal(single.step(list(x[t, 0].astype(float))), y[t, 0])
    np.testing.assert_array_equal(block.run(x[:, 0]), y[:, 0])
    block.reset()
    np.testing.assert_array_equal(block.run(x), y)


def test_the_weights_are_those_of_the_moment():
    layer, x = layer_of("gru"), numbers()
    stream = layer.stream(B)
    before, _ = layer(x)
    layer.flat_parameters[:] = 0
    np.testing.assert_array_equal(stream.run(x), before)
    del layer
    stream.reset()
    np.testing.assert_array_equal(stream.run(x), before)


@pytest.mark.parametrize("cell", CELLS)
def test_the_reference_streams_too(cell):
    layer, x = layer_of(cell, "float64"), numbers("float64")
    oracle = bptt.reference.like(layer).stream(B)
    stream = layer.stream(B)
    for t in range(T):
        # a sum of I + H terms, and the few operations of a cell
        np.testing.assert_allclose(
            oracle.step(x[t]), stream.step(x[t]), atol=4 * (I + H) * np.finfo(float).eps
        )
    for mine, its in zip(leaves(oracle.state), leaves(stream.state), strict=True):
        np.testing.assert_allclose(mine, its, atol=4 * T * (I + H) * np.finfo(float).eps)


def test_an_output_is_not_overwritten_unless_it_is_bound():
    stream, x = layer_of("lstm").stream(B), numbers()
    first = stream.step(x[0])
    kept = first.copy()
    stream.step(x[1])
    np.testing.assert_array_equal(first, kept)


def test_a_model_may_begin_with_layers_of_any_width():
    model = bptt.Sequential(bptt.Dropout(0.5), bptt.Tanh(), layer_of("gru"))
    x = numbers()
    np.testing.assert_array_equal(np.stack([*map(model.stream(B).step, x)]), model(x)[0])


WRONG = {
    "two directions": (lambda: layer_of("lstm", bidirectional=True).stream(), ValueError, "forward only"),
    "no rows": (lambda: layer_of("lstm").stream(0), ValueError, "batch_size"),
    "rows of no kind": (lambda: layer_of("lstm").stream("2"), TypeError, "batch_size"),
    "width": (lambda: layer_of("lstm").stream(B).step(np.zeros((B, I + 1))), ValueError, "x"),
    "one row of several": (lambda: layer_of("lstm").stream(B).step(np.zeros(I)), ValueError, "x"),
    "strings": (lambda: layer_of("lstm").stream().step(["a"] * I), TypeError, "x"),
    "out's shape": (
        lambda: layer_of("rnn_tanh").stream(B).step(numbers()[0], np.zeros((B, H + 1), np.float32)),
        ValueError,
        "out",
    ),
    "out's type": (
        lambda: layer_of("rnn_tanh").stream(B).step(numbers()[0], np.zeros((B, H))),
        TypeError,
        "out",
    ),
    "no pair": (lambda: setattr(layer_of("lstm").stream(), "state", np.zeros((L, 1, H))), TypeError, "pair"),
    "state's shape": (
        lambda: setattr(layer_of("gru").stream(), "state", np.zeros((L, 2, H))),
        ValueError,
        "state",
    ),
    "block's rank": (lambda: layer_of("gru").stream(B).run(np.zeros((T, I))), ValueError, "x"),
}


def test_wrong_input(subtests):
    for name in WRONG:
        with subtests.test(name):
            call, error, message = WRONG[name]
            with pytest.raises(error, match=message):
                call()
