"""Pascanu's regulariser: its value and gradient from the definition, and in training."""

from __future__ import annotations

import numpy as np
import pytest
from tests.test_options import numbers

import bptt
from bptt.optim.regularizers import omega

T, B, I, H = 9, 4, 3, 6


def by_definition(dh, slope, weights):
    """The mean over (t, row) of (|U^T (f' d)|^2 / |d|^2 - 1)^2, one at a time."""
    terms = []
    for t, row in np.ndindex(dh.shape[:2]):
        d = dh[t, row]
        if d @ d >= 1e-20:
            back = weights.T @ (slope[t, row] * d)
            terms.append((back @ back / (d @ d) - 1) ** 2)
    return np.mean(terms) if terms else 0.0


def case(dtype="float64"):
    dh = (numbers(T, B, H) * 10.0 ** -np.arange(T)[:, None, None]).astype(dtype)
    dh[2, 1] = 0
    dh[3] = 1e-11 / H
    return dh, np.tanh(numbers(T, B, H, seed=4)).astype(dtype), numbers(H, H, seed=5).astype(dtype)


def test_the_value_is_as_defined():
    dh, h, weights = case()
    value, _ = omega(dh, h, weights)
    assert value == pytest.approx(by_definition(dh, 1 - h**2, weights), rel=1e-13)


def test_the_gradient_agrees_with_central_differences():
    dh, h, weights = case()
    _, gradient = omega(dh, h, weights)
    eps = 1e-6
    for at in np.ndindex(H, H):
        move = np.zeros((H, H))
        move[at] = eps
        ahead, back = (by_definition(dh, 1 - h**2, weights + sign * move) for sign in (1, -1))
        assert gradient[at] == pytest.approx((ahead - back) / (2 * eps), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e18, 1e30])
def test_in_float32_the_size_of_errors_plays_no_part(scale):
    dh, h, weights = case()
    dh[...] = numbers(T, B, H)
    expected = omega(dh, h, weights)
    value, gradient = omega((scale * dh).astype("f4"), h.astype("f4"), weights.astype("f4"))
    assert gradient.dtype == np.float32
    assert value == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=1e-5 * np.abs(expected[1]).max())


@pytest.mark.parametrize("relu", [False, True])
def test_blocks_of_rows_add_up(monkeypatch, relu):
    dh, h, weights = case()
    value, gradient = omega(dh, h, weights, relu)
    slope = (h > 0).astype(float) if relu else 1 - h**2
    assert value == pytest.approx(by_definition(dh, slope, weights), rel=1e-12)
    monkeypatch.setattr("bptt.optim.regularizers.BLOCK", 5 * weights[0].nbytes)
    in_blocks = omega(dh, h, weights, relu)
    assert in_blocks[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(in_blocks[1], gradient, rtol=0, atol=1e-12 * np.abs(gradient).max())


def test_errors_too_small_to_tell_count_for_nothing():
    _, h, weights = case()
    value, gradient = omega(np.full((T, B, H), 1e-11), h, weights)
    assert value == 0
    assert not gradient.any()


def updated(backend, regularizer, nonlinearity="tanh", batch=None, **options):
    """A model's gradient, by an update of plain SGD with a rate of 1, and the model's layers."""
    layer = backend.RNN(I, H, num_layers=2, nonlinearity=nonlinearity, dtype="float64", seed=2, **options)
    model = bptt.Sequential(
        layer, bptt.Linear(layer.output_size * layer.num_directions, 2, dtype="float64", seed=1)
    )
    before = model.flat_parameters.copy()
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.SGD(1.0), progress=False, regularizer=regularizer
    )
    trainer.fit([batch or (numbers(T, B, I), numbers(T, B, 2))])
    return before - model.flat_parameters, model


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("lengths", [None, [9, 3, 0, 5]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_trainer_adds_it_to_the_gradient_of_recurrent_weights(nonlinearity, lengths, bidirectional):
    """Against omega by definition over the errors of the reference, whose tape shows all there is."""
    batch = (numbers(T, B, I), numbers(T, B, 2)) + (() if lengths is None else (lengths,))
    options = {"nonlinearity": nonlinearity, "bidirectional": bidirectional, "batch": batch}
    regularizer = bptt.PascanuRegularizer(0.7)
    plain, _ = updated(bptt, None, **options)
    found, model = updated(bptt, regularizer, **options)
    expected, _ = updated(bptt.reference, bptt.PascanuRegularizer(0.7), **options)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    start, touched = 0, []
    for name, view in model.parameters.items():
        part = slice(start, start + view.size)
        start += view.size
        if not np.array_equal(found[part], plain[part]):
            touched.append(name)
    assert touched == [name for name in model.parameters if "weight_hh" in name]
    assert regularizer.omega > 0


def test_in_pieces_it_is_the_same():
    def trained(checkpoint):
        model = bptt.RNN(I, 2, seed=0)
        trainer = bptt.Trainer(
            model,
            bptt.MeanSquaredError(),
            bptt.SGD(0.1),
            progress=False,
            checkpoint=checkpoint,
            regularizer=bptt.PascanuRegularizer(),
        )
        trainer.fit([(numbers(900, B, I), numbers(900, B, 2))], 2)
        return model.flat_parameters.copy()

    np.testing.assert_array_equal(trained(5), trained(None))


def test_it_brings_a_vanishing_gradient_back():
    """Weights that shrink errors by 0.3 a step are taught to keep them, by the term alone."""
    layer = bptt.RNN(I, 16, dtype="float64", seed=0)
    layer.parameters["weight_hh_l0"][...] = 0.3 * np.linalg.qr(numbers(16, 16))[0]
    x = 0.1 * numbers(20, 8, I)
    before = bptt.gradient_flow(layer, x).rate[0]
    regularizer = bptt.PascanuRegularizer(1.0)
    values = []
    for _ in range(300):
        y, _, tape = layer.forward(x)
        dy = np.zeros_like(y)
        dy[-1] = numbers(8, 16, seed=6)
        layer.zero_grad()
        layer.backward(tape, dy, keep_errors=True)
        layer.zero_grad()
        values.append(regularizer(tape))
        bptt.SGD(0.05).step(layer)
    assert before < 0.35
    assert values[-1] < values[0] / 5
    assert bptt.gradient_flow(layer, x).rate[0] > 0.8


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: bptt.LSTM(I, 2), "regularizer requires an RNN in the model"),
        (lambda: bptt.RNN(I, 2, layer_norm=True), "without layer_norm"),
        (lambda: bptt.Sequential(bptt.RNN(I, 2, zoneout=0.1)), "zoneout"),
        (lambda: bptt.RNN(I, 2, recurrent_dropout=0.1), "recurrent_dropout"),
    ],
)
def test_models_that_it_does_not_fit(model, words):
    with pytest.raises(ValueError, match=words):
        bptt.Trainer(model(), bptt.MeanSquaredError(), bptt.SGD(0.1), regularizer=bptt.PascanuRegularizer())


def test_bad_arguments():
    with pytest.raises(ValueError, match="weight must be a number > 0; got 0"):
        bptt.PascanuRegularizer(0)
    with pytest.raises(TypeError, match="weight must be a number"):
        bptt.PascanuRegularizer("4")
    with pytest.raises(TypeError, match=r"regularizer must be a bptt\.PascanuRegularizer; got 4\.0"):
        bptt.Trainer(bptt.RNN(I, 2), bptt.MeanSquaredError(), bptt.SGD(0.1), regularizer=4.0)
    layer = bptt.RNN(I, 2)
    y, _, tape = layer.forward(numbers(T, B, I))
    layer.backward(tape, y)
    with pytest.raises(ValueError, match="keep_errors=True"):
        bptt.PascanuRegularizer()(tape)
