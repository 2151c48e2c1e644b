"""Memory blocks of 1997: the paper's weight counts and equations, and both of its gradients.

`paper` computes the equations once more, in plain loops. Its truncated gradient is the gradient by finite
differences of a net whose recurrent activations are constants.
"""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt

RNG = np.random.default_rng(0)
T, B, I, K, CELLS = 5, 3, 2, 2, 2
M, H = K * CELLS, K * (CELLS + 2)
X = RNG.normal(size=(T, B, I))
FORMS = list(itertools.product(("truncated", "full"), (True, "gates", False), (True, False)))
"""gradient, bias and squash."""


def layer_of(gradient: str = "truncated", bias: Any = True, squash: bool = True, **options: Any) -> Any:
    options = {"dtype": "float64", "init": bptt.init.uniform(0.8), "seed": 3} | options
    return bptt.MemoryBlocks(I, K, CELLS, gradient=gradient, bias=bias, squash=squash, **options)


def paper(
    layer: Any, x: Any, c: Any, recurrent: Any = None, h: Any = None
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Return y, the last c and what the hidden units read at each step from the step before.

    With `recurrent`, the units read these arrays at all steps.
    """
    sigmoid = np.vectorize(lambda a: 1 / (1 + math.exp(-a)))
    W, U = layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"]
    bias = np.zeros(H)
    if layer.bias:
        given = layer.parameters["bias_ih_l0"]
        bias[H - len(given) :] = given
    h, ys, read = np.zeros((len(c), M)) if h is None else h, [], []
    for t, x_t in enumerate(x):
        read.append(np.concatenate([h, c[:, M:]], axis=1) if recurrent is None else recurrent[t])
        a = x_t @ W.T + read[-1] @ U.T + bias
        c = np.concatenate([c[:, :M], sigmoid(a[:, M:])], axis=1)
        h = np.empty((len(c), M))
        for block in range(K):
            i, o = c[:, M + block], c[:, M + K + block]
            for cell in range(block * CELLS, (block + 1) * CELLS):
                c[:, cell] += i * (4 * sigmoid(a[:, cell]) - 2)
                h[:, cell] = o * (2 * sigmoid(c[:, cell]) - 1 if layer.squash else c[:, cell])
        ys.append(h)
    return np.array(ys), c, read


def test_the_nets_of_the_paper_have_its_numbers_of_weights() -> None:
    nets = [
        (93, bptt.MemoryBlocks(2, 2, 2), bptt.Linear(4, 1)),  # adding
        (156, bptt.MemoryBlocks(8, 2, 2), bptt.Linear(4, 4)),  # temporal order
        (264, bptt.MemoryBlocks(7, 4, bias="gates"), bptt.Linear(4, 7, bias=False)),  # Reber grammar
        (276, bptt.MemoryBlocks(7, 3, 2, bias="gates"), bptt.Linear(6, 7, bias=False)),
    ]
    assert [bptt.Sequential(*layers).parameter_count for _, *layers in nets] == [count for count, *_ in nets]


def test_biases_of_gates() -> None:
    options: dict[str, Any] = {"input_bias": [-3, -6], "output_bias": -1.5, "init": bptt.init.uniform(0.1)}
    values = [
        bptt.MemoryBlocks(2, 2, 2, bias=bias, **options).parameters["bias_ih_l0"] for bias in (True, "gates")
    ]
    np.testing.assert_array_equal(values[0], [0, 0, 0, 0, -3, -6, -1.5, -1.5])
    np.testing.assert_array_equal(values[1], values[0][4:])
    drawn = bptt.MemoryBlocks(2, 2, init=bptt.init.uniform(0.1), seed=0).parameters["weight_hh_l0"]
    assert np.all(np.abs(drawn) <= 0.1)
    assert np.ptp(drawn) > 0.1


def test_the_equations_are_those_of_the_paper(subtests: pytest.Subtests) -> None:
    c0 = RNG.normal(size=(B, H))
    for form in FORMS:
        with subtests.test(form=form):
            layer = layer_of(*form)
            h0 = RNG.normal(size=(B, M))
            expected, last, _ = paper(layer, X, c0, h=h0)
            for backend in (layer, bptt.reference.like(layer)):
                y, (h, c) = backend(X, (h0[np.newaxis], c0[np.newaxis]))
                np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)
                np.testing.assert_allclose(c[0], last, rtol=1e-13, atol=1e-14)
                np.testing.assert_array_equal(h[0], y[-1])


def test_the_core_agrees_with_the_reference(subtests: pytest.Subtests) -> None:
    reset, skip = RNG.random((T, B)) < 0.3, RNG.random((T, B)) < 0.3
    calls: list[dict[str, Any]] = [
        {},
        {"lengths": [2, 0, 5], "reset": reset, "clip_state": bptt.ClipNorm(0.3)},
        {"skip": skip, "steps": 2},
        {"steps": 3, "clip_state": 0.2},
    ]
    for form, options, dtype in itertools.product(FORMS, calls, ("float32", "float64")):
        with subtests.test(form=form, dtype=dtype, **options):
            layer = layer_of(*form, dtype=dtype)
            state = (RNG.normal(size=(1, B, M)), RNG.normal(size=(1, B, H)))
            bptt.crosscheck(layer, X, state, **options)


def test_the_full_gradient_is_that_of_the_loss(subtests: pytest.Subtests) -> None:
    for _, bias, squash in FORMS[len(FORMS) // 2 :]:
        with subtests.test(bias=bias, squash=squash):
            bptt.gradcheck(layer_of("full", bias, squash), X, lengths=[5, 2, 0])


def test_the_truncated_gradient_is_that_of_a_net_without_recurrent_errors(subtests: pytest.Subtests) -> None:
    for bias, squash in itertools.product((True, "gates", False), (True, False)):
        layer = layer_of("truncated", bias, squash)
        c0 = RNG.normal(size=(1, B, H))
        dy, dc = RNG.normal(size=(T, B, M)), RNG.normal(size=(1, B, H))
        constant = paper(layer, X, c0[0])[2]
        arrays = dict(layer.parameters) | {"x": X.copy(), "c0": c0}

        def loss(
            layer: Any = layer, arrays: Any = arrays, dy: Any = dy, dc: Any = dc, constant: Any = constant
        ) -> Any:
            y, c, _ = paper(layer, arrays["x"], arrays["c0"][0], constant)
            return np.sum(y * dy) + np.sum(c * dc[0])

        _, _, tape = layer.forward(X, (None, c0))
        dx, (dh0, dc0) = layer.backward(tape, dy, (None, dc))
        exact = layer_of("full", bias, squash)
        exact.backward(exact.forward(X, (None, c0))[2], dy, (None, dc))
        for name, gradient in (dict(layer.gradients) | {"x": dx, "c0": dc0}).items():
            with subtests.test(name, bias=bias, squash=squash):
                np.testing.assert_allclose(gradient, differences(loss, arrays[name]), rtol=1e-7, atol=1e-9)
                if name in exact.gradients:
                    assert np.abs(gradient - exact.gradients[name]).max() > 1e-3
        np.testing.assert_array_equal(dh0, 0)


def differences(loss: Any, array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the gradient of the loss by central differences."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        losses = []
        for sign in (1, -1):
            array[index] = value + sign * step
            losses.append(loss())
        array[index] = value
        gradient[index] = (losses[0] - losses[1]) / (2 * step)
    return gradient


def test_cells_carry_their_error_back_unchanged() -> None:
    layer = bptt.MemoryBlocks(I, K, CELLS, bias="gates", input_bias=-3, seed=0)
    x = 0.1 * RNG.normal(size=(1000, B, I))
    y, _, tape = layer.forward(x)
    dy = np.zeros_like(y)
    dy[-1] = 1
    layer.backward(tape, dy)
    assert tape.dc_norm is not None
    assert tape.dc_norm[0, 0] == tape.dc_norm[0, -1] > 0
    assert bptt.gradient_flow(layer, x).carried == (True,)


def test_windows_carry_the_state(subtests: pytest.Subtests) -> None:
    for gradient in ("truncated", "full"):
        with subtests.test(gradient):
            whole, parts = layer_of(gradient), layer_of(gradient)
            y, last, tape = whole.forward(X)
            dy = RNG.normal(size=y.shape)
            dx, _ = whole.backward(tape, dy)
            y1, state, first = parts.forward(X[:2])
            y2, end, second = parts.forward(X[2:], state)
            np.testing.assert_array_equal(np.concatenate([y1, y2]), y)
            np.testing.assert_array_equal(end[1], last[1])
            dx2, dstate = parts.backward(second, dy[2:])
            dx1, _ = parts.backward(first, dy[:2], dstate)
            np.testing.assert_allclose(np.concatenate([dx1, dx2]), dx, rtol=1e-13)
            np.testing.assert_allclose(parts.flat_gradients, whole.flat_gradients, rtol=1e-12)


def test_recomputed_states_give_the_same_bits() -> None:
    layer, x = layer_of("full"), 0.1 * RNG.normal(size=(600, B, I))
    results = []
    for checkpoint in (None, 50, "auto"):
        layer.zero_grad()
        y, _, tape = layer.forward(x, lengths=[600, 20, 301], checkpoint=checkpoint)
        dx, _ = layer.backward(tape, np.ones_like(y))
        results.append(
            np.concatenate([layer.flat_gradients, dx.ravel(), tape.dc_norm.ravel(), tape.gates[0].ravel()])
        )
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_each_row_has_the_bits_that_it_has_alone() -> None:
    layer = layer_of(dtype="float32")
    y, (_, c) = layer(X, lengths=[5, 2, 4])
    for row, length in enumerate((5, 2, 4)):
        alone, (_, c_alone) = layer(X[:length, row])
        np.testing.assert_array_equal(alone, y[:length, row])
        np.testing.assert_array_equal(c_alone, c[:, row])


def test_copies_files_snapshots_and_streams(tmp_path: Path) -> None:
    blocks = bptt.MemoryBlocks(
        I,
        K,
        CELLS,
        gradient="full",
        bias="gates",
        squash=False,
        input_bias=[-1, -2],
        batch_first=True,
        seed=0,
    )
    model = bptt.Sequential(blocks, bptt.Linear(M, 2, seed=0))
    x = X.swapaxes(0, 1)
    expected, _ = model(x)
    bptt.save(tmp_path / "model.safetensors", model)
    loaded = bptt.load(tmp_path / "model.safetensors")
    assert repr(loaded) == repr(model)
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.freeze()):
        np.testing.assert_array_equal(other(x)[0], expected)
    stream = model.stream(B)
    stream.input[...] = X[0]
    stream.step()
    outputs = [stream.output.copy(), *stream.run(X[1:])]
    np.testing.assert_allclose(np.array(outputs).swapaxes(0, 1), expected, rtol=1e-5)


def test_the_trainer_cuts_and_clips() -> None:
    model = bptt.Sequential(bptt.MemoryBlocks(I, K, CELLS), bptt.Linear(M, 1), seed=0)
    trainer = bptt.Trainer(
        model,
        bptt.MeanSquaredError(),
        bptt.SGD(0.1),
        truncate=(2, 4),
        clip_state=1.0,
        checkpoint=2,
        progress=False,
    )
    losses = trainer.fit([(X, X.sum(2, keepdims=True))], epochs=20)["loss"]
    assert losses[-1] < 0.7 * losses[0]


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: bptt.MemoryBlocks(2, 0), ValueError, "blocks must be an int >= 1; got 0"),
    (lambda: bptt.MemoryBlocks(2, 1, True), TypeError, "cells must be an int >= 1; got the bool True"),
    (
        lambda: bptt.MemoryBlocks(2, 1, bias="all"),
        ValueError,
        "bias must be True, False or \"gates\"; got 'all'",
    ),
    (lambda: bptt.MemoryBlocks(2, 1, bias=1), TypeError, 'bias must be True, False or "gates"; got 1'),
    (lambda: bptt.MemoryBlocks(2, 1, gradient="exact"), ValueError, "gradient must be 'truncated' or 'full'"),
    (
        lambda: bptt.MemoryBlocks(2, 2, output_bias=[1, 2, 3]),
        ValueError,
        "each of the 2 blocks; got an array",
    ),
    (
        lambda: bptt.MemoryBlocks(2, 2, bias=False, input_bias=0),
        ValueError,
        "input_bias needs biases of gates",
    ),
    (
        lambda: bptt.MemoryBlocks(2, 2, init="chrono"),
        ValueError,
        "gates that keep the state; got MemoryBlocks",
    ),
    (lambda: bptt.MemoryBlocks(2, 10**10), ValueError, "sizes must give parameters that fit"),
    (lambda: layer_of()(X[..., :1]), ValueError, "x must have shape (T, B, I)"),
    (lambda: layer_of()(X, X), TypeError, "state must be a pair (h, c); got ndarray"),
    (lambda: layer_of()(X, (None, X)), ValueError, f"state[1] must have shape (1, {B}, {H})"),
    (lambda: layer_of()(X.astype(complex)), TypeError, "x must be an array of real numbers"),
    (lambda: bptt.spectral_radius(layer_of()), TypeError, "layer must be an RNN, LSTM, GRU or MGU"),
    (lambda: bptt.lyapunov_spectrum(layer_of(), X), TypeError, "layer must be an RNN, LSTM, GRU or MGU"),
    (
        lambda: bptt.export_c(layer_of(), "blocks.h"),
        ValueError,
        "got MemoryBlocks as layer 0, which has no form in C",
    ),
    (
        lambda: bptt.interop.onnx.save(layer_of(), "blocks.onnx"),
        TypeError,
        "got MemoryBlocks, which has none",
    ),
]


def test_bad_arguments_are_named_with_a_fix(subtests: pytest.Subtests) -> None:
    for call, error, words in ERRORS:
        with subtests.test(words):
            with pytest.raises(error) as raised:
                call()
            assert words in str(raised.value)
            assert "Fix: " in str(raised.value)
