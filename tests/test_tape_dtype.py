"""`tape_dtype="bfloat16"`: half the memory, the same outputs, and gradients within the stated bound."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tests.cells import CELLS, ISAS, SINGLE, build, state
from tests.grids import in_turn, together
from tests.test_options import numbers

import bptt

T, B, I, H = 70, 50, 3, 7
"""Rows enough for chunks of a few steps."""
LENGTHS = np.random.default_rng(1).integers(0, T + 1, B)
LENGTHS[:3] = 0, T, 1
RESET, SKIP = (np.random.default_rng(seed).random((T, B)) < 0.2 for seed in (5, 6))
WAYS = {
    "forward": ({}, {"reset": RESET}),
    "stack": ({"num_layers": 3, "dropout": 0.3}, {"lengths": LENGTHS}),
    "both": ({"bidirectional": True, "num_layers": 2}, {"lengths": LENGTHS, "reset": RESET}),
    "mul": ({"bidirectional": True, "num_layers": 2, "merge": "mul", "dropout": 0.2}, {"skip": SKIP}),
    "mean": ({"bidirectional": True, "merge": "mean"}, {}),
    "reverse": ({"reverse": True, "num_layers": 2}, {"lengths": LENGTHS}),
}
PLAIN = {cell: CELLS[cell] for cell in ("rnn_tanh", "lstm", "gru", "mgu")}


def rounded(values):
    """The numbers that a tape keeps: bfloat16, but between 1/2 and 1 the distance from 1 in bfloat16."""

    def to_bfloat16(x):
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
        half = 0x7FFF + (bits >> 16 & 1)
        return (bits + half & 0xFFFF0000).view(np.float32)

    x = np.asarray(values, np.float32)
    size = np.abs(x)
    near_one = np.copysign(1 - to_bfloat16(1 - size), x)
    kept = np.where((size > 0.5) & (size <= 1), near_one, to_bfloat16(x))
    return np.where(np.isnan(x), x, np.where(size > 2.0**79, np.copysign(np.float32(np.inf), x), kept))


def leaves(value):
    return value if isinstance(value, tuple) else (value,)


def pair(kind, options, **more):
    """The same layer without and with the option."""
    return [
        getattr(bptt, kind)(I, H, seed=0, **{"tape_dtype": d} | options | more) for d in (None, "bfloat16")
    ]


def step(layer, x, start=None, checkpoint=None, **call):
    """The outputs, the gradients and the tape of a training step, with the same masks each time."""
    layer.rng = np.random.default_rng(11)
    y, last, tape = layer.forward(x, start, checkpoint=checkpoint, **call)
    layer.zero_grad()
    dx, dstart = layer.backward(tape, np.cos(y), mapped(np.sin, last))
    norms = [norm for norm in (tape.dh_norm, tape.dc_norm) if norm is not None]
    return (y, *leaves(last)), (dx, *leaves(dstart), layer.flat_gradients.copy(), *norms), tape


def mapped(function, value):
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_numbers_that_are_kept() -> None:
    """Ties, both ends of every range, and what is not finite, in vectors of any length."""
    exponents = [2.0**n for n in (-149, -127, -126, -30, -9, -2, -1, 0, 1, 8, 60, 78, 79, 80, 96, 120, 127)]
    edges = [k * e for e in exponents for k in (1, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-7, 1 + 2.0**-23)]
    near_one = [1 - k * 2.0**-24 for k in (0, 1, 2, 3, 2**10, 2**14 + 1, 2**23 - 1, 2**23)]
    random = np.random.default_rng(0).integers(0, 2**32, 4001, np.uint32).view(np.float32)
    uniform = np.random.default_rng(0).random(4001, np.float32)
    with np.errstate(over="ignore"):
        some = np.array([0.0, *edges, *near_one, np.inf, np.nan, 1.1754942e-38], np.float32)
    values = np.concatenate([some, -some, random, uniform, -uniform])
    values = values[np.isnan(values) | np.isinf(values) | (np.abs(values) >= 2.0**-126)]
    for isa, size in itertools.product(ISAS, (1, 17, len(values))):
        bptt.use_isa(isa)
        layer = bptt.RNN(1, 1, nonlinearity="linear", bias=False, tape_dtype="bfloat16")
        layer.flat_parameters[:] = 1.0, 0.0  # h is x
        y, _, tape = layer.forward(values[:size].reshape(1, -1, 1))
        np.testing.assert_array_equal(y.ravel(), values[:size])
        with np.errstate(invalid="ignore"):
            expected = rounded(values[:size])
        np.testing.assert_array_equal(tape.h[0].ravel(), expected)
    finite = np.isfinite(expected)
    exact, kept = values[finite].astype(np.float64), expected[finite].astype(np.float64)
    magnitude = np.abs(exact)
    near_one = (magnitude > 0.5) & (magnitude <= 1)
    assert np.all(np.abs(kept - exact) <= 2.0**-8 * np.where(near_one, 1 - magnitude, magnitude))


@together(in_turn(("kind, options", {**PLAIN, **SINGLE}), ("ways", WAYS)), size=60)
def test_every_option(kind, options, ways):
    """
    Outputs have the bits of the whole tape, and the views of the tape are its numbers, rounded.

    Errors and gradients have the same bits for any number of threads and with `checkpoint`.
    """
    more, call = ways
    whole, layer = pair(kind, options, **more)
    x = numbers(T, B, I)
    outputs, _, tape = step(whole, x, **call)
    found, errors, kept = step(layer, x, **call)
    assert_same_bits(found, outputs)
    assert_same_bits((*kept.h, *(kept.c or ())), map(rounded, (*tape.h, *(tape.c or ()))))
    if not {"gelu", "silu"} & {
        *map(str, leaves(options.get("nonlinearity", options.get("activations", ""))))
    }:
        assert_same_bits(kept.gates, map(rounded, tape.gates))
    # Layer norm keeps four numbers of a row in float32.
    divisors = 4 * 4 * T * B * layer.num_layers * layer.num_directions * layer.layer_norm
    assert kept.nbytes <= (tape.nbytes + divisors) / 2
    for threads in (2, 3):
        bptt.set_num_threads(threads)
        assert_same_bits(step(layer, x, **call)[1], errors)
        assert_same_bits(step(layer, x, **call)[0], outputs)
    if layer.num_directions == 1 and not layer.reverse:
        again, pieces, tape = step(layer, x, checkpoint=1, **call)
        assert_same_bits((*again, *pieces), (*found, *errors))
        assert_same_bits(tape.h, kept.h)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_alone_and_in_a_batch(threads):
    """A team of threads divides rows, units or directions."""
    bptt.set_num_threads(threads)
    for cell, (rows, width), two in itertools.product(PLAIN, ((33, 40), (5, 160), (3, 9)), (False, True)):
        layer = build(cell, I, width, tape_dtype="bfloat16", bidirectional=two)
        start = state(cell, (1 + two, rows, width))
        x = numbers(40, rows, I)
        outputs, errors, _ = step(layer, x, start)
        for row in (0, rows - 1):
            one = mapped(lambda s, row=row: s[:, row : row + 1], start)
            alone, own, _ = step(layer, x[:, row : row + 1], one)
            assert_same_bits(alone, [a[:, row : row + 1] for a in outputs])
            count = 1 + len(leaves(start))
            assert_same_bits(own[:count], [a[:, row : row + 1] for a in errors[:count]])
        bptt.set_num_threads(3 - threads)
        assert_same_bits(step(layer, x, start)[1], errors)
        bptt.set_num_threads(threads)


def trained(cell):
    """A layer that has learnt to keep its first input for 40 steps, as far as 60 updates go."""
    layer = build(cell, I, 16)
    model = bptt.Sequential(layer, bptt.Last(), bptt.Linear(16, I, seed=1))
    batches = [(x, x[0]) for x in (0.5 * numbers(40, 16, I, seed=seed) for seed in range(60))]
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.Adam(1e-2), clip=bptt.ClipNorm(1.0), progress=False
    )
    trainer.fit(batches)
    return layer


BOUND, NORMALISED = 2.0**-6, 2.0**-4
"""
What the layers state, relative to the largest entry of a tensor.

A kept number is off by at most u = 2^-8, with a root mean square of 0.41 u over all numbers. An entry is a
sum of products of about 8 kept numbers whose errors are independent: off by 1.15 u. The largest error of all
entries may be 3.5 times that: 4 u. Layer norm subtracts what is parallel to its output from an error, and the
rest is off by a multiple of this.
"""
LONG = {
    "plain": {},
    "stack": {"num_layers": 2, "dropout": 0.3},
    "both": {"bidirectional": True, "merge": "mul"},
    "reverse": {"reverse": True, "input_dropout": 0.2, "recurrent_dropout": 0.2},
    "zoneout": {"zoneout": 0.2},
    "norm": {"layer_norm": True},
    "bfloat16 products": {"precision": "bfloat16"},
}
"""Gains of layer norm are halved. With gains of 1, gradients explode, and are inexact in float32, too."""


def errors_of(layer, x, lengths):
    """
    Errors and gradients, relative to those of a tape that is not rounded, for errors of N(0, 1).

    The other tape is in float64. Products in bfloat16 have it in float32, with the same products.
    """
    dtype = "float64" if layer.precision == "highest" else "float32"
    exact = type(layer).from_config(layer.config() | {"dtype": dtype, "tape_dtype": None})
    exact.load_state_dict(layer.state_dict())
    results = []
    for each in (layer, exact):
        each.rng = np.random.default_rng(11)
        y, last, tape = each.forward(x, lengths=lengths)
        each.zero_grad()
        dx, dstart = each.backward(tape, numbers(*y.shape), mapped(lambda s: numbers(*s.shape, seed=4), last))
        results.append((dx, *leaves(dstart), *map(np.array, each.gradients.values()), tape.dh_norm))
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("cell", PLAIN)
def test_gradients_of_up_to_a_thousand_steps(cell, subtests):
    """Random weights with every option, LSTMs that remember for a thousand steps, and trained weights."""
    layers = {name: build(cell, I, 16, tape_dtype="bfloat16", **options) for name, options in LONG.items()}
    extra = {
        "rnn_tanh": {"orthogonal": {"init": "orthogonal"}},
        "lstm": {
            "remembers": {"forget_bias": 6.0},
            "peephole": {"peephole": True},
            "projection": {"proj_size": 5},
        },
        "gru": {"before": {"reset_after": False}, "remembers": {"init": bptt.init.chrono(longest=1000)}},
    }.get(cell, {})
    layers |= {
        name: getattr(bptt, CELLS[cell][0])(I, 16, seed=0, tape_dtype="bfloat16", **options)
        for name, options in extra.items()
    }
    for name in layers["norm"].parameters:
        if name.startswith("weight_norm"):
            layers["norm"].parameters[name][:] = 0.5
    layers["trained"] = build(cell, I, 16, tape_dtype="bfloat16")
    layers["trained"].flat_parameters[:] = trained(cell).flat_parameters
    for (name, layer), steps in itertools.product(layers.items(), (20, 200, 1000)):
        with subtests.test(name, steps=steps):
            x = numbers(steps, 3, I)
            error = errors_of(layer, x, None if steps == 200 else [steps, steps // 2, 3])
            assert error < (NORMALISED if layer.layer_norm else BOUND)
            assert error > 1e-5  # the option is on


MEMORY = """
import sys
import bptt, numpy as np

bptt.set_num_threads(1)
kind, tape_dtype = sys.argv[1:]
options = {} if tape_dtype == "None" else {"tape_dtype": tape_dtype}
layer = getattr(bptt, kind)(16, 64, num_layers=2, seed=0, **options)
x = np.ones((200, 8, 16), np.float32)
x.flags.writeable = False
layer.forward(x[:2])


def resident():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


before = resident()
tapes = [layer.forward(x)[2] for _ in range(30)]
print([tapes[0].nbytes, resident() - before])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory as Linux counts it")
def test_memory_is_halved() -> None:
    """As a process has it, for the tapes of 30 passes through 200 steps and two layers."""
    for kind in ("LSTM", "GRU"):
        found = {}
        for tape_dtype in ("None", "bfloat16"):
            command = [sys.executable, "-c", MEMORY, kind, tape_dtype]
            found[tape_dtype] = json.loads(subprocess.check_output(command, text=True))
        (whole, before), (half, after) = found["None"], found["bfloat16"]
        assert half == whole / 2
        assert before > 30 * whole * 0.9
        assert after < 0.55 * before


def test_where_the_option_goes(tmp_path) -> None:
    """Copies, files and summaries keep it; what is no training ignores it."""
    layer = bptt.LSTM(I, H, seed=0, tape_dtype="bfloat16")
    model = bptt.Sequential(layer, bptt.Linear(H, 2, seed=1))
    bptt.save(tmp_path / "model.safetensors", model)
    loaded = bptt.load(tmp_path / "model.safetensors")
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded[0]):
        assert other.tape_dtype == "bfloat16"
        assert "tape_dtype='bfloat16'" in repr(other)
        assert_same_bits(step(other, numbers(T, 2, I))[1], step(layer, numbers(T, 2, I))[1])
    whole = bptt.LSTM(I, H, seed=0)
    assert layer.tape_bytes(50, 4, 0) == whole.tape_bytes(50, 4, 0) / 2
    assert bptt.reference.like(layer).tape_dtype is None
    x = numbers(T, 2, I)
    assert_same_bits(leaves(layer.freeze()(x)[0]), leaves(whole(x)[0]))
    bptt.crosscheck(layer, x)
    bptt.crosscheck(model, x)
    bptt.gradcheck(layer, x[:10])  # a copy in float64, whose tape is not rounded
    assert bptt.reference.LSTM(I, H, dtype="float32", tape_dtype="bfloat16")(x)[0].dtype == np.float32


def test_bad_values(subtests) -> None:
    for value, options, error, message in (
        ("float16", {}, ValueError, "tape_dtype must be 'bfloat16'; got 'float16'"),
        (np.float32, {}, TypeError, "tape_dtype must be 'bfloat16'; got"),
        ("bfloat16", {"dtype": "float64"}, ValueError, 'Fix: pass dtype="float32", or leave tape_dtype out'),
    ):
        with subtests.test(str(value)), pytest.raises(error, match=message):
            bptt.GRU(I, H, tape_dtype=value, **options)
