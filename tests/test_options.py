"""Every option of every cell, alone and in pairs: gradients, agreement with the reference, and the same bits
whatever a row's batch, padding and threads are."""

from __future__ import annotations

import copy
import itertools
import json
import pickle

import numpy as np
import pytest
from tests.cells import BACKENDS, COMBINED, DTYPES, ISAS, PAIRS, SINGLE, VARIANTS
from tests.grids import in_turn, pairwise, together

import bptt

T, B, I, H = 7, 5, 4, 9
LENGTHS = np.array([3, 7, 0, 6, 1])
PACKED = {"lengths": LENGTHS, "reset": True, "skip": True}
SETTINGS = {
    "whole": ({}, {}),
    "ragged_reset": ({"bidirectional": True}, {"lengths": LENGTHS, "reset": True}),
    "skip": ({"bidirectional": True, "merge": "mean"}, PACKED),
    "reverse": ({"reverse": True}, PACKED),
}
"""Options of a layer, and what a call takes: True stands for an array of flags."""
MORE = SETTINGS | {
    "sum": ({"bidirectional": True, "merge": "sum"}, PACKED),
    "mul": ({"bidirectional": True, "merge": "mul"}, PACKED),
}
WAYS = {where: ways for where, (ways, _) in MORE.items()}
"""How a layer reads time."""

single_variants = together(in_turn(("kind, options", SINGLE)), size=4)


def numbers(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape)


def build(kind, options, backend="native", **more):
    return getattr(BACKENDS[backend], kind)(I, H, **{"dtype": "float64", "seed": 0} | options | more)


def start_of(layer, batch=B, seed=5):
    """An initial state away from zero, where some activations have kinks."""
    rng = np.random.default_rng(seed)
    count = layer.num_layers * layer.num_directions
    h = 0.5 * rng.standard_normal((count, batch, layer.output_size))
    return (h, rng.standard_normal((count, batch, layer.hidden_size))) if layer.has_cell_state else h


def resets(steps=T, batch=B):
    return np.random.default_rng(9).random((steps, batch)) < 0.25


def setting(name):
    """What a call takes, by name: arrays in place of the flags."""
    flags = {"reset": resets(), "skip": np.random.default_rng(7).random((T, B)) < 0.4}
    return {key: flags.get(key, value) for key, value in MORE[name][1].items()}


def masks_of(tape, rows, steps):
    """The masks of some rows and steps of a pass."""
    cuts = {"input": (rows,), "recurrent": (slice(None), rows)}
    return {name: mask[cuts.get(name, (slice(None), steps, rows))] for name, mask in tape.masks.items()}


def leaves(value):
    return value if isinstance(value, tuple) else (value,)


def mapped(function, value):
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def step(layer, x, start, **call):
    """Everything that a training step gives, by name; the masks are passed back in."""
    layer.zero_grad()
    y, last, tape = layer.forward(x, start, **call)
    dx, dstart = layer.backward(tape, np.cos(y), mapped(np.sin, last))
    found = {"y": y, "dx": dx, "gradients": layer.flat_gradients.copy(), "dh_norm": tape.dh_norm}
    found |= {f"state {i}": part for i, part in enumerate(leaves(last))}
    found |= {f"dstate {i}": part for i, part in enumerate(leaves(dstart))}
    return found, tape


def assert_same(found, expected, names=None):
    for name in names or expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def check_gradients(kind, options, isa, where):
    bptt.use_isa(isa)
    layer = build(kind, options, num_layers=2, **WAYS[where])
    bptt.gradcheck(layer, numbers(T, B, I), start_of(layer), entries=3, **setting(where))


@together(pairwise(("kind, options", SINGLE), ("isa", ISAS), ("where", SETTINGS.keys())))
def test_gradients(kind, options, isa, where):
    check_gradients(kind, options, isa, where)


@together(in_turn(("kind, options", COMBINED), ("isa", ISAS), ("where", MORE.keys()), extra=PAIRS))
def test_gradients_of_options_together(kind, options, isa, where):
    check_gradients(kind, options, isa, where)


@together(
    in_turn(
        ("kind, options", SINGLE | COMBINED),
        ("where", MORE.keys()),
        ("dtype", DTYPES),
        ("isa", ISAS),
        extra=PAIRS,
    )
)
def test_agreement_with_the_reference(kind, options, where, dtype, isa):
    bptt.use_isa(isa)
    layer = build(kind, options, num_layers=2, dtype=dtype, **WAYS[where])
    bptt.crosscheck(layer, numbers(T, B, I), start_of(layer), **setting(where))


@together(in_turn(("kind, options", SINGLE), ("where", MORE.keys()), extra=PAIRS))
def test_gradients_of_the_reference(kind, options, where):
    layer = build(kind, options, "reference", **WAYS[where])
    bptt.gradcheck(layer, numbers(T, B, I), start_of(layer), entries=1, **setting(where))


@together(in_turn(("kind, options", SINGLE), ("ways", WAYS), ("isa", ISAS)))
def test_a_row_has_the_bits_that_it_has_alone(kind, options, ways, isa):
    """Alone, in a ragged batch, and in a padded one, with resets and the same masks."""
    bptt.use_isa(isa)
    layer = build(kind, options, num_layers=2, **ways)
    x, start, call = numbers(T, B, I), start_of(layer), setting("ragged_reset")
    together, tape = step(layer, x, start, **call)
    padded = x.copy()
    padded[np.arange(T)[:, None] >= LENGTHS] = np.nan
    again, _ = step(layer, padded, start, masks=tape.masks, **call)
    assert_same(again, together)
    for row, n in enumerate(LENGTHS):
        rows = slice(row, row + 1)
        masks = masks_of(tape, rows, slice(n))
        own_start = mapped(lambda part, rows=rows: part[:, rows], start)
        alone, _ = step(layer, x[:n, rows], own_start, masks=masks, reset=call["reset"][:n, rows])
        for name, value in together.items():
            if name in ("y", "dx"):
                np.testing.assert_array_equal(value[:n, rows], alone[name], err_msg=name)
                assert not value[n:, rows].any(), name
            elif "state" in name:
                np.testing.assert_array_equal(value[:, rows], alone[name], err_msg=name)


@together(
    in_turn(("kind, options", SINGLE), ("ways", WAYS), ("shape", [(30, 33, 12), (25, 3, 150), (60, 8, 40)]))
)
def test_threads_change_no_bit(kind, options, ways, shape):
    steps, batch, width = shape
    layer = getattr(bptt, kind)(6, width, seed=0, **options, **ways)
    x, start = numbers(steps, batch, 6), start_of(layer, batch)
    lengths = np.random.default_rng(1).integers(0, steps + 1, batch)
    skip = np.random.default_rng(2).random((steps, batch)) < 0.3
    for call in ({}, {"lengths": lengths, "reset": resets(steps, batch), "skip": skip}):
        bptt.set_num_threads(1)
        expected, tape = step(layer, x, start, **call)
        for threads in (2, 3, 4, 7):
            bptt.set_num_threads(threads)
            found, _ = step(layer, x, start, masks=tape.masks, **call)
            assert_same(found, expected)


@together(in_turn(("kind, options", SINGLE), ("isa", ISAS), ("dtype", ["float32", "float64"])))
def test_inference_frozen_streamed_and_in_pieces(kind, options, isa, dtype):
    bptt.use_isa(isa)
    layer = build(kind, options, num_layers=2, dtype=dtype)
    x, start = numbers(T, B, I).astype(dtype), mapped(lambda part: part.astype(dtype), start_of(layer))
    y, last = layer(x, start)
    frozen_y, frozen_last = layer.freeze()(x, start)
    stream = layer.stream(B)
    stream.state = start
    one, carried = layer(x[:3], start)
    other, end = layer(x[3:], carried)
    np.testing.assert_array_equal(frozen_y, y)
    np.testing.assert_array_equal(stream.run(x), y)
    np.testing.assert_array_equal(np.concatenate([one, other]), y)
    for state in (frozen_last, stream.state, end):
        for found, wanted in zip(leaves(state), leaves(last), strict=True):
            np.testing.assert_array_equal(found, wanted)
    if not set(options) & {"recurrent_dropout", "input_dropout", "zoneout"}:
        np.testing.assert_array_equal(layer.forward(x, start)[0], y)


@together(in_turn(("kind, options", SINGLE), ("backend", BACKENDS.keys())))
def test_a_reset_parts_a_row_into_sequences_of_their_own(kind, options, backend):
    layer = build(kind, options, backend, bidirectional=True)
    x, start = numbers(T, 2, I), start_of(layer, 2)
    reset = np.zeros((T, 2), bool)
    reset[3, 0] = reset[0, 1] = reset[5, 1] = True
    found, tape = step(layer, x, start, reset=reset)
    for row, cuts in enumerate(([0, 3, T], [0, 5, T])):
        rows = slice(row, row + 1)
        for begin, end in itertools.pairwise(cuts):
            first = [begin == 0 and not reset[0, row], end == T]  # does the direction's given state arrive?
            own = mapped(lambda part, rows=rows: part[:, rows].copy(), start)
            for d, arrives in enumerate(first):
                if not arrives:
                    for part in leaves(own):
                        part[d] = 0
            masks = masks_of(tape, rows, slice(begin, end))
            y, _, _ = layer.forward(x[begin:end, rows], own, masks=masks)
            # NumPy's products of one row round otherwise than those of two
            rtol = 0 if backend == "native" else 1e-12
            np.testing.assert_allclose(found["y"][begin:end, rows], y, rtol=rtol, atol=rtol)
    # Nothing flows back over a boundary: errors of the later part leave the earlier part's inputs alone.
    y, _, tape = layer.forward(x, start, reset=reset, masks=tape.masks)
    dy = np.zeros_like(y)
    dy[3:, 0] = 1
    dx, dstart = layer.backward(tape, dy)
    assert not dx[:3, 0].any()
    assert dx[3:, 0].any()
    assert not any(part[0, 0].any() for part in leaves(dstart))


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_repeat_a_result(kind, backend):
    options = {"recurrent_dropout": 0.3, "input_dropout": 0.3, "zoneout": 0.4}
    layer = build(kind, options, backend, num_layers=2)
    x = numbers(T, B, I)
    y, _, tape = layer.forward(x)
    other, _, _ = layer.forward(x)
    again, _, _ = layer.forward(x, masks=tape.masks)
    assert (y != other).any()
    np.testing.assert_array_equal(again, y)
    names = {"input", "recurrent", "zoneout_h"} | ({"zoneout_c"} if kind == "LSTM" else set())
    assert set(tape.masks) == names
    for name, mask in tape.masks.items():
        assert not mask.flags.writeable
        allowed = [0, 1 / 0.7] if name in ("input", "recurrent") else [0, 1]
        assert np.isin(mask, allowed).all()
        assert len(np.unique(mask)) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_have_their_probabilities(dtype):
    options = {"recurrent_dropout": 0.2, "input_dropout": 0.3, "zoneout": (0.1, 0.6)}
    layer = bptt.LSTM(50, 64, seed=0, dtype=dtype, **options)
    _, _, tape = layer.forward(np.zeros((80, 100, 50)))
    for name, share in (("input", 0.7), ("recurrent", 0.8), ("zoneout_h", 0.1), ("zoneout_c", 0.6)):
        drawn = tape.masks[name] > 0
        deviation = np.sqrt(share * (1 - share) / drawn.size)
        assert abs(drawn.mean() - share) < 5 * deviation, name


def test_zoneout_of_a_certain_kind_keeps_the_state():
    layer = bptt.GRU(I, H, zoneout=0.5, seed=0, dtype="float64")
    x, start = numbers(T, B, I), 0.5 * numbers(1, B, H)
    kept, _, tape = layer.forward(x, start, masks={"zoneout_h": np.ones((1, T, B, H))})
    np.testing.assert_array_equal(kept, np.broadcast_to(start, (T, B, H)))
    free, _, _ = layer.forward(x, start, masks={"zoneout_h": np.zeros((1, T, B, H))})
    plain = bptt.GRU(I, H, dtype="float64", seed=1)
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(free, plain(x, start)[0])
    dx, dstart = layer.backward(tape, np.ones_like(kept))
    assert not dx.any()
    np.testing.assert_array_equal(dstart, np.full_like(start, T))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("D", [1, 2])
def test_input_dropout_is_a_product_before_each_layer(backend, D):
    """One mask for all steps and both directions: a stack is its layers, each with its input times a mask."""
    for call in ({}, {"lengths": LENGTHS, "reset": resets()}):
        both = {"bidirectional": D == 2, "backend": backend}
        stack = build("LSTM", {"input_dropout": 0.4, "num_layers": 2, "dropout": 0.0}, **both)
        x, start = numbers(T, B, I), start_of(stack)
        y, _, tape = stack.forward(x, start, **call)
        mask = tape.masks["input"]
        assert mask.shape == (B, I + D * H)
        dx, _ = stack.backward(tape, np.cos(y))

        value, tapes, layers = x, [], []
        for k, factors in enumerate((mask[:, :I], mask[:, I:])):
            layer = BACKENDS[backend].LSTM(value.shape[2], H, bidirectional=D == 2, dtype="float64", seed=1)
            own = {name: part for name, part in stack.state_dict().items() if f"_l{k}" in name}
            layer.load_state_dict({name.replace(f"_l{k}", "_l0"): part for name, part in own.items()})
            value, _, layer_tape = layer.forward(
                value * factors, mapped(lambda part, k=k: part[k * D : (k + 1) * D], start), **call
            )
            layers.append((layer, factors))
            tapes.append(layer_tape)
        np.testing.assert_array_equal(value, y)
        error = np.cos(y)
        for k, ((layer, factors), layer_tape) in reversed([*enumerate(zip(layers, tapes, strict=True))]):
            error, _ = layer.backward(layer_tape, error)
            error = error * factors
            for name, gradient in layer.gradients.items():
                found = stack.gradients[name.replace("_l0", f"_l{k}")]
                np.testing.assert_allclose(found, gradient, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dx, error, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(stack(x, start, **call)[0], stack.freeze()(x, start, **call)[0])


def test_dropped_inputs_that_are_not_finite_show():
    """As with the other masks: 0 times NaN or infinity is NaN."""
    layer = bptt.GRU(2, 3, input_dropout=0.5, seed=0)
    x = np.ones((2, 1, 2), np.float32)
    x[1, 0, 0] = np.inf
    y, _, _ = layer.forward(x, masks={"input": np.array([[0.0, 2.0]])})
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()


def test_layouts_of_resets():
    x, reset = numbers(T, B, I), resets()
    layer = bptt.LSTM(I, H, seed=0, dtype="float64")
    first = bptt.LSTM(I, H, seed=0, dtype="float64", batch_first=True)
    y, _ = layer(x, reset=reset)
    np.testing.assert_array_equal(first(x.swapaxes(0, 1), reset=reset.T)[0].swapaxes(0, 1), y)
    np.testing.assert_array_equal(layer(x[:, 1], reset=reset[:, 1])[0], y[:, 1])
    np.testing.assert_array_equal(layer.freeze()(x, reset=reset.tolist())[0], y)


def test_biases_of_gates_fill_all_layers_and_directions():
    """A number for all units, and one for each unit; other gates have what `init` draws."""
    values = {"input": -1.0, "forget": np.arange(H) / 4, "output": tuple(-np.arange(H) / 8)}
    for gates, coupled, without in (
        ("ifgo", 0, ()),
        ("fgo", 1, ("input", "forget")),
        ("igo", 0, ("forget",)),
    ):
        for gate in values.keys() - without:
            options = {
                f"{gate}_bias": values[gate],
                "coupled": bool(coupled),
                "forget_gate": "f" in gates,
                "init": lambda n, s, r: 9 + r.random(s),
            }
            layer = bptt.LSTM(I, H, 2, bidirectional=True, seed=0, **options)
            for name in ("l0", "l0_reverse", "l1", "l1_reverse"):
                both = layer.parameters[f"bias_ih_{name}"] + layer.parameters[f"bias_hh_{name}"]
                for letter, block in zip(gates, both.reshape(-1, H), strict=True):
                    if letter == gate[0]:
                        np.testing.assert_array_equal(block, np.broadcast_to(values[gate], H))
                    else:
                        assert (block > 9).all()


def test_an_lstm_without_forget_gate_is_one_whose_forget_gate_stays_open():
    for peephole in (False, True):
        layer = bptt.LSTM(
            I, H, forget_gate=False, peephole=peephole, layer_norm=False, dtype="float64", seed=0
        )
        gated = bptt.LSTM(I, H, peephole=peephole, dtype="float64", seed=1)
        for name, view in gated.parameters.items():
            rows = 3 if name.startswith("weight_peephole") else 4
            blocks = [*np.split(layer.parameters[name], rows - 1)]
            blocks.insert(1, np.zeros_like(blocks[0]) + (800 if name.startswith("bias") else 0))  # sigmoid: 1
            view[...] = np.concatenate(blocks)
        x, start = numbers(T, B, I), start_of(layer)
        found, wanted = step(layer, x, start)[0], step(gated, x, start)[0]
        for name in found.keys() - {"gradients"}:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-14, err_msg=name)
        for name, gradient in layer.gradients.items():
            rows = 3 if name.startswith("weight_peephole") else 4
            kept = np.delete(gated.gradients[name].reshape(rows, -1), 1, axis=0)
            np.testing.assert_allclose(gradient.reshape(rows - 1, -1), kept, rtol=1e-11, atol=1e-13)


def test_biases_of_gates_are_json_and_survive_a_file(tmp_path):
    layer = bptt.LSTM(I, H, forget_bias=np.arange(H, dtype=np.float32), input_bias=np.float64(-1), seed=0)
    config = json.loads(json.dumps(layer.config()))
    again = bptt.LSTM.from_config(config)
    assert again.config() == layer.config()
    assert repr(again) == repr(layer) == repr(eval(repr(layer), {"LSTM": bptt.LSTM}))
    bptt.save(tmp_path / "m.safetensors", layer)
    assert bptt.load(tmp_path / "m.safetensors").config() == layer.config()
    assert bptt.reference.like(layer).config()["forget_bias"] == layer.forget_bias


def test_what_a_tape_shows():
    layer = bptt.LSTM(I, H, 2, proj_size=3, coupled=True, zoneout=0.2, bidirectional=True, seed=0)
    y, _, tape = layer.forward(numbers(T, B, I), lengths=LENGTHS)
    assert [view.shape for view in tape.h] == [(T, B, 3)] * 4
    assert [view.shape for view in tape.c] == [(T, B, H)] * 4
    assert [view.shape for view in tape.gates] == [(T, B, 3 * H)] * 4
    np.testing.assert_array_equal(np.concatenate(tape.h[2:], axis=2), y)


def test_a_tape_shows_activated_gates_where_it_keeps_their_arguments():
    """gelu and silu: a tape keeps what they read, because their slope does not follow from what they give."""
    x = numbers(T, B, I)
    for kind, options in (
        ("RNN", {"nonlinearity": "gelu"}),
        ("RNN", {"nonlinearity": "silu", "zoneout": 0.2}),
        ("GRU", {"activations": ("silu", "gelu"), "gate_clip": 0.4}),
        ("GRU", {"activations": ("sigmoid", "gelu"), "reset_after": False}),
        ("MGU", {"activations": ("silu", "tanh")}),
        ("LSTM", {"activations": ("sigmoid", "silu", "gelu")}),
    ):
        layer = build(kind, options, num_layers=2, bidirectional=True)
        reference = bptt.reference.like(layer)
        _, _, tape = layer.forward(x, lengths=LENGTHS)
        _, _, wanted = reference.forward(x, lengths=LENGTHS, masks=tape.masks or None)
        for found, expected in zip(tape.gates, wanted.gates, strict=True):
            assert not found.flags.writeable
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    layer = bptt.RNN(I, 40, nonlinearity="gelu", seed=0)  # threads may store two halves of the batch
    bptt.set_num_threads(2)
    _, _, tape = layer.forward(numbers(T, 64, I))
    np.testing.assert_array_equal(tape.gates[0], tape.h[0])


def trained(batches, **options):
    """Parameters after three epochs, and predictions of the first batch."""
    model = bptt.Sequential(
        bptt.GRU(I, H, dtype="float64", seed=0), bptt.Linear(H, 3, dtype="float64", seed=1)
    )
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.SGD(0.1), progress=False, **options)
    trainer.fit(batches, epochs=3)
    return model.flat_parameters, np.concatenate(trainer.predict(batches))


def test_training_on_episodes_end_to_end():
    """Two episodes one after the other, with a reset between, are two rows, or when truncated two batches."""
    x, target = numbers(16, 1, I), np.random.default_rng(1).integers(0, 3, (16, 1))
    reset = np.zeros((16, 1), bool)
    reset[8] = True
    joined = {"x": x, "target": target, "reset": reset}
    rows = {"x": x.reshape(2, 8, I).swapaxes(0, 1), "target": target.reshape(2, 8).T}
    parameters, y = trained([joined])
    other_parameters, other_y = trained([rows])
    np.testing.assert_allclose(parameters, other_parameters, rtol=1e-10)
    np.testing.assert_allclose(y, other_y.swapaxes(0, 1).reshape(16, 1, 3), rtol=1e-10)
    halves = [{"x": x[cut], "target": target[cut]} for cut in (slice(8), slice(8, 16))]
    for found, wanted in zip(trained([joined], truncate=4), trained(halves, truncate=4), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_a_model_without_recurrent_layers_takes_no_resets():
    with pytest.raises(ValueError, match="reset needs a recurrent layer"):
        bptt.Sequential(bptt.Linear(I, 3, seed=0))(numbers(T, B, I), reset=resets())


BAD_OPTIONS = [
    ("LSTM", {"proj_size": H}, ValueError, "proj_size must be less than hidden_size = 9; got 9"),
    ("LSTM", {"proj_size": -1}, ValueError, "proj_size must be an int >= 0"),
    ("LSTM", {"coupled": True, "forget_bias": 1.0}, ValueError, "forget_bias and coupled"),
    ("LSTM", {"coupled": True, "input_bias": 1.0}, ValueError, "input_bias and coupled"),
    ("LSTM", {"coupled": True, "forget_gate": False}, ValueError, "coupled needs a forget gate"),
    ("LSTM", {"forget_bias": 1.0, "forget_gate": False}, ValueError, "forget_bias needs a forget gate"),
    ("LSTM", {"init": "chrono", "forget_gate": False}, ValueError, "init=.chrono.*forget_gate=False"),
    ("LSTM", {"forget_gate": 0}, TypeError, "forget_gate must be True or False"),
    ("LSTM", {"bias": False, "output_bias": np.ones(H)}, ValueError, "output_bias needs a bias"),
    ("LSTM", {"input_bias": np.ones(H + 1)}, ValueError, "for each of the 9 hidden units; got.*10"),
    ("LSTM", {"output_bias": [np.inf] * H}, ValueError, "output_bias must be finite"),
    ("LSTM", {"output_bias": "1"}, TypeError, "output_bias must be a number"),
    ("LSTM", {"output_bias": ["1"] * H}, TypeError, "output_bias must be an array of real numbers"),
    ("LSTM", {"output_bias": [1e300] * H, "dtype": "float32"}, ValueError, "output_bias must hold values"),
    ("LSTM", {"bias": False, "forget_bias": 1.0}, ValueError, "forget_bias needs a bias"),
    ("LSTM", {"forget_bias": np.nan}, ValueError, "forget_bias must be"),
    ("LSTM", {"cell_clip": 0.0}, ValueError, "cell_clip must be a number > 0"),
    ("LSTM", {"gate_clip": -1.0}, ValueError, "gate_clip must be a number > 0"),
    ("LSTM", {"clip_mode": "spec"}, ValueError, "clip_mode needs a gate_clip"),
    (
        "LSTM",
        {"clip_mode": "both", "gate_clip": 1.0},
        ValueError,
        "clip_mode must be 'onnxruntime' or 'spec'",
    ),
    ("LSTM", {"activations": "tanh"}, TypeError, "activations must be three functions"),
    ("LSTM", {"activations": ("tanh", "tanh")}, ValueError, "of gates, candidate, output; got 2"),
    ("LSTM", {"activations": ("sigmoid", "swish", "tanh")}, ValueError, "candidate must be one of.*'swish'"),
    (
        "LSTM",
        {"activations": ("sigmoid", ("tanh", 1.0), "tanh")},
        ValueError,
        "tanh must have at most 0 parameters; got 1",
    ),
    (
        "LSTM",
        {"activations": ("sigmoid", ("elu", "a"), "tanh")},
        TypeError,
        "parameters of elu must be numbers",
    ),
    ("LSTM", {"activations": ("sigmoid", ("elu", -1.0), "tanh")}, ValueError, "alpha of elu must be >= 0"),
    ("LSTM", {"activations": ("sigmoid", 3, "tanh")}, TypeError, "candidate must be a name"),
    ("GRU", {"activations": ("tanh",)}, ValueError, "two functions, of gates, candidate; got 1"),
    ("GRU", {"activations": ("sigmoid", "tanh", "tanh")}, ValueError, "two functions, of gates, candidate"),
    ("GRU", {"gate_clip": 0}, ValueError, "gate_clip must be a number > 0"),
    ("MGU", {"activations": ("sigmoid", ("gelu", 1.0))}, ValueError, "gelu must have at most 0 parameters"),
    ("MGU", {"activations": "sigmoid"}, TypeError, "activations must be two functions"),
    ("RNN", {"nonlinearity": "swish"}, ValueError, "nonlinearity must be one of sigmoid, .*silu"),
    ("RNN", {"nonlinearity": ("elu", -1)}, ValueError, "nonlinearity: alpha of elu must be >= 0"),
    ("RNN", {"gate_clip": -1.0}, ValueError, "gate_clip must be a number > 0"),
    ("LSTM", {"zoneout": (0.1, 0.2, 0.3)}, ValueError, "zoneout must be a number or a pair"),
    ("LSTM", {"zoneout": 1.0}, ValueError, "zoneout must be a number >= 0 and < 1"),
    ("GRU", {"zoneout": (0.1, 0.2)}, TypeError, "zoneout must be a number"),
    ("GRU", {"reset_after": 1}, TypeError, "reset_after must be True or False"),
    ("RNN", {"recurrent_dropout": -0.1}, ValueError, "recurrent_dropout must be a number"),
    ("GRU", {"input_dropout": 1.0}, ValueError, "input_dropout must be a number"),
    ("RNN", {"layer_norm": "yes"}, TypeError, "layer_norm must be True or False"),
]


def test_bad_options(subtests):
    for kind, options, error, message in BAD_OPTIONS:
        with subtests.test(kind=kind):
            for backend in BACKENDS:
                with pytest.raises(error, match=message):
                    build(kind, options, backend)


@pytest.mark.parametrize(
    ("reset", "error", "message"),
    [
        (np.zeros((T, B)), TypeError, "reset must be an array of booleans; got dtype float64"),
        (np.zeros((B, T), bool), ValueError, r"reset must have shape \(7, 5\); got \(5, 7\)"),
        (True, ValueError, r"reset must have shape \(7, 5\); got \(\)"),
    ],
)
def test_bad_resets(reset, error, message):
    layer = bptt.GRU(I, H, seed=0)
    for call in (layer, layer.forward, layer.freeze()):
        with pytest.raises(error, match=message):
            call(numbers(T, B, I), reset=reset)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        (np.ones((1, T, B, H)), TypeError, "masks must map names to arrays"),
        ({}, ValueError, "masks must hold zoneout_h.*got nothing"),
        (
            {"zoneout_h": np.ones((1, T, B, H)), "recurrent": np.ones((1, B, H))},
            ValueError,
            "masks must hold",
        ),
        (
            {"zoneout_h": np.ones((T, B, H))},
            ValueError,
            r"masks\['zoneout_h'\] must have shape \(1, 7, 5, 9\)",
        ),
        ({"zoneout_h": np.full((1, T, B, H), 2.0)}, ValueError, "numbers in 0..1"),
        ({"zoneout_h": np.full((1, T, B, H), np.nan)}, ValueError, "numbers in 0..1"),
    ],
)
def test_bad_masks(masks, error, message):
    layer = bptt.GRU(I, H, zoneout=0.1, seed=0)
    state = layer.rng.bit_generator.state
    with pytest.raises(error, match=message):
        layer.forward(numbers(T, B, I), masks=masks)
    assert layer.rng.bit_generator.state == state


def test_options_survive_configuration_and_copies():
    for kind, options in (SINGLE | PAIRS).values():
        layer = build(kind, options, num_layers=2)
        again = type(layer).from_config(layer.config())
        assert again.config() == layer.config()
        assert repr(eval(repr(layer), {kind: getattr(bptt, kind)})) == repr(layer)
        x, start = numbers(3, 2, I), start_of(layer, 2)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            np.testing.assert_array_equal(twin(x, start)[0], layer(x, start)[0])


CHANGEABLE = {"batch_first", "dropout", "dtype", "eps", "padding_idx", "embedding"}
"""Options that calls read, and the dtype, which the core refuses when it is not that of the parameters."""
INITIAL = {"forget_bias", "input_bias", "output_bias"}
"""Options that only choose initial values."""


def test_an_option_that_is_assigned_takes_effect_or_raises(subtests):
    words = bptt.Embedding(5, 4)
    layers = [
        *(module(3, 4, 2) for module in (bptt.RNN, bptt.LSTM, bptt.GRU, bptt.MGU, bptt.MemoryBlocks)),
        bptt.reference.LSTM(3, 4, precision="bfloat16"),
        *(words, bptt.TiedLinear(words), bptt.Linear(3, 4, precision="bfloat16"), bptt.LayerNorm(3)),
    ]
    for layer in layers:
        for name, value in layer.config().items():
            if name in CHANGEABLE | INITIAL:
                continue
            with subtests.test(layer=layer.kind, name=name):
                for other in ("int8", "highest" if value == "bfloat16" else "bfloat16", 7, np.ones(2)):
                    with pytest.raises(AttributeError, match=name):
                        setattr(layer, name, other)
                if name != "zoneout":  # always read-only
                    setattr(layer, name, getattr(layer, name))
                assert layer.config()[name] is value or layer.config()[name] == value
    with pytest.raises(AttributeError, match=r"new layer, or call layer.freeze\(precision='int8'"):
        bptt.GRU(3, 4).precision = "int8"
    with pytest.raises(AttributeError):
        bptt.GRU(3, 4).freeze().precision = "int8"


def test_dropout_that_is_assigned():
    x = numbers(T, B, I)
    built, changed = (bptt.LSTM(I, H, 2, dropout=p, seed=0) for p in (0.5, 0.1))
    changed.dropout = 0.5
    assert changed.config() == built.config()
    for _ in range(2):
        np.testing.assert_array_equal(changed.forward(x)[0], built.forward(x)[0])
    changed = bptt.LSTM(I, H, 2, seed=0)
    changed.dropout = 0.5
    assert not np.array_equal(changed.forward(x)[0], changed.forward(x)[0])
    with pytest.raises(ValueError, match="dropout must be a number >= 0 and < 1"):
        changed.dropout = 1.5
    assert changed.dropout == 0.5
