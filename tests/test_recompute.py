"""With `checkpoint`, backpropagation through time gives the bits of the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, ISAS, build, state
from tests.grids import pairwise, together
from tests.test_options import numbers, single_variants

import bptt

T, B, I, H = 70, 50, 3, 7
"""Rows enough for chunks of a few steps: pieces of several chunks, a short first one."""

LENGTHS = np.random.default_rng(1).integers(0, T + 1, B)
LENGTHS[:3] = 0, T, 1
RAGGED = {"whole": None, "ragged": LENGTHS, "early": LENGTHS // 2}
every_cell = pytest.mark.parametrize("cell", CELLS)


def leaves(value):
    return value if isinstance(value, tuple) else (value,)


def step(layer, x, checkpoint, start=None, steps=None, dy=True, **call):
    """All that a training step gives, and its tape; the layer draws the same masks each time."""
    layer.rng = np.random.default_rng(11)
    y, last, tape = layer.forward(x, start, checkpoint=checkpoint, **call)
    layer.zero_grad()
    dx, dstart = layer.backward(
        tape,
        np.cos(y) if dy else None,
        tuple(map(np.sin, last)) if isinstance(last, tuple) else np.sin(last),
        steps=steps,
    )
    norms = (tape.dh_norm,) if tape.dc_norm is None else (tape.dh_norm, tape.dc_norm)
    return (y, *leaves(last), dx, *leaves(dstart), layer.flat_gradients.copy(), *norms), tape


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pairwise(("cell", CELLS.keys()), ("lengths", RAGGED), ("dtype", DTYPES), ("isa", ISAS))
def test_the_bits_of_the_plain_pass(cell, lengths, dtype, isa):
    bptt.use_isa(isa)
    layer = build(cell, I, H, num_layers=2, dropout=0.3, dtype=dtype)
    x, start = numbers(T, B, I), state(cell, (2, B, H))
    call = {"start": start, "lengths": lengths, "reset": numbers(T, B) > 1.5}
    for steps in (None, 0, 1, 13, 40, T):
        expected, _ = step(layer, x, None, steps=steps, **call)
        for checkpoint in (1, 17, "auto", T, 10**6):
            assert_same_bits(step(layer, x, checkpoint, steps=steps, **call)[0], expected)


@single_variants
def test_every_option(kind, options):
    layer = getattr(bptt, kind)(I, H, num_layers=2, seed=0, **options)
    for lengths in RAGGED.values():
        expected, plain = step(layer, numbers(T, B, I), None, lengths=lengths)
        found, tape = step(layer, numbers(T, B, I), 1, lengths=lengths)
        assert_same_bits(found, expected)
        assert_same_bits((*tape.h, *tape.gates, *(tape.c or ())), (*plain.h, *plain.gates, *(plain.c or ())))
        assert tape.masks.keys() == plain.masks.keys()
        again, _ = step(layer, numbers(T, B, I), 1, lengths=lengths, masks=plain.masks)
        assert_same_bits(again, expected)


@together(
    pairwise(
        ("cell", CELLS.keys()),
        ("steps, batch, width", [(900, 1, 40), (300, 9, 70), (60, 130, 16)]),
        ("threads", [1, 2, 3, 7]),
    )
)
def test_any_number_of_threads(cell, steps, batch, width, threads):
    bptt.set_num_threads(threads)
    layer, x = build(cell, 5, width), numbers(steps, batch, 5)
    assert_same_bits(step(layer, x, 1)[0], step(layer, x, None)[0])


@pytest.mark.parametrize(
    ("cell", "backend"),
    [
        *((cell, "native") for cell in CELLS),
        *(
            pytest.param(cell, "reference", marks=() if cell in ("lstm", "gru") else pytest.mark.grid)
            for cell in CELLS
        ),
    ],
)
def test_either_backend_clips_and_keeps_errors(cell, backend):
    layer = build(cell, I, H, backend, num_layers=2, dropout=0.3, dtype="float64")
    found = []
    for checkpoint in (None, 10):
        layer.rng = np.random.default_rng(11)
        y, _, tape = layer.forward(numbers(T, B, I), lengths=LENGTHS, checkpoint=checkpoint)
        layer.zero_grad()
        dx, _ = layer.backward(tape, np.cos(y), clip_state=0.1, keep_errors=True, steps=50)
        found.append((dx, layer.flat_gradients.copy(), *tape.dh))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13 * np.abs(one).max())
        assert backend == "reference" or np.array_equal(one, other)


@every_cell
def test_edges(cell):
    """No steps, no rows, one step, no errors, the layer's other layout, an input that is changed later."""
    layer = build(cell, I, H)
    for shape in ((0, 2, I), (3, 0, I), (1, 1, I)):
        assert_same_bits(step(layer, numbers(*shape), 2)[0], step(layer, numbers(*shape), None)[0])
    x = numbers(T, B, I)
    assert_same_bits(step(layer, x, 2, dy=False)[0], step(layer, x, None, dy=False)[0])
    other = build(cell, I, H, batch_first=True)
    assert_same_bits(step(other, x[:, :3], 2)[0], step(other, x[:, :3], None)[0])
    assert_same_bits(step(layer, x[:, 0], 2)[0], step(layer, x[:, 0], None)[0])
    x = x.astype("f4")
    expected = step(layer, x, None)[0]
    y, last, tape = layer.forward(x, checkpoint=2)
    x[...] = np.nan
    layer.zero_grad()
    layer.backward(tape, np.cos(y), tuple(map(np.sin, last)) if isinstance(last, tuple) else np.sin(last))
    np.testing.assert_array_equal(layer.flat_gradients, expected[-3 if tape.dc_norm is not None else -2])


def test_several_backward_passes_add_up():
    layer = build("lstm", I, H, dtype="float64")
    y, _, tape = layer.forward(numbers(T, B, I), checkpoint=5)
    layer.backward(tape, np.cos(y))
    once = layer.flat_gradients.copy()
    layer.backward(tape, np.cos(y))
    np.testing.assert_allclose(layer.flat_gradients, 2 * once, rtol=1e-12)


def test_the_tape_keeps_little():
    """In bytes: a state for each piece, not the gates of every step."""
    layer = build("lstm", 1, 32)
    steps = 20_000
    _, _, tape = layer.forward(numbers(steps, 1, 1), checkpoint="auto")
    plain = steps * 6 * 32 * 4
    held = sum(part.nbytes for pair in tape.core._states for part in pair)
    assert held < plain / 500


def test_models_and_the_trainer():
    def trained(**options):
        model = bptt.Sequential(
            build("lstm", I, H, dropout=0.2, num_layers=2), build("gru", H, H), bptt.Linear(H, 2, seed=1)
        )
        trainer = bptt.Trainer(
            model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False, seed=3, **options
        )
        trainer.fit([(numbers(T, B, I), numbers(T, B, 2), LENGTHS)], 3)
        return model.flat_parameters.copy()

    plain = trained()
    np.testing.assert_array_equal(trained(checkpoint=6), plain)
    np.testing.assert_array_equal(trained(checkpoint="auto"), plain)
    np.testing.assert_array_equal(trained(checkpoint=6, truncate=30), trained(truncate=30))


@pytest.mark.parametrize("checkpoint", [None, 6, "auto"])
def test_the_trainer_recomputes_what_checkpoint_says(checkpoint, monkeypatch):
    model = build("gru", I, H)
    forward, given = model.forward, []

    def watched(*arguments, **options):
        given.append(options.get("checkpoint"))
        return forward(*arguments, **options)

    monkeypatch.setattr(model, "forward", watched)
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False, truncate=30, checkpoint=checkpoint
    )
    trainer.fit([(numbers(T, B, I), numbers(T, B, H))])
    assert given == [checkpoint] * -(-T // 30)


def test_a_nan_is_located_on_a_tape_that_recomputes():
    model = bptt.Sequential(build("gru", I, H), bptt.Linear(H, 2, seed=1))
    x = numbers(T, B, I)
    x[31, 2, 0] = np.nan
    found = []
    for checkpoint in (None, 10):
        trainer = bptt.Trainer(
            model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False, checkpoint=checkpoint
        )
        with pytest.raises(bptt.NonFiniteError) as caught:
            trainer.fit([(x, numbers(T, B, 2))])
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert "31" in found[0]


@pytest.mark.parametrize(
    ("checkpoint", "error", "words"),
    [
        (0, ValueError, "checkpoint must be an int >= 1"),
        (-3, ValueError, "got -3"),
        (2.5, TypeError, 'checkpoint must be an int >= 1, or "auto"; got 2.5'),
        ("sqrt", TypeError, 'or "auto"; got .sqrt.'),
        (True, TypeError, "got the bool True"),
    ],
)
def test_bad_checkpoints(checkpoint, error, words):
    layer = build("gru", I, H)
    with pytest.raises(error, match=words):
        layer.forward(numbers(T, B, I), checkpoint=checkpoint)
    with pytest.raises(error, match=words):
        bptt.Trainer(layer, bptt.MeanSquaredError(), bptt.SGD(0.1), checkpoint=checkpoint)


def test_what_reads_backward_is_refused():
    layer = build("gru", I, H, bidirectional=True)
    with pytest.raises(ValueError, match="checkpoint needs a layer that reads forward only"):
        layer.forward(numbers(T, B, I), checkpoint=4)
    with pytest.raises(ValueError, match="checkpoint needs a model that reads forward only"):
        bptt.Trainer(layer, bptt.MeanSquaredError(), bptt.SGD(0.1), checkpoint=4)
    with pytest.raises(ValueError, match="checkpoint needs a recurrent layer"):
        bptt.Trainer(bptt.Linear(2, 2), bptt.MeanSquaredError(), bptt.SGD(0.1), checkpoint=4)
