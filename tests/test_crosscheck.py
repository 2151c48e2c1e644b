"""Native layers against the reference on every instruction set; the check itself must be able to fail."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.backends import Wrapped
from tests.cells import CASES, CELLS, DTYPES, ISAS, OPTIONS, build
from tests.grids import in_turn, pairwise

import bptt
from bptt.testing import CheckError


@pairwise(("case", CASES), ("dtype", DTYPES), ("isa", ISAS))
def test_native_agrees_with_reference(case, dtype, isa):
    bptt.use_isa(isa)
    bptt.crosscheck(case.build(dtype), case.x(), case.state())


@pairwise(("cell", CELLS.keys()), ("dtype", DTYPES))
def test_native_agrees_with_reference_under_options(cell, dtype):
    for option in OPTIONS:
        layer = build(cell, 5, 9, dtype=dtype, **{"num_layers": 2} | OPTIONS[option])
        bptt.crosscheck(layer, _normal(4, 3, 5))


@pairwise(
    ("cell", CELLS.keys()), ("layers", [1, 2]), ("steps", [0, 1, 3, 5, 9]), ("dtype", DTYPES), ("isa", ISAS)
)
def test_truncated_backpropagation_agrees_with_reference(cell, layers, steps, dtype, isa):
    bptt.use_isa(isa)
    bptt.crosscheck(build(cell, 5, 9, dtype=dtype, num_layers=layers), _normal(5, 3, 5), steps=steps)


@in_turn(("cell", CELLS.keys()), ("dtype", DTYPES))
def test_long_sequences_and_wide_batches(cell, dtype):
    """Past one chunk of time and one block of rows, where the sums of the weight gradients are long."""
    bptt.crosscheck(build(cell, 20, 40, dtype=dtype), _normal(150, 4, 20))
    bptt.crosscheck(build(cell, 20, 40, dtype=dtype, bidirectional=True), _normal(3, 130, 20))


@pairwise(("cell", CELLS.keys()), ("dtype", DTYPES))
def test_inputs_of_any_size(cell, dtype):
    """Large inputs saturate the gates and cancel in the sums: the bound must know."""
    for scale in [1e-6, 1e4]:
        bptt.crosscheck(build(cell, 5, 9, dtype=dtype), scale * _normal(6, 3, 5))


class Nudged(bptt.RNN):
    """Its first unit sums to the other side of zero, by less than a rounding."""

    def _backend(self):
        return Wrapped(super()._backend(), forward=self._nudged)

    def _nudged(self, forward, *args):
        bias = self.parameters["bias_ih_l0"]
        kept = bias[0]
        bias[0] -= 3e-7
        found = forward(*args)
        bias[0] = kept
        return found


def test_the_kink_of_a_relu_is_no_error():
    layer = Nudged(1, 4, nonlinearity="relu", seed=0)
    layer.parameters["weight_ih_l0"][0] = 1.0
    layer.parameters["weight_hh_l0"][0] = 0.0
    layer.parameters["bias_ih_l0"][0] = np.nextafter(np.float32(-1), np.float32(0))
    layer.parameters["bias_hh_l0"][0] = 0.0
    x = np.ones((3, 2, 1))
    gradients = []
    for side in (layer, bptt.reference.like(layer)):
        _, _, tape = side.forward(x)
        side.backward(tape, np.ones((3, 2, 4)))
        gradients.append(side.gradients["bias_ih_l0"][0])
    assert gradients[0] == 0.0
    assert gradients[1] >= 6.0
    assert bptt.crosscheck(layer, x).passed


def test_models():
    model = bptt.Sequential(
        bptt.Embedding(7, 3, seed=0), bptt.LSTM(3, 4, 2, dropout=0.5, seed=1), bptt.Dropout(0.5, seed=2),
        bptt.Linear(4, 7, seed=3),
    )  # fmt: skip
    report = bptt.crosscheck(model, np.random.default_rng(1).integers(0, 7, (4, 2)))
    assert {"y", "gradients[0.weight]", "gradients[1.weight_hh_l1]", "gradients[3.bias]"} <= _names(report)


def test_layouts():
    layer = build("lstm", 3, 4, batch_first=True)
    assert {"y", "state[0]", "state[1]", "dx", "dstate[0]", "dstate[1]", "dh_norm", "dc_norm"} <= _names(
        bptt.crosscheck(layer, _normal(2, 5, 3))
    )
    assert bptt.crosscheck(layer, _normal(5, 3), (_normal(1, 4), _normal(1, 4))).passed


class Flawed(bptt.LSTM):
    """Off by `amount`, relatively to its largest entry, in the last entry of one tensor."""

    tensor, amount = "", 0.0

    def _backend(self):
        return Wrapped(super()._backend(), forward=self._spoiled_forward, backward=self._spoiled_backward)

    def _spoiled_forward(self, forward, *args):
        passed, tape = forward(*args)
        return tuple(map(self._spoil, passed, ("y", "state[0]", "state[1]"))), tape

    def _spoiled_backward(self, backward, *args):
        found = backward(*args)
        for name, gradient in self.gradients.items():
            gradient[...] = self._spoil(gradient, f"gradients[{name}]")
        return tuple(map(self._spoil, found, ("dx", "dstate[0]", "dstate[1]")))

    def _spoil(self, value, name):
        value = value.copy()
        if name == self.tensor:
            value.flat[-1] += self.amount * np.abs(value).max()
        return value


TENSORS = (
    *("y", "state[0]", "state[1]", "dx", "dstate[0]", "dstate[1]"),
    *(f"gradients[{k}_l0]" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_peephole")),
)


def test_an_entry_off_by_a_few_hundred_eps_is_found_and_named(subtests):
    for dtype, tensor in itertools.product(DTYPES, TENSORS):
        with subtests.test(dtype=dtype, tensor=tensor):
            layer = Flawed(5, 9, peephole=True, dtype=dtype, seed=0)
            x = _normal(4, 3, 5)
            assert bptt.crosscheck(layer, x).passed
            layer.tensor, layer.amount = tensor, 1000 * np.finfo(dtype).eps
            with pytest.raises(CheckError) as caught:
                bptt.crosscheck(layer, x)
            report = caught.value.report
            assert [row.name for row in report.failures] == [tensor]
            assert repr(report[tensor].value) in str(caught.value)
            assert not bptt.crosscheck(layer, x, raises=False).passed


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_stay_within_the_stated_form(dtype):
    """No bound may exceed the form by more than the cancellation that a layer of this size can have."""
    report = bptt.crosscheck(build("gru", 16, 16, dtype=dtype), _normal(5, 3, 16))
    form = 8 * np.ceil(np.log2(48 * 15)) * np.finfo(dtype).eps
    largest = max(abs(row.expected) for row in report.rows)
    assert all(row.bound < 10 * form * max(1.0, largest) for row in report.rows)


def test_the_report_is_a_table():
    report = bptt.crosscheck(build("rnn_tanh", 3, 4), _normal(3, 2, 3))
    title, header, *lines = str(report).splitlines()
    assert title.startswith("crosscheck RNN(")
    assert title.endswith(": passed")
    assert header.split() == ["tensor", "entries", "error", "bound", "worst", "at"]
    assert [line.split()[0] for line in lines] == [row.name for row in report.rows]


def test_not_a_number_fails():
    layer = build("lstm", 3, 4)
    layer.parameters["weight_ih_l0"][0, 0] = np.nan
    assert not bptt.crosscheck(layer, _normal(3, 2, 3), raises=False).passed


def _names(report):
    return {row.name for row in report.rows}


def _normal(*shape):
    return np.random.default_rng(1).standard_normal(shape)
