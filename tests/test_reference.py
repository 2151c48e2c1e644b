"""The reference is checked before it checks anything: by differences, by hand, and by its own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import BACKENDS, CASES, CELLS, OPTIONS, build, state
from tests.grids import cover_pairs, pairwise

import bptt
from bptt.reference import stack

SMALL = {
    (case.cell, (case.layers, case.directions), case.H): case
    for case in CASES
    if case.H in (1, 2, 7, 17) and case.I <= 17
}
EXACT = 1e-13
"""Two routes to one number of order one, each a few hundred float64 operations long: 2.2e-16 times those."""


@pytest.mark.parametrize("case", [SMALL[key] for key in SMALL if key in cover_pairs(list(SMALL))], ids=str)
def test_gradients_agree_with_differences(case):
    layer = case.build("float64", "reference")
    report = bptt.gradcheck(layer, case.x(), case.state(), entries=None if case.H < 3 else 3)
    assert len(report.rows) == 1 + (2 if CELLS[case.cell][0] == "LSTM" else 1) + len(layer.parameters)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_agree_with_differences_under_options(cell):
    for option in OPTIONS:
        layer = build(cell, 3, 4, "reference", **{"num_layers": 2} | OPTIONS[option])
        # With a state of zeros and no biases, dead units below put ReLU units exactly on their corner.
        runs = layer.num_layers * layer.num_directions
        initial = state(cell, (runs, 3 if layer.batch_first else 2, 4))
        bptt.gradcheck(layer, np.random.default_rng(1).standard_normal((3, 2, 3)), initial, entries=3)


@pytest.mark.parametrize("cell", CELLS)
def test_all_steps_are_full_backpropagation_to_the_bit(cell):
    layer = build(cell, 3, 4, "reference", num_layers=2)
    full, steps = (_training_step(layer, T=5, steps=steps) for steps in (None, 5))
    assert all(np.array_equal(full[name], steps[name]) for name in full)


@pairwise(("layers", [1, 2]), ("cell", CELLS.keys()))
def test_truncation_is_full_backpropagation_over_the_last_steps(cell, layers):
    """Gradients of the last steps alone, started from the state that the steps before them leave behind."""
    for steps in [0, 1, 3]:
        layer = build(cell, 3, 4, "reference", num_layers=layers)
        T = 5
        found = _training_step(layer, T, steps=steps)

        x, dy, dlast = _errors(layer, T)
        _, carried = layer(x[: T - steps], state(cell, (layers, 2, 4)))
        layer.zero_grad()
        _, _, tape = layer.forward(x[T - steps :], carried)
        dx, _ = layer.backward(tape, dy[T - steps :], dlast)

        assert not found["dx"][: T - steps].any()
        np.testing.assert_array_equal(found["dx"][T - steps :], dx)
        np.testing.assert_array_equal(found["gradients"], layer.flat_gradients)
        np.testing.assert_array_equal(found["dh_norm"][:, T - steps :], tape.dh_norm)
        assert not found["dh_norm"][:, : T - steps].any()
        assert not np.any(found["dstate"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_truncation_needs_one_direction(backend):
    layer = build("lstm", 3, 4, backend, bidirectional=True)
    _, _, tape = layer.forward(np.zeros((4, 2, 3)))
    layer.backward(tape, steps=4)
    with pytest.raises(ValueError, match=r"steps.* direction"):
        layer.backward(tape, steps=3)


@pytest.mark.parametrize("cell", CELLS)
def test_dh_norm_is_the_whole_error_of_a_state(cell):
    """dL/dh_t is dy_t plus the gradient of the initial state of the sequence that begins at t + 1."""
    for reverse in [False, True]:
        T, H = 4, 3
        layer = build(cell, 2, H, "reference", bidirectional=reverse)
        if reverse:  # the forward direction of a twin runs over the sequence turned round
            twin = build(cell, 2, H, "reference")
            for name, value in twin.parameters.items():
                value[...] = layer.parameters[f"{name}_reverse"]
        else:
            twin = layer
        x, dy, _ = _errors(layer, T, H)
        _, _, tape = layer.forward(x)
        layer.backward(tape, dy)

        order = slice(None, None, -1 if reverse else 1)
        x, dy = x[order], dy[order][:, :, -H:]
        norms = tape.dh_norm[-1][order]
        for t in range(T):
            _, carried = twin(x[: t + 1])
            _, _, rest = twin.forward(x[t + 1 :], carried)
            _, dstate = twin.backward(rest, dy[t + 1 :])
            dh = dy[t] + (dstate[0] if isinstance(dstate, tuple) else dstate)[0]
            assert norms[t] == pytest.approx(np.linalg.norm(dh), rel=EXACT)


def test_dc_norm_is_the_whole_error_of_a_cell_state():
    """Without peepholes dL/dc_{t-1}, as far as it comes through c_t, is f_t times the whole dL/dc_t."""
    T, H = 4, 3
    layer = build("lstm", 2, H, "reference")
    x, dy, dlast = _errors(layer, T, H)
    _, _, tape = layer.forward(x)
    layer.backward(tape, dy, dlast)
    for t in range(T):
        _, carried = layer(x[:t])
        _, _, rest = layer.forward(x[t:], carried)
        _, (_, dc) = layer.backward(rest, dy[t:], dlast)
        f = tape.gates[0][t][:, H : 2 * H]
        assert tape.dc_norm[0, t] == pytest.approx(np.linalg.norm(dc[0] / f), rel=EXACT)


def test_peepholes_are_rows_i_f_o_and_the_output_gate_sees_the_new_cell_state():
    """One unit, one step, all other weights zero: every gate is a function of its peephole alone."""
    layer = build("lstm_peephole", 1, 1, "reference")
    layer.flat_parameters[:] = 0.0
    p_i, p_f, p_o = 0.7, -1.1, 1.9
    layer.parameters["weight_peephole_l0"][...] = [[p_i], [p_f], [p_o]]
    layer.parameters["bias_ih_l0"][2] = g = 0.6
    c0, one = 0.8, np.ones((1, 1, 1))
    y, (_, c), tape = layer.forward(0 * one, (0 * one, c0 * one))

    def sigma(a):
        return 1 / (1 + np.exp(-a))

    i, f = sigma(p_i * c0), sigma(p_f * c0)
    c1 = f * c0 + i * np.tanh(g)
    o = sigma(p_o * c1)
    assert c[0, 0, 0] == pytest.approx(c1, rel=EXACT)
    assert y[0, 0, 0] == pytest.approx(o * np.tanh(c1), rel=EXACT)

    # semantics: dP_o = delta_o c_1, P_o delta_o joins dc before the forget path, P_i and P_f send into dc_0
    _, (_, dc0) = layer.backward(tape, one)
    delta_o = np.tanh(c1) * o * (1 - o)
    dc = o * (1 - np.tanh(c1) ** 2) + p_o * delta_o
    delta_i, delta_f = dc * np.tanh(g) * i * (1 - i), dc * c0 * f * (1 - f)
    expected = [delta_i * c0, delta_f * c0, delta_o * c1]
    np.testing.assert_allclose(layer.gradients["weight_peephole_l0"][:, 0], expected, rtol=EXACT)
    assert dc0[0, 0, 0] == pytest.approx(dc * f + p_i * delta_i + p_f * delta_f, rel=EXACT)
    assert tape.dc_norm[0, 0] == pytest.approx(abs(dc), rel=EXACT)


def test_gru_hidden_bias_of_the_candidate_sees_the_reset_gate():
    layer = build("gru", 3, 2, "reference")
    _, _, tape = layer.forward(np.random.default_rng(1).standard_normal((1, 1, 3)))
    layer.backward(tape, np.ones((1, 1, 2)))
    r = tape.gates[0][0, 0, :2]
    ih, hh = layer.gradients["bias_ih_l0"], layer.gradients["bias_hh_l0"]
    np.testing.assert_allclose(hh[4:], r * ih[4:], rtol=EXACT)
    np.testing.assert_allclose(hh[:4], ih[:4], rtol=EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_accumulate_and_a_tape_serves_twice(cell):
    layer = build(cell, 3, 4, "reference")
    once = _training_step(layer, 3)["gradients"]
    x, dy, dlast = _errors(layer, 3)
    _, _, tape = layer.forward(x, state(cell, (1, 2, 4)))
    layer.zero_grad()
    layer.backward(tape, dy, dlast)
    layer.backward(tape, dy, dlast)
    np.testing.assert_array_equal(layer.flat_gradients, 2 * once)


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_to_do_hands_the_state_through(cell):
    for T, B in [(0, 2), (2, 0), (0, 0)]:
        layer = build(cell, 3, 4, "reference", num_layers=2, bidirectional=True)
        given = state(cell, (4, B, 4))
        y, last, tape = layer.forward(np.zeros((T, B, 3)), given)
        dx, dstate = layer.backward(tape, np.zeros_like(y), last)
        assert y.shape == (T, B, 8)
        assert dx.shape == (T, B, 3)
        assert tape.dh_norm.shape == (4, T)
        assert not layer.flat_gradients.any()
        for value, wanted in zip(np.atleast_2d(last), np.atleast_2d(given), strict=True):
            np.testing.assert_array_equal(value, wanted) if T == 0 else None
        for value, wanted in zip(np.atleast_2d(dstate), np.atleast_2d(last), strict=True):
            np.testing.assert_array_equal(value, wanted) if T == 0 else None


def test_logistic_function_holds_at_both_ends():
    from bptt.reference.common import sigmoid

    a = np.array([-np.inf, -800.0, -40.0, 0.0, 40.0, 800.0, np.inf])
    np.testing.assert_array_equal(sigmoid(a), [0.0, 0.0, np.exp(-40.0), 0.5, 1.0, 1.0, 1.0])
    assert np.isnan(sigmoid(np.array(np.nan)))


def test_dropout_mask_is_splitmix64_and_keeps_its_share():
    # the first output of SplitMix64 seeded with 1234567, published with the generator: 6457827717110365317
    assert (stack.dropout_mask((1,), (6457827717110365317 >> 40) * 2.0**-24, 1234567) > 0).all()
    assert (stack.dropout_mask((1,), (6457827717110365317 >> 40) * 2.0**-24 + 2.0**-24, 1234567) == 0).all()
    mask = stack.dropout_mask((100, 1000), 0.3, 2**64 - 5)
    assert set(np.unique(mask)) == {0.0, 1 / 0.7}
    share = (mask == 0).mean()
    assert share == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / mask.size))  # five standard deviations


@pytest.mark.parametrize("cell", CELLS)
def test_a_float32_reference_is_the_float64_one_rounded_once(cell):
    wide = build(cell, 3, 4, "reference", dtype="float64", num_layers=2)
    narrow = build(cell, 3, 4, "reference", dtype="float32", num_layers=2)
    wide.load_state_dict(narrow.state_dict())
    x = np.random.default_rng(1).standard_normal((3, 2, 3)).astype(np.float32)
    y, expected = narrow(x)[0], wide(x)[0]
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected.astype(np.float32))


@pytest.mark.parametrize("cell", CELLS)
def test_like_copies_configuration_parameters_and_dropout(cell):
    layer = build(cell, 3, 4, num_layers=2, dropout=0.5, bidirectional=True, batch_first=True)
    copy = bptt.reference.like(layer)
    assert copy.backend == "reference"
    assert layer.backend == "native"
    assert copy.dtype == np.float64
    assert copy.config() == layer.config() | {"dtype": "float64"}
    for name, value in layer.parameters.items():
        np.testing.assert_array_equal(copy.parameters[name], value)
    x = np.ones((2, 5, 3))
    drawn = [_[0] for _ in (layer.forward(x), copy.forward(x))]
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-5)  # another mask would differ by far more
    copy.flat_parameters[:] = 0
    assert layer.flat_parameters.any()


def test_like_copies_a_model_layer_by_layer():
    model = bptt.Sequential(bptt.Embedding(5, 3), bptt.LSTM(3, 4), bptt.Dropout(0.5), bptt.Linear(4, 2))
    copy = bptt.reference.like(model)
    assert [getattr(layer, "backend", None) for layer in copy.layers] == [None, "reference", None, None]
    assert list(copy.parameters) == list(model.parameters)
    np.testing.assert_array_equal(copy.flat_parameters, model.flat_parameters)


def _errors(layer, T, H=4):
    """x, dL/dy and dL/d(last state) for a batch of two."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((T, 2, layer.input_size))
    dy = rng.standard_normal((T, 2, layer.num_directions * H))
    return x, dy, state(layer.cell, (layer.num_layers * layer.num_directions, 2, H), seed=4)


def _training_step(layer, T, steps=None):
    x, dy, dlast = _errors(layer, T)
    layer.zero_grad()
    _, _, tape = layer.forward(x, state(layer.cell, (layer.num_layers, 2, 4)))
    dx, dstate = layer.backward(tape, dy, dlast, steps=steps)
    return {
        "dx": dx,
        "dstate": np.stack(dstate),
        "gradients": layer.flat_gradients.copy(),
        "dh_norm": tape.dh_norm,
    }
