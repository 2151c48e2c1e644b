"""Cells of Flax and Equinox become layers, and go back: the same outputs and states."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import bptt
from bptt.interop import from_equinox, from_flax, to_equinox, to_flax

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4, 3)).astype(np.float32)
ZEROS = np.zeros((4, 5), np.float32)
TOLERANCE = 1e-5
"""Of outputs of size 1 in float32."""


def random(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return RNG.normal(size=shape, scale=0.6).astype(np.float32)


def nested(shapes: Any) -> Any:
    """A tree of random arrays in place of the shapes."""
    if isinstance(shapes, tuple):
        return random(shapes)
    return {name: nested(part) for name, part in shapes.items()}


def unrolled(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, x: npt.NDArray[Any]) -> Any:
    """The outputs (T, B, H) and the last state of a cell, step by step."""
    outputs = []
    for x_t in x:
        state, y = step(state, x_t)
        outputs.append(np.asarray(y))
    return np.stack(outputs), state


def agrees(layer: Any, y: Any, state: Any, *, lstm: bool) -> None:
    """The layer computes y and the state, (c, h) of an LSTM in Flax and (h, c) in Equinox."""
    ours, our_state = layer(X)
    np.testing.assert_allclose(ours, y, rtol=0, atol=TOLERANCE)
    for our, their in zip(our_state if lstm else (our_state,), state if lstm else (state,), strict=True):
        np.testing.assert_allclose(our[0], their, rtol=0, atol=TOLERANCE)


def test_linen_cells(subtests: pytest.Subtests) -> None:
    jax = pytest.importorskip("jax", reason="needs JAX and Flax: pip install flax")
    linen = pytest.importorskip("flax.linen", reason="needs Flax: pip install flax")
    for name in ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"):
        cell = getattr(linen, name)(5)
        lstm = "LSTM" in name
        start = (ZEROS, ZEROS) if lstm else ZEROS
        tree = jax.eval_shape(cell.init, jax.random.key(0), start, X[0])  # without initial values
        shapes = jax.tree.map(lambda array: array.shape, tree)
        params, second = nested(shapes), nested(shapes)
        apply = jax.jit(cell.apply)
        y, carry = unrolled(functools.partial(apply, params), start, X)
        with subtests.test(name):
            for tree in (params, params["params"], {"params": {"cell": params["params"]}}):
                agrees(from_flax(tree), y, carry[::-1] if lstm else carry, lstm=lstm)
            layer = from_flax({"params": {"a": params["params"], "b": second["params"]}}, "a")
            back = to_flax(layer)
            assert jax.tree.structure(back) == jax.tree.structure(params)
            for ours, theirs in zip(jax.tree.leaves(back), jax.tree.leaves(params), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            both = from_flax(params, backward=second, batch_first=True)
            assert both.bidirectional
            assert both.batch_first
            ours = both(X.transpose(1, 0, 2))[0]
            np.testing.assert_allclose(ours[..., :5], y.transpose(1, 0, 2), rtol=0, atol=TOLERANCE)
            theirs, _ = unrolled(functools.partial(apply, second), start, X[::-1])
            np.testing.assert_allclose(ours[..., 5:], theirs[::-1].transpose(1, 0, 2), rtol=0, atol=TOLERANCE)
            for other, of in ((False, params), (True, second)):
                for ours, tree in zip(
                    jax.tree.leaves(to_flax(both, reverse=other)), jax.tree.leaves(of), strict=True
                ):
                    np.testing.assert_array_equal(ours, tree)


def test_nnx_cells(subtests: pytest.Subtests) -> None:
    jax = pytest.importorskip("jax", reason="needs JAX and Flax: pip install flax")
    nnx = pytest.importorskip("flax.nnx", reason="needs Flax: pip install flax")
    for name in ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"):
        lstm = "LSTM" in name
        # Only the shapes of the initial values are needed.
        cell = nnx.eval_shape(lambda name=name: getattr(nnx, name)(3, 5, rngs=nnx.Rngs(0)))
        pure = nnx.to_pure_dict(nnx.state(cell, nnx.Param))
        nnx.update(cell, nested(jax.tree.map(lambda array: array.shape, pure)))
        form, rest = nnx.split(cell)
        step = jax.jit(lambda carry, x, form=form, rest=rest: nnx.merge(form, rest)(carry, x))
        y, carry = unrolled(step, (ZEROS, ZEROS) if lstm else ZEROS, X)
        with subtests.test(name):
            for params in (nnx.state(cell, nnx.Param), nnx.to_pure_dict(nnx.state(cell, nnx.Param))):
                agrees(from_flax(params), y, carry[::-1] if lstm else carry, lstm=lstm)


def test_equinox_cells(subtests: pytest.Subtests) -> None:
    jax = pytest.importorskip("jax", reason="needs JAX and Equinox: pip install equinox")
    equinox = pytest.importorskip("equinox", reason="needs Equinox: pip install equinox")
    for name, use_bias in itertools.product(("LSTMCell", "GRUCell"), (True, False)):
        cells = []
        for key in range(2):
            make = getattr(equinox.nn, name)
            cell = equinox.filter_eval_shape(make, 3, 5, use_bias, key=jax.random.key(key))
            leaves, form = jax.tree.flatten(cell)
            cells.append(jax.tree.unflatten(form, [random(leaf.shape) for leaf in leaves]))
        lstm = name == "LSTMCell"
        step = jax.jit(jax.vmap(lambda state, x, cell=cells[0]: cell(x, state)))

        def run(state: Any, x: Any, step: Any = step, lstm: bool = lstm) -> Any:
            state = step(state, x)
            return state, state[0] if lstm else state

        y, state = unrolled(run, (ZEROS, ZEROS) if lstm else ZEROS, X)
        with subtests.test(name, use_bias=use_bias):
            layer = from_equinox(cells[0])
            agrees(layer, y, state, lstm=lstm)
            both = from_equinox(cells[0], backward=cells[1])
            for reverse in (False, True):
                arrays = to_equinox(both, reverse=reverse)
                assert set(arrays) == {"weight_ih", "weight_hh"} | (
                    {"bias", *([] if lstm else ["bias_n"])} if use_bias else set()
                )
                for field, value in arrays.items():
                    np.testing.assert_array_equal(value, getattr(cells[reverse], field))
            first, second = (from_equinox(cell, batch_first=True) for cell in (arrays, cells[1]))
            np.testing.assert_array_equal(first(X)[0], second(X)[0])


def test_two_biases_become_one() -> None:
    """Layers with two biases, from PyTorch or training, compute the same after a way through each library."""
    for layer in (bptt.LSTM(3, 5, 2, seed=1), bptt.GRU(3, 5, 2, seed=2), bptt.RNN(5, 5, 2, seed=3)):
        single = type(layer)(5, 5, seed=4)
        single.load_state_dict(
            {name.replace("l1", "l0"): value for name, value in layer.parameters.items() if "l1" in name}
        )
        x = RNG.normal(size=(4, 2, 5))
        ways = [from_flax(to_flax(layer, index=1))]
        if layer.kind != "RNN":
            ways.append(from_equinox(to_equinox(layer, index=1)))
        for other in ways:
            np.testing.assert_allclose(other(x)[0], single(x)[0], rtol=0, atol=TOLERANCE)


CELL = to_flax(bptt.GRU(3, 5, seed=0))["params"]
EQUINOX = to_equinox(bptt.GRU(3, 5, seed=0))
WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: from_flax([1]), TypeError, "params must be a nested mapping"),
    (lambda: from_flax({}), ValueError, "got no arrays"),
    (
        lambda: from_flax(CELL | {"in": {"kernel": CELL["in"]["kernel"]}}),
        ValueError,
        r"missing 'in.bias' \(5,\)",
    ),
    (lambda: from_flax(CELL | {"norm": {"scale": np.ones(5)}}), ValueError, r"unused 'norm.scale' \(5,\)"),
    (
        lambda: from_flax(CELL | {"hz": {"kernel": np.ones((4, 5))}}),
        ValueError,
        r"'hz.kernel' \(4, 5\) in place",
    ),
    (lambda: from_flax({"a": CELL, "b": CELL}), ValueError, "its place as prefix"),
    (lambda: from_flax({"a": CELL}, "b"), ValueError, "got no arrays"),
    (
        lambda: from_flax(dict.fromkeys(("if", "in", "hf", "hn"), CELL["in"])),
        ValueError,
        "one LSTMCell, GRUCell or SimpleCell; got 'if.kernel'",
    ),
    (lambda: from_flax({"h": {"kernel": "text"}}), TypeError, "params.h.kernel must be"),
    (
        lambda: from_flax(CELL, backward=to_flax(bptt.GRU(3, 4))),
        ValueError,
        "backward must be a cell of the same",
    ),
    (lambda: to_flax(bptt.MGU(3, 4)), TypeError, "RNN, LSTM or GRU; got MGU"),
    (lambda: to_flax(bptt.GRU(3, 4, reset_after=False)), ValueError, "Flax has; got reset_after=False"),
    (lambda: to_flax(bptt.GRU(3, 4), index=1), ValueError, "index must be"),
    (lambda: to_flax(bptt.GRU(3, 4), reverse=True), ValueError, "one direction"),
    (lambda: from_equinox(EQUINOX | {"bias_n": None}), ValueError, r"missing 'bias_n' \(5,\)"),
    (lambda: from_equinox(EQUINOX | {"bias": np.ones(4)}), ValueError, r"'bias' \(4,\) in place of \(15,\)"),
    (lambda: from_equinox(bptt.Tanh()), ValueError, r"weight_ih \(4H, I\) or .*got Tanh"),
    (lambda: to_equinox(bptt.RNN(3, 4).freeze()), TypeError, "cells of Equinox; got RNN"),
    (lambda: to_equinox(bptt.Tanh()), TypeError, "got Tanh"),
    (lambda: from_flax({}, 3), TypeError, "prefix must be a str"),  # type: ignore[arg-type]
    (
        lambda: from_flax(to_flax(bptt.GRU(3, 4).freeze()), num_layers=2),
        TypeError,
        "got 'num_layers', which the arrays tell",
    ),
    (lambda: from_equinox(EQUINOX, reset_after=False), TypeError, "got 'reset_after'"),
]


def test_wrong_arrays_are_named(subtests: pytest.Subtests) -> None:
    for call, error, words in WRONG:
        with subtests.test(words), pytest.raises(error, match=words) as caught:
            call()
        assert "Fix: " in str(caught.value)
