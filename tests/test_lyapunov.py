"""Lyapunov exponents: against known ones, and against QR in NumPy on Jacobians by complex steps."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import COMBINED, PAIRS, SINGLE
from tests.grids import in_turn, pairwise, together

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


def first_frame(count, k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((k, count)).T)[0]


def by_numpy(step, parameters, x, start, k, warmup=10):
    """QR method with NumPy's QR, Jacobians exact to rounding by complex steps."""
    count = len(start)
    frame = first_frame(count, k)
    for part in (x[:warmup], x):
        state, sums = start.copy(), np.zeros(k)
        for sample in part:
            columns = [step(parameters, sample, state + 1e-30j * unit).imag / 1e-30 for unit in np.eye(count)]
            frame, r = np.linalg.qr(np.stack(columns, axis=1) @ frame)
            sums += np.log(np.abs(np.diag(r)))
            state = step(parameters, sample, state)
    return np.sort(sums / len(x))[::-1]


def test_nan_is_no_exponent():
    x = np.zeros((T, 1, I))
    x[3] = np.nan
    with pytest.raises(
        ValueError, match=r"finite; got NaN or infinity in a state.*Fix: call bptt.first_nonfinite"
    ):
        bptt.lyapunov_spectrum(bptt.GRU(I, H, seed=0), x)


@pairwise(("kind", STEPS.keys()), ("dtype", ["float64", "float32"]), ("k", [None, 2]))
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


def test_dropout_and_rounding_are_off():
    x = np.random.default_rng(1).standard_normal((20, I))
    for dtype, own in (("float64", {}), ("float32", {"precision": "bfloat16", "tape_dtype": "bfloat16"})):
        plain, other = (
            bptt.GRU(I, H, 2, dtype=dtype, seed=0, **more) for more in ({}, {"dropout": 0.6, **own})
        )
        assert np.any(plain.forward(x)[0] != other.forward(x)[0])
        expected = bptt.lyapunov_spectrum(plain, x)
        np.testing.assert_array_equal(bptt.lyapunov_spectrum(other, x), expected)
        twin = bptt.reference.like(other)
        np.testing.assert_allclose(bptt.lyapunov_spectrum(twin, x), expected, rtol=1e-12)


def network_at_rest(weights):
    """Its state stays zero, where tanh has slope 1: the Jacobian is the matrix of weights."""
    layer = bptt.RNN(I, len(weights), bias=False, dtype="float64", seed=0)
    layer.parameters["weight_hh_l0"][...] = weights
    return layer


ROTATION = np.linalg.qr(np.random.default_rng(7).standard_normal((6, 6)))[0]
SINGULAR = {
    "a zero row": (np.diag([0.5, 0.0]), [np.log(0.5), -np.inf]),
    "a projection": (
        ROTATION @ np.diag([0.9, 0.5, 0.3, 0, 0, 0]) @ ROTATION.T,
        [*np.log([0.9, 0.5, 0.3]), *[-np.inf] * 3],
    ),
    "a shift": (np.eye(6, k=1), [-np.inf] * 6),
    "a rotated shift": (ROTATION @ np.eye(6, k=1) @ ROTATION.T, [-np.inf] * 6),
    "nothing": (np.zeros((3, 3)), [-np.inf] * 3),
    "almost nothing": (np.diag([1.0, 1e-9]), [0.0, np.log(1e-9)]),
    "tiny weights": (1e-30 * np.eye(2), [np.log(1e-30)] * 2),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_directions_that_are_lost_stay_lost(name):
    for k in [None, 1]:
        weights, exponents = SINGULAR[name]
        found = bptt.lyapunov_spectrum(network_at_rest(weights), np.zeros((40, I)), k)
        np.testing.assert_allclose(found, exponents[:k], rtol=0, atol=0.05)


def test_fewer_than_all_exponents_are_the_largest():
    """The first unit is off from the start; the other three keep their state."""
    layer = bptt.RNN(1, 4, nonlinearity="relu", init="identity", dtype="float64", seed=0)
    layer.parameters["bias_ih_l0"][:] = [-1, 0.1, 0.1, 0.1]
    x = np.zeros((50, 1, 1))
    np.testing.assert_allclose(bptt.lyapunov_spectrum(layer, x), [0, 0, 0, -np.inf], atol=1e-12)
    for k in (1, 2, 3):
        np.testing.assert_allclose(bptt.lyapunov_spectrum(layer, x, k), np.zeros(k), atol=1e-12)


def explosive(weights):
    """A linear network: its Jacobian is the matrix of weights."""
    layer = bptt.RNN(len(weights), len(weights), nonlinearity="relu", bias=False, dtype="float64", seed=0)
    layer.parameters["weight_ih_l0"][...] = np.eye(len(weights))
    layer.parameters["weight_hh_l0"][...] = weights
    return layer


@pytest.mark.parametrize("exponent", [-900, -600, -300, 0, 300, 600])
def test_a_factor_of_the_jacobian_adds_its_logarithm(exponent):
    """Squares of the weights leave float64; the exponents do not."""
    for k in [1, 2, 3]:
        weights = np.diag([1.0, 2.0, 3.0])
        x = np.zeros((3, 1, 3))
        x[:2] = 2.0**-1000  # the state grows up to 2 ** 200, and never stops being positive
        plain = bptt.lyapunov_spectrum(explosive(weights), np.ones((3, 1, 3)), k)
        found = bptt.lyapunov_spectrum(explosive(2.0**exponent * weights), x if exponent > 0 else x + 1, k)
        np.testing.assert_allclose(found, plain + exponent * np.log(2.0), rtol=1e-12)


def test_an_exploding_layer_has_a_large_exponent():
    layer = explosive(1e200 * np.diag([1.0, 2.0, 3.0]))
    found = bptt.lyapunov_spectrum(layer, np.full((3, 1, 3), 1e-300))
    assert found[0] == pytest.approx(np.log(3e200), abs=0.2)
    assert found.sum() == pytest.approx(3 * np.log(1e200) + np.log(6), rel=1e-12)


def all_weights(layer, value):
    layer.flat_parameters[:] = value
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            all_weights(bptt.RNN(2, 3, nonlinearity="relu", dtype="float64"), 1e200),
            "got NaN or infinity in a state",
        ),
        (
            all_weights(bptt.LSTM(2, 3, activations=("affine", "affine", "tanh"), dtype="float64"), 1e150),
            "got NaN or infinity in a state",  # c overflows, and h does not
        ),
        (
            all_weights(bptt.RNN(2, 3, 3, nonlinearity="relu", bias=False, dtype="float64"), 1e150),
            "got NaN or infinity in a product",  # of three layers
        ),
    ],
)
def test_what_is_not_finite_is_no_exponent(layer, message):
    x = np.ones((5, 1, 2)) if "a state" in message else np.full((1, 1, 2), 1e-300)
    with pytest.raises(ValueError, match=message):
        bptt.lyapunov_spectrum(layer, x)


def saturated_at(*units):
    """Two rows; in row b, unit `units[b]` of two is saturated."""
    layer = bptt.RNN(2, 2, bias=False, dtype="float64", seed=0)
    layer.parameters["weight_hh_l0"][...] = np.eye(2)
    layer.parameters["weight_ih_l0"][...] = 3 * np.eye(2)
    x = np.zeros((10, len(units), 2))
    for b, unit in enumerate(units):
        x[:, b, unit] = 1
    return layer, x


def test_a_batch_has_the_mean_of_the_sorted_exponents_of_its_rows():
    layer, x = saturated_at(0, 1)
    alone = [bptt.lyapunov_spectrum(layer, x[:, [b]]) for b in (0, 1)]
    np.testing.assert_allclose(alone, [[0, -6.41]] * 2, atol=0.01)
    np.testing.assert_allclose(bptt.lyapunov_spectrum(layer, x), [0, -6.41], atol=0.01)


def test_a_direction_that_one_row_loses_is_lost_in_the_mean():
    layer = bptt.RNN(2, 2, nonlinearity="relu", init="identity", dtype="float64", seed=0)
    layer.parameters["weight_ih_l0"][...] = np.eye(2)
    x = np.ones((20, 2, 2))
    x[:, 1, 0] = -5
    found = bptt.lyapunov_spectrum(layer, x)
    np.testing.assert_allclose(found, [0, -np.inf], atol=1e-12)


def test_the_seed_draws_the_frame():
    layer, x = bptt.GRU(I, H, dtype="float64", seed=0), np.random.default_rng(1).standard_normal((5, I))
    one, again, other = (bptt.lyapunov_spectrum(layer, x, 1, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert abs(one - other) < 1


def test_the_warmup_turns_the_frame_before_it_counts():
    """Without warm-up, the first step shrinks a random direction to what it has of the slowest one."""
    layer = network_at_rest(np.diag([0.5, 1e-3]))
    x = np.zeros((4, I))
    cold, warm = (bptt.lyapunov_spectrum(layer, x, 1, warmup=warmup)[0] for warmup in (0, 4))
    assert warm == pytest.approx(np.log(0.5), abs=1e-9)
    frame = np.abs(first_frame(2, 1)[0, 0])
    assert cold == pytest.approx(np.log(0.5) + np.log(frame) / 4, abs=1e-3)


def by_differences(layer, x, state, frame):
    """QR method on Jacobians by central differences of the layer's inference."""

    def packed(state):
        parts = state if isinstance(state, tuple) else (state,)
        return np.concatenate([np.concatenate(list(part), axis=1) for part in parts], axis=1)

    def unpacked(rows):
        h, c = np.split(rows, [layer.num_layers * layer.output_size], axis=1)
        h, c = (np.stack(np.split(part, layer.num_layers, axis=1)) for part in (h, c))
        return (h, c) if layer.has_cell_state else h

    rows, sums = packed(state), 0.0
    units, eps = np.eye(rows.shape[1]), 1e-6
    for sample in x:
        _, moved = layer(
            np.tile(sample, (1, 2 * len(units), 1)), unpacked(rows + eps * np.concatenate([units, -units]))
        )
        above, below = np.split(packed(moved), 2)
        frame, r = np.linalg.qr((above - below).T / (2 * eps) @ frame)
        sums = sums + np.log(np.abs(np.diag(r)))
        rows = packed(layer(sample[np.newaxis, np.newaxis], unpacked(rows))[1])
    return np.sort(sums / len(x))[::-1]


@together(in_turn(("kind, options", SINGLE | COMBINED), extra=PAIRS))
def test_every_option_agrees_with_differences(kind, options):
    layer = getattr(bptt, kind)(I, 6, 2, dtype="float64", seed=1, **options)
    layer.flat_parameters *= 1.5
    rng = np.random.default_rng(0)
    x, h = rng.standard_normal((3, I)), 0.5 * rng.standard_normal((2, 1, layer.output_size))
    state = (h, rng.standard_normal((2, 1, 6))) if kind == "LSTM" else h
    found = bptt.lyapunov_spectrum(layer, x[:, np.newaxis], 3, state=state, warmup=0)
    count = 2 * (layer.output_size + (6 if kind == "LSTM" else 0))
    wanted = by_differences(layer, x, state, first_frame(count, 3))
    # Differences see no exponent below the logarithm of their error, which lost directions have.
    np.testing.assert_allclose(np.maximum(found, -6), np.maximum(wanted, -6), rtol=0, atol=2e-6)


X = np.zeros((5, 1, I))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bptt.lyapunov_spectrum(bptt.Linear(I, 2), X), TypeError, "layer must be an RNN, LSTM"),
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
