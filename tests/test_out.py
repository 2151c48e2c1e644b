"""`out=` of calls, `forward` and `backward`: results come in your array, and a bad array changes nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import bptt

T, B, I, H = 6, 3, 4, 5


def layers():
    """Layers and models, each with its input."""
    x, ids = _normal(T, B, I), np.random.default_rng(2).integers(0, 7, (T, B))
    yield bptt.LSTM(I, H, 2, seed=0), x
    yield bptt.GRU(I, H, bidirectional=True, batch_first=True, merge="sum", seed=0), x
    yield bptt.RNN(I, H, seed=0), x[:, 0]
    yield bptt.reference.MGU(I, H, seed=0), x
    yield bptt.Linear(I, H, seed=0), x
    yield bptt.Dropout(0.4, seed=0), x
    yield bptt.Tanh(), x
    yield bptt.Last(), x
    yield bptt.MaxPool(), x
    yield bptt.Sequential(bptt.LSTM(I, H), bptt.Last(), bptt.Linear(H, 2), seed=0), x
    yield bptt.Sequential(bptt.Embedding(7, I), bptt.GRU(I, H), seed=0), ids


def test_results_are_written_to_out(subtests):
    for layer, x in layers():
        with subtests.test(layer=layer):
            y, _ = layer(x)
            out = np.full_like(y, np.nan)
            given, _ = layer(x, out=out)
            assert given is out
            np.testing.assert_array_equal(out, y)
            frozen = np.full_like(y, np.nan)
            assert layer.freeze()(x, out=frozen)[0] is frozen
            np.testing.assert_array_equal(frozen, y)

            before = [rng.bit_generator.state for rng in bptt.reference.copies.generators(layer)]
            y, _, tape = layer.forward(x)
            for rng, state in zip(bptt.reference.copies.generators(layer), before, strict=True):
                rng.bit_generator.state = state
            out = np.full_like(y, np.nan)
            given, _, own_tape = layer.forward(x, out=out)
            assert given is out
            np.testing.assert_array_equal(out, y)
            out[...] = np.nan  # the tape does not read it

            dy = _normal(*y.shape)
            dx, _ = layer.backward(tape, dy)
            if dx is None:  # ids have no gradient
                continue
            out = np.full_like(dx, np.nan)
            given, _ = layer.backward(own_tape, dy, out=out)
            assert given is out
            np.testing.assert_array_equal(out, dx)


def test_out_may_be_an_input_or_a_view():
    layer = bptt.LSTM(H, H, seed=0)
    x = _normal(T, B, H).astype(np.float32)
    expected, _ = layer(x)
    wide = np.zeros((T, B, 2 * H), np.float32)
    layer(x, out=wide[:, :, ::2])
    np.testing.assert_array_equal(wide[:, :, ::2], expected)
    np.testing.assert_array_equal(wide[:, :, 1::2], 0)
    layer(x, out=x)
    np.testing.assert_array_equal(x, expected)


def test_a_loop_of_fixed_shapes_allocates_no_arrays():
    layer = bptt.LSTM(32, 32, seed=0)
    x = _normal(50, 8, 32).astype(np.float32)
    y, dx, dy = np.empty_like(x), np.empty_like(x), np.ones_like(x)
    fast = layer.freeze()

    def loop():
        for _ in range(5):
            fast(x, out=y)
            _, _, tape = layer.forward(x, out=y)
            layer.backward(tape, dy, out=dx)

    loop()
    tracemalloc.start()
    loop()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 2


def test_a_bad_out_raises_before_anything_is_computed(subtests):
    model = bptt.Sequential(bptt.LSTM(I, H), bptt.Linear(H, 2), seed=0)
    x = _normal(T, B, I)
    read_only = np.zeros((T, B, H), np.float32)
    read_only.flags.writeable = False
    for layer in (model[0], model):
        y, _, tape = layer.forward(x)
        width = y.shape[-1]
        for error, out in (
            (TypeError, [0.0]), (TypeError, np.zeros((T, B, width))), (TypeError, read_only[..., :width]),
            (ValueError, np.zeros((T, B, width + 1), np.float32)),
        ):  # fmt: skip
            with subtests.test(layer=layer, out=out):
                for call in (layer, layer.forward, layer.freeze()):
                    with pytest.raises(error, match=r"out must .*Fix: "):
                        call(x, out=out)
        for error, out in (
            (TypeError, np.zeros((T, B, I))), (ValueError, np.zeros((T, B, width + 3), np.float32)),
        ):  # fmt: skip
            with subtests.test(layer=layer, dx=out):
                layer.zero_grad()
                with pytest.raises(error, match=r"out must .*Fix: "):
                    layer.backward(tape, np.ones_like(y), out=out)
                assert not layer.flat_gradients.any()
        with pytest.raises(ValueError, match="need_dx=False"):
            layer.backward(tape, np.ones_like(y), need_dx=False, out=np.zeros((T, B, I), np.float32))


def _normal(*shape):
    return np.random.default_rng(1).standard_normal(shape)
