"""Layouts, states, tapes and seeds of RNN, LSTM and GRU. Their numbers: tests/test_crosscheck.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, build, state

import bptt
from bptt.reference.stack import dropout_mask

T, B, I, H = 5, 3, 4, 6
LD = 4
"""Two layers of two directions."""

cells = pytest.mark.parametrize("cell", CELLS)


def layer_of(cell: str, **options: Any) -> Any:
    return build(cell, I, H, num_layers=2, bidirectional=True, **options)


def normal(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def parts(value: Any) -> tuple[np.ndarray, ...]:
    """A state as a tuple of arrays."""
    return value if isinstance(value, tuple) else (value,)


def mapped(function: Any, value: Any) -> Any:
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def trained(layer: Any, x: Any, initial: Any = None, dy: Any = None, dlast: Any = None) -> dict[str, Any]:
    """One pass forward and back: everything that comes out of it."""
    layer.zero_grad()
    y, last, tape = layer.forward(x, initial)
    dx, dstate = layer.backward(tape, dy, dlast)
    gradients = layer.flat_gradients.copy()
    return {"y": y, "last": last, "dx": dx, "dstate": dstate, "gradients": gradients, "tape": tape}


@cells
def test_shapes_and_types(cell):
    for dtype in DTYPES:
        layer = layer_of(cell, dtype=dtype)
        out = trained(layer, normal(T, B, I), dy=normal(T, B, 2 * H))
        shapes = {"y": (T, B, 2 * H), "dx": (T, B, I), "last": (LD, B, H), "dstate": (LD, B, H)}
        for name, shape in shapes.items():
            for array in parts(out[name]):
                assert array.shape == shape, name
                assert array.dtype == dtype, name
        assert len(parts(out["last"])) == len(parts(out["dstate"])) == (2 if layer.has_cell_state else 1)
        assert layer.backend == "native"


@cells
def test_training_computes_what_inference_does(cell):
    layer = layer_of(cell)
    x, initial = normal(T, B, I), state(cell, (LD, B, H))
    y, last = layer(x, initial)
    y_train, last_train, _ = layer.forward(x, initial)
    assert np.array_equal(y, y_train)
    assert all(map(np.array_equal, parts(last), parts(last_train)))


@cells
def test_the_state_is_the_last_output_of_each_direction(cell):
    layer = layer_of(cell)
    y, last, tape = layer.forward(normal(T, B, I))
    h = parts(last)[0]
    for index in range(LD):
        step = -1 if index % 2 == 0 else 0
        assert np.array_equal(h[index], tape.h[index][step])
    assert np.array_equal(y, np.concatenate(tape.h[2:], axis=-1))


@cells
def test_batch_first_is_the_transposed_call(cell):
    plain, first = layer_of(cell), layer_of(cell, batch_first=True)
    x, dy = normal(T, B, I), normal(T, B, 2 * H)
    initial, dlast = (state(cell, (LD, B, H), seed) for seed in (4, 5))
    expected = trained(plain, x, initial, dy, dlast)
    got = trained(first, x.swapaxes(0, 1), initial, dy.swapaxes(0, 1), dlast)
    for name in ("y", "dx"):
        assert np.array_equal(got[name].swapaxes(0, 1), expected[name]), name
    for name in ("last", "dstate"):
        assert all(map(np.array_equal, parts(got[name]), parts(expected[name]))), name
    assert np.array_equal(got["gradients"], expected["gradients"])
    assert np.array_equal(first(x.swapaxes(0, 1), initial)[0].swapaxes(0, 1), expected["y"])


@cells
def test_one_sequence_is_a_batch_of_one(cell):
    for batch_first in [False, True]:
        plain, layer = layer_of(cell), layer_of(cell, batch_first=batch_first)
        x, dy = normal(T, 1, I), normal(T, 1, 2 * H)
        initial, dlast = (state(cell, (LD, 1, H), seed) for seed in (4, 5))

        def row(array: np.ndarray) -> np.ndarray:
            return array[:, 0]

        expected = trained(plain, x, initial, dy, dlast)
        got = trained(layer, row(x), mapped(row, initial), row(dy), mapped(row, dlast))
        for name in ("y", "dx", "last", "dstate"):
            assert all(map(np.array_equal, parts(got[name]), parts(mapped(row, expected[name])))), name
        assert np.array_equal(got["gradients"], expected["gradients"])
        assert np.array_equal(layer(row(x), mapped(row, initial))[0], got["y"])
        assert got["tape"].h[0].shape == (T, 1, H)


@cells
def test_no_steps_or_no_rows(cell):
    """The initial state is handed through, and so are the errors of the last."""
    for steps, batch in [(0, B), (T, 0), (0, 0)]:
        layer = layer_of(cell)
        initial, dlast = (mapped(np.float32, state(cell, (LD, batch, H), seed)) for seed in (4, 5))
        out = trained(layer, np.zeros((steps, batch, I)), initial, np.zeros((steps, batch, 2 * H)), dlast)
        assert out["y"].shape == (steps, batch, 2 * H)
        assert out["dx"].shape == (steps, batch, I)
        assert all(map(np.array_equal, parts(out["last"]), parts(initial)))
        assert all(map(np.array_equal, parts(out["dstate"]), parts(dlast)))
        assert not out["gradients"].any()
        assert all(view.shape == (steps, batch, H) for view in out["tape"].h)
        y, last = layer(np.zeros((steps, batch, I)), initial)
        assert y.shape == out["y"].shape
        assert all(map(np.array_equal, parts(last), parts(initial)))


@cells
def test_no_steps_unbatched(cell):
    layer = layer_of(cell)
    initial = mapped(np.float32, state(cell, (LD, H)))
    y, last = layer(np.zeros((0, I)), initial)
    assert y.shape == (0, 2 * H)
    assert all(map(np.array_equal, parts(last), parts(initial)))


@cells
def test_none_stands_for_zeros(cell):
    layer = layer_of(cell)
    x, dy = normal(T, B, I), normal(T, B, 2 * H)
    zeros = mapped(np.zeros_like, state(cell, (LD, B, H)))
    given = trained(layer, x, zeros, dy, zeros)
    left_out = trained(layer, x, None, dy, None)
    for name in ("y", "dx", "last", "dstate"):
        assert all(map(np.array_equal, parts(given[name]), parts(left_out[name]))), name
    assert np.array_equal(given["gradients"], left_out["gradients"])
    silent = trained(layer, x)
    assert not silent["gradients"].any()
    assert not silent["dx"].any()


@pytest.mark.parametrize("missing", [0, 1])
def test_half_of_an_lstm_state_may_be_left_out(missing):
    layer = layer_of("lstm")
    x, dy = normal(T, B, I), normal(T, B, 2 * H)
    pair = list(state("lstm", (LD, B, H)))
    whole, half = pair.copy(), pair.copy()
    whole[missing], half[missing] = np.zeros((LD, B, H)), None
    first, second = (trained(layer, x, tuple(given), dy, given) for given in (whole, half))
    assert np.array_equal(first["y"], second["y"])
    assert np.array_equal(first["gradients"], second["gradients"])


@cells
def test_backward_adds_and_a_tape_may_be_used_again(cell):
    layer = layer_of(cell)
    dy = normal(T, B, 2 * H)
    *_, tape = layer.forward(normal(T, B, I))
    dx, _ = layer.backward(tape, dy)
    once = layer.flat_gradients.copy()
    assert once.any()
    dx_again, _ = layer.backward(tape, dy)
    # g + g is exact; what is added in parts may round at every part.
    bound = T * B * np.finfo(np.float32).eps * abs(once).max()
    assert np.allclose(layer.flat_gradients, 2 * once, rtol=0, atol=bound)
    assert np.array_equal(dx_again, dx)
    assert not np.shares_memory(dx_again, dx)


@cells
def test_dx_may_be_left_out(cell):
    layer = layer_of(cell)
    dy = normal(T, B, 2 * H)
    expected = trained(layer, normal(T, B, I), dy=dy)
    layer.zero_grad()
    *_, tape = layer.forward(normal(T, B, I))
    dx, _ = layer.backward(tape, dy, need_dx=False)
    assert dx is None
    assert np.array_equal(layer.flat_gradients, expected["gradients"])


@cells
def test_steps_bounds_how_far_back_errors_go(cell):
    """One direction, error at the end: as if the sequence began `steps` steps before its end."""
    layer = build(cell, I, H, dtype="float64")
    x, dlast = normal(T, B, I).astype(np.float64), state(cell, (1, B, H))
    whole = trained(layer, x, dlast=dlast)
    for steps in (1, 3):
        layer.zero_grad()
        *_, tape = layer.forward(x)
        dx, _ = layer.backward(tape, None, dlast, steps=steps)
        assert not dx[: T - steps].any()
        assert np.array_equal(dx[T - steps :], whole["dx"][T - steps :])
        truncated = layer.flat_gradients.copy()
        _, carried = layer(x[: T - steps])
        short = trained(layer, x[T - steps :], carried, dlast=dlast)
        # Sums over T * B products may be taken in another order.
        bound = T * B * np.finfo(np.float64).eps * max(1, abs(truncated).max())
        assert np.allclose(truncated, short["gradients"], rtol=0, atol=bound)
    for more in (T, T + 1, 2**70):
        layer.zero_grad()
        layer.backward(tape, None, dlast, steps=more)
        assert np.array_equal(layer.flat_gradients, whole["gradients"])


@cells
def test_the_tape_is_open_to_view(cell):
    layer = layer_of(cell)
    dy = normal(T, B, 2 * H)
    y, _, tape = layer.forward(normal(T, B, I))
    assert tape.owner is layer
    assert tape.dh_norm is None
    assert tape.dc_norm is None
    layer.backward(tape, dy)
    assert tape.dh_norm.shape == (LD, T)
    assert tape.dh_norm.dtype == np.float64
    # Of the last layer's forward direction nothing flows into the last step but dy.
    own = dy[-1, :, :H].astype(np.float64)
    rounding = B * H * np.finfo(np.float64).eps
    assert np.isclose(tape.dh_norm[2, -1], np.sqrt((own**2).sum()), rtol=rounding, atol=0)
    gates = H * {"rnn_tanh": 1, "rnn_relu": 1, "lstm_coupled": 3, "mgu": 3}.get(cell, 4)
    kept = [(tape.h, H), (tape.gates, gates)] + ([(tape.c, H)] if layer.has_cell_state else [])
    for views, width in kept:
        assert len(views) == LD
        for view in views:
            assert view.shape == (T, B, width)
            with pytest.raises(ValueError, match="read-only"):
                view[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        y[...] = 0
    if layer.has_cell_state:
        assert tape.dc_norm.shape == (LD, T)
        *i, f, g, o = np.split(tape.gates[2], gates // H, axis=-1)
        i = i[0] if i else 1 - f
        c = tape.c[2]
        eps = np.finfo(np.float32).eps
        assert np.allclose(c[1:], f[1:] * c[:-1] + i[1:] * g[1:], rtol=0, atol=4 * eps * abs(c).max())
        assert np.allclose(tape.h[2], o * np.tanh(c), rtol=0, atol=4 * eps)
    else:
        assert tape.c is None
        assert tape.dc_norm is None


def test_a_tape_outlives_its_layer_and_results_outlive_the_tape():
    layer = layer_of("lstm")
    x = normal(T, B, I)
    expected, _ = layer(x)
    y, _, tape = layer.forward(x)
    h = tape.h
    del tape
    layer.forward(-x)
    assert np.array_equal(y, expected)
    assert np.array_equal(np.concatenate(h[2:], axis=-1), expected)


@cells
def test_inference_results_belong_to_the_caller(cell):
    layer = layer_of(cell)
    x = normal(T, B, I)
    y, last = layer(x)
    kept = y.copy()
    for array in (y, *parts(last)):
        array += 1
    assert np.array_equal(layer(x)[0], kept)


@cells
def test_parameters_are_read_where_they_are(cell):
    """Whoever writes into a view meets no stale copy."""
    layer = layer_of(cell)
    x = normal(T, B, I)
    before, _ = layer(x)
    layer.parameters["weight_hh_l1"][...] *= 2
    after, _ = layer(x)
    assert not np.array_equal(before, after)
    layer.flat_parameters[...] = 0
    assert not layer(x)[0].any()


@cells
def test_a_seed_fixes_the_dropout_masks(cell):
    x = normal(T, B, I)

    def twice(seed: int) -> list[np.ndarray]:
        layer = layer_of(cell, dropout=0.5, seed=seed)
        return [layer.forward(x)[0].copy() for _ in range(2)]

    first, again = twice(1), twice(1)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], twice(2)[0])


@cells
def test_dropout_is_for_training_and_between_layers(cell):
    x = normal(T, B, I)
    plain, dropping = (build(cell, I, H, num_layers=2, dropout=p) for p in (0.0, 0.5))
    assert np.array_equal(plain(x)[0], dropping(x)[0])
    assert not np.array_equal(plain.forward(x)[0], dropping.forward(x)[0])
    plain = build(cell, I, H)
    with pytest.warns(UserWarning, match="does nothing in one layer"):
        dropping = build(cell, I, H, dropout=0.5)
    assert np.array_equal(plain.forward(x)[0], dropping.forward(x)[0])


def test_dropout_masks_are_those_of_their_key():
    """Layer 1 reads layer 0's output times the mask that SplitMix64 gives, as in the reference."""
    layer = build("rnn_tanh", I, H, num_layers=2, dropout=0.3, seed=8)
    bottom, top = build("rnn_tanh", I, H), build("rnn_tanh", H, H)
    for name in bottom.parameters:
        bottom.parameters[name] = layer.parameters[name]
        top.parameters[name] = layer.parameters[name.replace("l0", "l1")]
    rng = np.random.default_rng()
    rng.bit_generator.state = layer.rng.bit_generator.state
    mask = dropout_mask((T, B, H), 0.3, int(rng.integers(0, 2**64, dtype=np.uint64)))
    x = normal(T, B, I)
    y, _, _ = layer.forward(x)
    assert np.array_equal(y, top(bottom(x)[0] * mask.astype(np.float32))[0])


@pytest.mark.parametrize("kind", [bptt.RNN, bptt.LSTM, bptt.GRU])
def test_parameters_have_pytorchs_names_and_shapes(kind):
    gates = {bptt.RNN: 1, bptt.LSTM: 4, bptt.GRU: 3}[kind]
    layer = kind(I, H, 2, bidirectional=True)
    expected = {}
    for k in range(2):
        for suffix in ("", "_reverse"):
            expected |= {
                f"weight_ih_l{k}{suffix}": (gates * H, I if k == 0 else 2 * H),
                f"weight_hh_l{k}{suffix}": (gates * H, H),
                f"bias_ih_l{k}{suffix}": (gates * H,),
                f"bias_hh_l{k}{suffix}": (gates * H,),
            }
    assert {name: view.shape for name, view in layer.parameters.items()} == expected
    assert list(layer.parameters) == list(expected)
    no_bias = kind(I, H, bias=False)
    assert list(no_bias.parameters) == ["weight_ih_l0", "weight_hh_l0"]


def test_peepholes_follow_the_biases_of_their_layer_and_direction():
    names = list(bptt.LSTM(I, H, 2, bidirectional=True, peephole=True).parameters)
    assert names[4::5] == [f"weight_peephole_l{k}{s}" for k in range(2) for s in ("", "_reverse")]
    assert bptt.LSTM(I, H, peephole=True).parameters["weight_peephole_l0"].shape == (3, H)
