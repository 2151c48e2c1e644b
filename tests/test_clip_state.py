"""Clipping inside the recursion: agreement with the reference, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import CELLS, COMBINED, DTYPES, ISAS, PAIRS, SINGLE, build
from tests.grids import in_turn, pairwise, together
from tests.test_options import B, I, T, numbers, setting, start_of
from tests.test_options import build as build_variant

import bptt
from bptt.layers.passes.clip_state import StateClip

CLIPS = {
    "value": (0.3, StateClip(value=0.3)),
    "norm": (bptt.ClipNorm(0.7), StateClip(norm=0.7)),
    "both": (StateClip(0.4, 0.8), StateClip(0.4, 0.8)),
}
"""What is passed, and what it means."""

PASSED = {name: clip for name, (clip, _) in CLIPS.items()}

every_clip = pytest.mark.parametrize(("clip", "bounds"), CLIPS.values(), ids=CLIPS)
every_cell = pytest.mark.parametrize("cell", CELLS)
every_isa = pytest.mark.parametrize("isa", ISAS)


def within(rows, bounds):
    """Rows of errors after clipping, in NumPy."""
    rows = np.clip(rows, -bounds.value, bounds.value)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.where(norms > bounds.norm, rows * (bounds.norm / norms), rows)


@together(in_turn(("kind, options", SINGLE), ("isa", ISAS), ("clip", PASSED)))
def test_agreement_with_the_reference(kind, options, isa, clip):
    bptt.use_isa(isa)
    layer = build_variant(kind, options, num_layers=2, bidirectional=True)
    bptt.crosscheck(layer, numbers(T, B, I), start_of(layer), clip_state=clip, **setting("ragged_reset"))


@together(in_turn(("kind, options", SINGLE | COMBINED), extra=PAIRS))
def test_agreement_of_pairs_of_options(kind, options):
    layer = build_variant(kind, options, bidirectional=True)
    clip, _ = CLIPS["both"]
    bptt.crosscheck(layer, numbers(T, B, I), start_of(layer), clip_state=clip, **setting("ragged_reset"))


@pairwise(("cell", CELLS.keys()), ("H", [1, 8, 33]), ("dtype", DTYPES), ("isa", ISAS), ("clip", PASSED))
def test_agreement_of_plain_cells(cell, H, dtype, isa, clip):
    bptt.use_isa(isa)
    layer = build(cell, I, H, num_layers=2, dtype=dtype)
    bptt.crosscheck(layer, numbers(20, 3, I), clip_state=clip)
    bptt.crosscheck(layer, numbers(20, 3, I), clip_state=clip, steps=11)


@every_cell
def test_every_step_is_within_bounds_and_most_are_at_them(cell):
    """Or the tests above compare what was never clipped."""
    for clip, bounds in CLIPS.values():
        layer = build(cell, I, 9, dtype="float64")
        y, _, tape = layer.forward(numbers(T, B, I), start_of(layer))
        layer.backward(tape, numbers(*y.shape, seed=8), clip_state=clip, keep_errors=True)
        (dh,) = tape.dh
        np.testing.assert_allclose(within(dh, bounds), dh, rtol=1e-14)
        # The last step's error is all the caller's own.
        np.testing.assert_allclose(dh[-1], within(numbers(*y.shape, seed=8)[-1], bounds), rtol=1e-14)
        largest = max(np.abs(dh).max() / bounds.value, np.linalg.norm(dh, axis=2).max() / bounds.norm)
        assert largest == pytest.approx(1, rel=1e-14)
        np.testing.assert_allclose(np.linalg.norm(dh, axis=(1, 2)), tape.dh_norm[0], rtol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_bounds_not_reached_change_nothing(cell):
    for dtype in ["float32", "float64"]:
        for isa in ISAS:
            bptt.use_isa(isa)
            layer = build(cell, I, 17, num_layers=2, bidirectional=True, dtype=dtype)
            y, _, tape = layer.forward(numbers(T, B, I))
            found, norms = [], []
            for clip in (None, 1e30, bptt.ClipNorm(1e30)):
                layer.zero_grad()
                dx, _ = layer.backward(tape, np.cos(y), clip_state=clip)
                found.append((dx, layer.flat_gradients.copy()))
                norms.append(tape.dh_norm)
            # Summed in another order, in float64, of errors that were rounded to the layer's dtype.
            for other in norms[1:]:
                np.testing.assert_allclose(other, norms[0], rtol=50 * np.finfo(dtype).eps)
            for other in found[1:]:
                for value, plain in zip(other, found[0], strict=True):
                    if (
                        cell == "lstm"
                    ):  # whose cell another kernel inverts where it is clipped, and rounds elsewhere
                        largest = np.abs(plain).max()
                        np.testing.assert_allclose(
                            value, plain, rtol=0, atol=50 * np.finfo(dtype).eps * largest
                        )
                    else:
                        np.testing.assert_array_equal(value, plain)


@every_cell
def test_rows_do_not_see_each_other(cell):
    layer = build(cell, I, 9, num_layers=2)
    x, dy = numbers(T, B, I).astype("f4"), numbers(T, B, 9, seed=8).astype("f4")

    def run(rows, clip):
        _, _, tape = layer.forward(x[:, rows])
        dx, dstart = layer.backward(tape, dy[:, rows], clip_state=clip, keep_errors=True)
        return dx, *(dstart if isinstance(dstart, tuple) else (dstart,)), *tape.dh

    for name, clip in PASSED.items():
        together = run(slice(None), clip)
        for row in range(B):
            for whole, alone in zip(together, run(slice(row, row + 1), clip), strict=True):
                np.testing.assert_array_equal(whole[:, row : row + 1], alone, err_msg=name)


@pairwise(
    ("cell", CELLS.keys()), ("shape", [(30, 33, 12), (25, 3, 150), (60, 8, 40)]), ("clip, bounds", CLIPS)
)
def test_threads_change_no_bit(cell, shape, clip, bounds):
    steps, batch, width = shape
    layer = build(cell, 6, width)
    x = numbers(steps, batch, 6).astype("f4")
    expected = None
    for threads in (1, 2, 3, 7):
        bptt.set_num_threads(threads)
        y, _, tape = layer.forward(x)
        layer.zero_grad()
        dx, _ = layer.backward(tape, np.cos(y), clip_state=clip)
        found = (dx, layer.flat_gradients.copy(), tape.dh_norm)
        expected = expected or found
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@every_cell
def test_huge_errors_are_scaled_and_keep_their_direction(cell):
    for dtype, size in [("float32", 1e30), ("float64", 1e200), ("float64", 1e307)]:
        layer = build(cell, I, 9, dtype=dtype)
        y, _, tape = layer.forward(numbers(1, B, I))
        direction = numbers(*y.shape, seed=8)
        layer.backward(tape, size * direction, clip_state=bptt.ClipNorm(2.0), keep_errors=True)
        expected = 2 * direction / np.linalg.norm(direction, axis=2, keepdims=True)
        np.testing.assert_allclose(tape.dh[0], expected, rtol=4 * np.finfo(dtype).eps)
        assert np.isfinite(layer.flat_gradients).all()


@every_cell
def test_nan_shows(cell):
    layer = build(cell, I, 9)
    y, _, tape = layer.forward(numbers(T, B, I))
    dy = np.ones_like(y)
    dy[3, 1] = np.nan
    for clip in (0.3, bptt.ClipNorm(0.3)):
        layer.zero_grad()
        layer.backward(tape, dy, clip_state=clip)
        assert np.isnan(tape.dh_norm[0, 3])
        assert np.isfinite(tape.dh_norm[0, 4:]).all()
        assert np.isnan(layer.flat_gradients).any()


@every_cell
def test_errors_are_kept_only_where_asked_for(cell):
    layer = build(cell, I, 9, num_layers=2, dtype="float64")
    y, _, tape = layer.forward(numbers(T, B, I))
    assert tape.dh is None
    layer.backward(tape, np.cos(y), steps=4, keep_errors=True)
    plain = tape.dh_norm
    for number, dh in enumerate(tape.dh):
        assert dh.shape == (T, B, 9)
        assert not dh.flags.writeable
        assert not dh[: T - 4].any()
        np.testing.assert_allclose(np.linalg.norm(dh, axis=(1, 2)), plain[number], rtol=1e-13)
    layer.backward(tape, np.cos(y), steps=4)
    assert tape.dh is None
    np.testing.assert_allclose(tape.dh_norm, plain, rtol=1e-13)


def test_models_hand_it_to_their_recurrent_layers():
    """A model of an LSTM and a Linear, against the two by hand."""
    lstm, linear = build("lstm", I, 9, dtype="float64"), bptt.Linear(9, 3, dtype="float64", seed=1)
    model = bptt.Sequential(lstm, linear)
    y, _, tape = model.forward(numbers(T, B, I))
    model.backward(tape, np.cos(y), clip_state=0.05)
    together = model.flat_gradients.copy()
    model.zero_grad()
    middle, _, first = lstm.forward(numbers(T, B, I))
    _, _, second = linear.forward(middle)
    error, _ = linear.backward(second, np.cos(y))
    lstm.backward(first, error, clip_state=0.05)
    np.testing.assert_array_equal(model.flat_gradients, together)
    bptt.crosscheck(model, numbers(T, B, I), clip_state=bptt.ClipNorm(0.05))


def test_the_trainer_hands_it_on():
    def trained(**options):
        model = bptt.Sequential(build("rnn_tanh", I, 9), bptt.Linear(9, 2, seed=1))
        trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False, **options)
        trainer.fit([(numbers(T, B, I), numbers(T, B, 2))], 2)
        return model.flat_parameters.copy()

    plain = trained()
    assert not np.array_equal(trained(clip_state=1e-3), plain)
    np.testing.assert_array_equal(trained(clip_state=bptt.ClipNorm(1e9)), plain)


@pytest.mark.parametrize(
    ("clip", "error", "words"),
    [
        (0, ValueError, "clip_state must be a number > 0"),
        (-1.5, ValueError, "got -1.5"),
        (float("nan"), ValueError, "got nan"),
        ("1", TypeError, "clip_state must be a number"),
        ([1.0], TypeError, "got list"),
        (bptt.ClipNorm("auto"), ValueError, "auto"),
    ],
)
def test_bad_bounds_change_nothing(clip, error, words):
    layer = build("lstm", I, 9)
    y, _, tape = layer.forward(numbers(T, B, I))
    layer.backward(tape, np.cos(y))
    before = layer.flat_gradients.copy()
    with pytest.raises(error, match=words):
        layer.backward(tape, np.cos(y), clip_state=clip)
    with pytest.raises(error, match=words):
        bptt.Trainer(layer, bptt.MeanSquaredError(), bptt.SGD(0.1), clip_state=clip)
    np.testing.assert_array_equal(layer.flat_gradients, before)


def test_what_has_no_recurrent_layer_cannot_clip_inside():
    with pytest.raises(ValueError, match="clip_state needs a recurrent layer"):
        bptt.Trainer(bptt.Linear(2, 2), bptt.MeanSquaredError(), bptt.SGD(0.1), clip_state=1.0)
    with pytest.raises(TypeError, match="clip_state must be None unless the layer is recurrent"):
        bptt.crosscheck(bptt.Linear(2, 2), numbers(3, 2), clip_state=1.0)
