"""Same bits: for any number of threads, any batch-mates, any cut of the time axis, training or not."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, ISAS, build, state
from tests.grids import pairwise, together

import bptt

SHAPES = ((7, 1, 64), (3, 40, 33), (5, 5, 130))
"""(T, B, H): each axis that threads may share out is once the long one."""


@together(pairwise(("shape", SHAPES), ("cell", CELLS.keys()), ("dtype", DTYPES), ("isa", ISAS)))
def test_any_number_of_threads(cell, dtype, isa, shape):
    bptt.use_isa(isa)
    T, B, H = shape
    layer = build(cell, 19, H, dtype=dtype, num_layers=2, bidirectional=True)
    digests = set()
    for threads in (1, 2, 3, 4, 7):
        bptt.set_num_threads(threads)
        digests.add(_digest(_training_step(layer, _normal(T, B, 19), state(cell, (4, B, H)))))
    assert len(digests) == 1


@together(
    pairwise(
        ("cell", CELLS.keys()),
        ("dtype", DTYPES),
        (
            "options",
            [{}, {"dropout": 0.25}, {"recurrent_dropout": 0.25}, {"layer_norm": True}, {"bias": False}],
        ),
        ("ways", [{}, {"steps": 7}, {"clip_state": 1e-3, "keep_errors": True}]),
    )
)
def test_halves_of_a_batch(cell, dtype, options, ways):
    """Of many rows, each half is kept and summed apart: forward, back, in what a tape shows."""
    T, B, H = 37, 45, 33
    layer = build(cell, 30, H, dtype=dtype, num_layers=2, **options)
    x, initial = _normal(T, B, 30), state(cell, (2, B, H))
    digests = set()
    for forward, back in ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (2, 4), (4, 4), (6, 2)):
        layer.rng = np.random.default_rng(5)
        bptt.set_num_threads(forward)
        inferred, ends = layer.freeze()(x, initial)
        y, last, tape = layer.forward(x, initial)
        bptt.set_num_threads(back)
        layer.zero_grad()
        dx, dstate = layer.backward(tape, np.cos(y), last, **ways)
        kept = [*tape.h, *(tape.c or ()), *tape.gates, *(tape.dh or ()), tape.dh_norm]
        found = [inferred, *ends, y, *last, dx, *dstate, layer.flat_gradients, *kept]
        assert all(a.shape == (T, B, a.shape[-1]) for a in (inferred, y, dx, *tape.h, *tape.gates))
        digests.add(_digest({str(i): np.ascontiguousarray(a) for i, a in enumerate(found)}))
    assert len(digests) == 1


@pytest.mark.parametrize("layer", [bptt.RNN, bptt.LSTM, bptt.GRU])
def test_halves_are_apart_on_two_threads(layer):
    """What is kept of the first layer is then shown as copies: else the test above would show nothing new."""
    rnn = layer(30, 33, num_layers=2, seed=0)
    for threads, copied in ((1, False), (2, True)):
        bptt.set_num_threads(threads)
        tape = rnn.forward(_normal(37, 45, 30))[2]
        assert np.shares_memory(tape.h[0], tape.h[0]) != copied
        assert np.shares_memory(tape.h[1], tape.h[1])  # the output


@pytest.mark.parametrize("cell", CELLS)
def test_any_batch_mates(cell):
    for dtype in DTYPES:
        for isa in ISAS:
            bptt.use_isa(isa)
            T, B, H = 4, 13, 17
            layer = build(cell, 5, H, dtype=dtype, num_layers=2)
            x, initial = _normal(T, B, 5), state(cell, (2, B, H))
            together = _training_step(layer, x, initial)
            for rows in (slice(0, 1), slice(12, 13), slice(3, 10)):
                alone = _training_step(layer, x[:, rows], _rows(initial, rows))
                for name in ("y", "h", "c", "dx", "dh", "dc"):
                    np.testing.assert_array_equal(alone[name], together[name][:, rows], err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_any_cut_of_the_time_axis(cell):
    for layers in [1, 2]:
        for dtype in DTYPES:
            for isa in ISAS:
                bptt.use_isa(isa)
                T, B, H = 9, 3, 17
                layer = build(cell, 5, H, dtype=dtype, num_layers=layers)
                x, initial = _normal(T, B, 5), state(cell, (layers, B, H))
                y, last = layer(x, initial)
                for cut in (0, 1, 4, 8, 9):
                    for run in (layer, layer.forward):
                        first, carried = run(x[:cut], initial)[:2]
                        second, end = run(x[cut:], carried)[:2]
                        np.testing.assert_array_equal(np.concatenate([first, second]), y)
                        np.testing.assert_array_equal(np.stack(end), np.stack(last))


@pytest.mark.parametrize("cell", CELLS)
def test_training_computes_what_inference_computes(cell):
    for dtype in DTYPES:
        for isa in ISAS:
            bptt.use_isa(isa)
            layer = build(cell, 5, 17, dtype=dtype, num_layers=2, bidirectional=True)
            x, initial = _normal(6, 3, 5), state(cell, (4, 3, 17))
            (y, last), (y_training, last_training, _) = layer(x, initial), layer.forward(x, initial)
            np.testing.assert_array_equal(y, y_training)
            np.testing.assert_array_equal(np.stack(last), np.stack(last_training))


@pytest.mark.parametrize("cell", CELLS)
def test_truncation_at_or_past_the_length_is_full_backpropagation(cell):
    for steps in [6, 7, 1000]:
        for dtype in DTYPES:
            for isa in ISAS:
                bptt.use_isa(isa)
                layer = build(cell, 5, 17, dtype=dtype, num_layers=2)
                x, initial = _normal(6, 3, 5), state(cell, (2, 3, 17))
                full, truncated = (_digest(_training_step(layer, x, initial, steps=s)) for s in (None, steps))
                assert full == truncated


def _training_step(layer, x, initial, **options):
    """Everything that one step gives, by name."""
    y, last, tape = layer.forward(x, initial)
    layer.zero_grad()
    dx, dstate = layer.backward(tape, np.cos(y), last, **options)
    (h, c), (dh, dc) = (s if isinstance(s, tuple) else (s, s) for s in (last, dstate))
    found = {
        "y": y,
        "h": h,
        "c": c,
        "dx": dx,
        "dh": dh,
        "dc": dc,
        "dh_norm": tape.dh_norm,
        "dc_norm": tape.dc_norm,
    }
    return {k: v for k, v in found.items() if v is not None} | {"gradients": layer.flat_gradients.copy()}


def _digest(found):
    """One line per tensor, so that a failure shows which one differs."""
    lines = (f"{name} {hashlib.sha256(value.tobytes()).hexdigest()}" for name, value in found.items())
    return "\n".join(lines)


def _rows(initial, rows):
    return tuple(s[:, rows] for s in initial) if isinstance(initial, tuple) else initial[:, rows]


def _normal(*shape):
    return np.random.default_rng(1).standard_normal(shape)
