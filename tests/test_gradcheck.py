"""Gradients of the native layers against differences, and the check itself, which must be able to fail."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backends import Wrapped
from tests.cells import CASES, CELLS, ISAS, OPTIONS, build, state
from tests.grids import pairwise

import bptt
from bptt.testing import CheckError


@pairwise(("case", CASES), ("isa", ISAS))
def test_native_gradients(case, isa):
    bptt.use_isa(isa)
    bptt.gradcheck(case.build("float64"), case.x(), case.state(), entries=4)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("cell", CELLS)
def test_native_gradients_at_every_entry(cell, isa):
    bptt.use_isa(isa)
    layer = build(cell, 3, 5, dtype="float64", num_layers=2, bidirectional=True)
    report = bptt.gradcheck(layer, _normal(4, 3, 3), entries=None)
    assert sum(row.entries for row in report.rows if row.name.startswith("grad")) == layer.parameter_count


@pytest.mark.parametrize("cell", CELLS)
def test_native_gradients_under_options(cell):
    for option in OPTIONS:
        layer = build(cell, 3, 4, dtype="float64", **{"num_layers": 2} | OPTIONS[option])
        # With a state of zeros and no biases, dead units below put ReLU units exactly on their corner.
        runs = layer.num_layers * layer.num_directions
        bptt.gradcheck(layer, _normal(3, 2, 3), state(cell, (runs, 3 if layer.batch_first else 2, 4)))


@pytest.mark.parametrize("cell", CELLS)
def test_unbatched_input(cell):
    bptt.gradcheck(build(cell, 3, 4, dtype="float64"), _normal(3, 3))


def test_models():
    options = {"dtype": "float64", "seed": 0}
    numbers = bptt.Sequential(
        bptt.LSTM(3, 4, 2, dropout=0.3, **options),
        bptt.Dropout(0.3, **options),
        bptt.GRU(4, 3, **options),
        bptt.Last(**_only_dtype(options)),
        bptt.Linear(3, 2, **options),
    )
    report = bptt.gradcheck(numbers, _normal(4, 2, 3))
    assert report["dx"].entries == 24
    assert report["gradients[4.bias]"].entries == 2

    symbols = bptt.Sequential(
        bptt.Embedding(7, 3, **options), bptt.RNN(3, 4, **options), bptt.Linear(4, 7, **options)
    )
    report = bptt.gradcheck(symbols, np.random.default_rng(1).integers(0, 7, (4, 2)))
    assert "dx" not in [row.name for row in report.rows]
    assert report["gradients[0.weight]"].entries == 21


def test_float32_layers_are_checked_through_a_float64_copy():
    report = bptt.gradcheck(build("lstm", 3, 4, dtype="float32"), _normal(3, 2, 3))
    assert max(row.error for row in report.rows) < 1e-7
    assert "float64" in report.title


@pytest.mark.parametrize("distance", [3e-7, -3e-7])
def test_the_kink_of_a_relu_is_no_error(distance):
    """The sum before the ReLU lies closer to zero than the step of the differences."""
    layer = build("rnn_relu", 1, 1, dtype="float64")
    layer.parameters["weight_ih_l0"][...] = 1.0
    layer.parameters["bias_ih_l0"][...] = distance - 1.0
    layer.parameters["bias_hh_l0"][...] = 0.0
    assert bptt.gradcheck(layer, np.ones((1, 1, 1))).passed

    wrong = Flawed(1, 1, dtype="float64", seed=0)
    wrong.amount = 1e-4
    assert not bptt.gradcheck(wrong, np.ones((1, 1, 1)), raises=False).passed


class Flawed(bptt.GRU):
    """Its backward pass is wrong by `amount` in one entry of one tensor."""

    tensor, amount = "dx", 0.0

    def _backend(self):
        return Wrapped(super()._backend(), backward=self._spoiled)

    def _spoiled(self, backward, *args):
        dx, dh0, dc0 = backward(*args)
        places = {"dx": dx, "dstate": dh0}
        places |= {f"gradients[{k}]": v for k, v in self.gradients.items()}
        if self.tensor in places:
            places[self.tensor].flat[-1] += self.amount
        return dx, dh0, dc0


TENSORS = ("dx", "dstate", *(f"gradients[{k}_l0]" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))


@pytest.mark.parametrize("tensor", TENSORS)
def test_one_wrong_entry_is_found_and_named(tensor):
    layer = Flawed(3, 4, dtype="float64", seed=0)
    x = _normal(3, 2, 3)
    assert bptt.gradcheck(layer, x).passed
    layer.tensor, layer.amount = tensor, 1e-4
    with pytest.raises(CheckError) as caught:
        bptt.gradcheck(layer, x, entries=5)

    report = caught.value.report
    assert [row.name for row in report.failures] == [tensor]
    worst = report[tensor]
    assert worst.index == tuple(n - 1 for n in _places(layer, x)[tensor])
    assert worst.value - worst.expected == pytest.approx(1e-4, rel=1e-3)
    assert repr(worst.value) in str(caught.value)
    assert repr(worst.expected) in str(caught.value)
    assert f"FAILED in 1 of {len(report.rows)}" in str(caught.value)


def test_a_report_may_be_asked_for_instead_of_an_error():
    layer = Flawed(3, 4, dtype="float64", seed=0)
    layer.amount = 1e-4
    assert not bptt.gradcheck(layer, _normal(3, 2, 3), raises=False).passed


def test_not_a_number_fails():
    layer = Flawed(3, 4, dtype="float64", seed=0)
    layer.amount = np.nan
    report = bptt.gradcheck(layer, _normal(3, 2, 3), raises=False)
    assert [row.name for row in report.failures] == ["dx"]


@pytest.mark.parametrize("check", [bptt.gradcheck, bptt.crosscheck])
@pytest.mark.parametrize("amount", [0.0, 1.0])
def test_checks_leave_the_layer_as_they_found_it(check, amount):
    layer = Flawed(3, 4, 2, dropout=0.5, dtype="float64", seed=0)
    layer.amount = amount
    layer.flat_gradients[:] = np.arange(layer.parameter_count)
    parameters, draws = layer.flat_parameters.copy(), layer.rng.bit_generator.state
    x = _normal(3, 2, 3)
    given = x.copy()
    assert check(layer, x, raises=False).passed == (amount == 0.0)
    np.testing.assert_array_equal(layer.flat_parameters, parameters)
    np.testing.assert_array_equal(layer.flat_gradients, np.arange(layer.parameter_count))
    np.testing.assert_array_equal(x, given)
    assert layer.rng.bit_generator.state == draws


@pytest.mark.parametrize("check", [bptt.gradcheck, bptt.crosscheck])
def test_wrong_arguments(check):
    with pytest.raises(TypeError, match="layer must be"):
        check(_normal(3, 2, 3), build("gru", 3, 4))
    with pytest.raises(TypeError, match="x must be"):
        check(build("gru", 3, 4), "abc")
    with pytest.raises(ValueError, match="x must have shape"):
        check(build("gru", 3, 4), _normal(3, 2, 4))
    with pytest.raises(ValueError, match="state must have shape"):
        check(build("gru", 3, 4), _normal(3, 2, 3), _normal(1, 2, 3))


@pytest.mark.parametrize("entries", [1, 2, 3, 5, 1000])
def test_as_many_entries_as_asked_for(entries):
    report = bptt.gradcheck(build("rnn_tanh", 3, 4, dtype="float64"), _normal(3, 2, 3), entries=entries)
    assert report["gradients[weight_ih_l0]"].entries == min(entries, 12)
    with pytest.raises(ValueError, match="entries must be an int >= 1"):
        bptt.gradcheck(build("rnn_tanh", 3, 4), _normal(3, 2, 3), entries=0)


@pytest.mark.parametrize(("T", "B"), [(0, 2), (2, 0)])
def test_empty_sequences_and_batches_pass(T, B):
    for check in (bptt.gradcheck, bptt.crosscheck):
        assert check(build("lstm", 3, 4, dtype="float64"), np.zeros((T, B, 3))).passed


def _only_dtype(options):
    return {"dtype": options["dtype"]}


def _normal(*shape):
    return np.random.default_rng(1).standard_normal(shape)


def _places(layer, x):
    shapes = {"dx": x.shape, "dstate": (1, x.shape[1], layer.hidden_size)}
    return shapes | {f"gradients[{k}]": v.shape for k, v in layer.parameters.items()}
