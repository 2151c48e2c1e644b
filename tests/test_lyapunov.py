"""Lyapunov exponents: against known ones, and against QR in NumPy on Jacobians by complex steps."""

from __future__ import annotations

import numpy as np
import pytest

import bptt

I, H, T = 3, 4, 60


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def rnn_step(p, x, s):
    return np.tanh(p["weight_ih_l0"] @ x + p["bias_ih_l0"] + p["weight_hh_l0"] @ s + p["bias_hh_l0"])


def lstm_step(p, x, s):
    h, c = s[:H], s[H:]
    a = p["weight_ih_l0"] @ x + p["bias_ih_l0"] + p["weight_hh_l0"] @ h + p["bias_hh_l0"]
    i, f, g, o = np.split(a, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


def gru_step(p, x, s):
    a, u = p["weight_ih_l0"] @ x + p["bias_ih_l0"], p["weight_hh_l0"] @ s + p["bias_hh_l0"]
    (a_r, a_z, a_n), (u_r, u_z, u_n) = np.split(a, 3), np.split(u, 3)
    z = sigmoid(a_z + u_z)
    return (1 - z) * np.tanh(a_n + sigmoid(a_r + u_r) * u_n) + z * s


STEPS = {"RNN": rnn_step, "LSTM": lstm_step, "GRU": gru_step}


def by_numpy(step, parameters, x, start, k):
    """QR method with NumPy's QR, Jacobians exact to rounding by complex steps."""
    state, count = start.copy(), len(start)
    frame, sums = np.eye(count)[:, :k], np.zeros(k)
    for sample in x:
        columns = [step(parameters, sample, state + 1e-30j * unit).imag / 1e-30 for unit in np.eye(count)]
        frame, r = np.linalg.qr(np.stack(columns, axis=1) @ frame)
        sums += np.log(np.abs(np.diag(r)))
        state = step(parameters, sample, state)
    return np.sort(sums / len(x))[::-1]


def test_nan_is_no_exponent():
    x = np.zeros((T, 1, I))
    x[3] = np.nan
    with pytest.raises(ValueError, match=r"finite; got NaN .*Fix: ask bptt.first_nonfinite"):
        bptt.lyapunov_spectrum(bptt.GRU(I, H, seed=0), x)


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", STEPS)
def test_agrees_with_numpy(kind, dtype, k):
    layer = getattr(bptt, kind)(I, H, seed=0, dtype=dtype)
    layer.flat_parameters *= 2
    x = np.random.default_rng(1).standard_normal((T, I)).astype(np.float32).astype(np.float64)
    count = 2 * H if kind == "LSTM" else H
    parameters = {name: value.astype(np.float64) for name, value in layer.parameters.items()}
    wanted = by_numpy(STEPS[kind], parameters, x, np.zeros(count), k or count)
    found = bptt.lyapunov_spectrum(layer, x, k)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_linear_network_has_the_logarithm_of_its_spectral_radius():
    """A ReLU over positive numbers is linear; a positive matrix has a real largest eigenvalue (Perron)."""
    rng = np.random.default_rng(3)
    layer = bptt.RNN(I, H, nonlinearity="relu", dtype="float64", seed=0)
    weights = rng.random((H, H))
    layer.parameters["weight_hh_l0"][...] = 0.9 * weights / np.abs(np.linalg.eigvals(weights)).max()
    for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
        layer.parameters[name][...] = rng.random(layer.parameters[name].shape)
    (largest,) = bptt.lyapunov_spectrum(layer, rng.random((200, 1, I)), 1, skip=100)
    assert abs(largest - np.log(bptt.spectral_radius(layer)[0])) < 1e-6


def test_stacks_rows_and_starts():
    layer = bptt.LSTM(I, H, 2, proj_size=2, peephole=True, zoneout=0.1, dtype="float64", seed=0)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20, 3, I))
    state = (rng.standard_normal((2, 3, 2)), rng.standard_normal((2, 3, H)))
    before = layer.flat_gradients.copy(), layer.rng.bit_generator.state
    together = bptt.lyapunov_spectrum(layer, x, 1, state=state)
    alone = [
        bptt.lyapunov_spectrum(layer, x[:, [b]], 1, state=tuple(part[:, [b]] for part in state))
        for b in range(3)
    ]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-12)
    assert len(bptt.lyapunov_spectrum(layer, x)) == 2 * (2 + H)
    np.testing.assert_array_equal(layer.flat_gradients, before[0])
    assert layer.rng.bit_generator.state == before[1]


def test_dropout_is_off():
    x = np.random.default_rng(1).standard_normal((20, I))
    plain, dropping = (bptt.GRU(I, H, 2, dropout=p, dtype="float64", seed=0) for p in (0.0, 0.6))
    np.testing.assert_array_equal(bptt.lyapunov_spectrum(plain, x), bptt.lyapunov_spectrum(dropping, x))


def test_directions_that_are_lost():
    layer = bptt.RNN(I, 2, nonlinearity="relu", dtype="float64", seed=0)
    layer.parameters["weight_hh_l0"][...] = [[0.5, 0], [0, 0]]
    layer.parameters["bias_ih_l0"][...] = 10
    found = bptt.lyapunov_spectrum(layer, np.zeros((5, I)))
    assert found[0] == pytest.approx(np.log(0.5), abs=1e-12)
    assert found[1] == -np.inf


X = np.zeros((5, 1, I))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bptt.lyapunov_spectrum(bptt.Linear(I, 2), X), TypeError, "layer must be a recurrent layer"),
        (
            lambda: bptt.lyapunov_spectrum(bptt.GRU(I, H, bidirectional=True), X),
            ValueError,
            "must read forward only",
        ),
        (lambda: bptt.lyapunov_spectrum(bptt.GRU(I, H), X, 5), ValueError, "k must be an int >= 1 and <= 4"),
        (lambda: bptt.lyapunov_spectrum(bptt.GRU(I, H), X, skip=5), ValueError, "more than skip = 5 steps"),
        (lambda: bptt.lyapunov_spectrum(bptt.GRU(I, H), X[..., :2]), ValueError, "x must have shape"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
