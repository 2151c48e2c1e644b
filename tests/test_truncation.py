"""Truncated backpropagation through time with windows (k1, k2), against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import bptt

T, B, I, H, RATE = 23, 3, 4, 5, 0.2
WINDOWS = ((5, 5), (5, 10), (5, 8), (5, 3), (1, 1), (1, 6), (4, 40), (30, 7), (23, 23))


def data():
    rng = np.random.default_rng(1)
    return rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))


def rnn(**options):
    return bptt.RNN(I, H, dtype="float64", seed=0, **options)


def by_hand(x, target, k1, k2):
    """One epoch of SGD on the mean squared error of a tanh RNN, window by window."""
    start = rnn().state_dict()
    W, U, b, c = (start[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    reached = {0: np.zeros((B, H))}  # states where windows end, as they were then
    for begin in range(0, T, k1):
        end = min(begin + k1, T)
        first = begin if k2 <= k1 else min(begin, max(0, end - k2) // k1 * k1)
        h = {first - 1: reached[first]}
        for t in range(first, end):
            h[t] = np.tanh(x[t] @ W.T + b + h[t - 1] @ U.T + c)
        dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
        dh = np.zeros((B, H))
        for t in range(end - 1, max(first, end - k2) - 1, -1):
            if t >= begin:  # the losses of this window alone
                dh = dh + 2 * (h[t] - target[t]) / ((end - begin) * B * H)
            da = dh * (1 - h[t] ** 2)
            dW, dU, db = dW + da.T @ x[t], dU + da.T @ h[t - 1], db + da.sum(axis=0)
            dh = da @ U
        reached[end] = h[end - 1]
        W, U, b, c = W - RATE * dW, U - RATE * dU, b - RATE * db, c - RATE * db
    return {"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": c}


def trained(model, x, target, truncate, **batch):
    trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(RATE), truncate=truncate, progress=False)
    trainer.fit([{"x": x, "target": target} | batch])
    return model.state_dict()


@pytest.mark.parametrize(("k1", "k2"), WINDOWS)
def test_windows_agree_with_plain_numpy(k1, k2):
    for batch_first in [False, True]:
        x, target = data()
        wanted = by_hand(x, target, k1, k2)
        if batch_first:
            x, target = x.swapaxes(0, 1), target.swapaxes(0, 1)
        found = trained(rnn(batch_first=batch_first), x, target, (k1, k2))
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-11, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("k1", [1, 5, 23, 100])
def test_as_far_back_as_the_window_is_the_plain_number(k1):
    x, target = data()
    one, other = (trained(rnn(), x, target, truncate) for truncate in (k1, (k1, k1)))
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value)


@pytest.mark.parametrize("truncate", [T, T + 1, (T, 2 * T)])
def test_one_target_per_sequence_needs_one_window(truncate):
    x, target = data()
    full, cut = (bptt.Sequential(rnn(), bptt.Last()) for _ in range(2))
    expected = trained(full, x, target[-1], None)
    for name, value in trained(cut, x, target[-1], truncate).items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_sequential_goes_back_as_far_as_its_layer():
    x, target = data()
    for truncate in ((5, 12), (6, 2)):
        alone = trained(rnn(), x, target, truncate)
        found = trained(bptt.Sequential(rnn()), x, target, truncate)
        for name, value in alone.items():
            np.testing.assert_array_equal(found[f"0.{name}"], value)


def test_resets_and_lengths_go_with_the_windows():
    """A reset in the middle is two batches; so no error goes back over it, whatever the window."""
    x, target = data()
    x, target = x[:20], target[:20]
    reset = np.zeros((20, B), bool)
    reset[10] = True
    joined = trained(rnn(), x, target, (5, 10), reset=reset)
    model = rnn()
    for half in (slice(0, 10), slice(10, 20)):
        separate = trained(model, x[half], target[half], (5, 10))
    for name, value in separate.items():
        np.testing.assert_allclose(joined[name], value, rtol=1e-11, atol=1e-14)
    whole = trained(rnn(), x, target, (5, 10), lengths=np.full(B, 20))
    plain = trained(rnn(), x, target, (5, 10))
    for name, value in plain.items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    ("truncate", "error", "message"),
    [
        ((5,), ValueError, "truncate must be a number of steps or a pair"),
        ((0, 5), ValueError, r"truncate\[0\] must be an int >= 1"),
        ((5, 2.5), TypeError, r"truncate\[1\] must be an int"),
        ("5", TypeError, "truncate must be an int"),
    ],
)
def test_bad_windows(truncate, error, message):
    with pytest.raises(error, match=message):
        bptt.Trainer(rnn(), bptt.MeanSquaredError(), bptt.SGD(RATE), truncate=truncate)


def test_batches_that_the_model_refuses(subtests):
    """What is no array of steps is left to the model, which names the argument."""
    cases = [
        ("x", {"x": 2.0, "skip": np.array(True)}),
        ("x", {"x": np.ones(I), "skip": np.array(True)}),
        ("lengths", {"lengths": {"a": [1]}}),
        ("skip", {"skip": {"a": 1}}),
    ]
    trainer = bptt.Trainer(rnn(), bptt.MeanSquaredError(), bptt.SGD(RATE), progress=False)
    for name, change in cases:
        batch = {"x": np.ones((3, 2, I)), "target": np.ones((3, 2, 2))} | change
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=f"{name} must"):
            trainer.fit([batch])
