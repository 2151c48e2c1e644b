"""Initialisers: what they promise of every parameter of every cell, and what they refuse."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import bptt

H, I, P = 24, 10, 6
NAMES = ("orthogonal", "identity", "chrono", "glorot", "sparse", "normal", "uniform")
CELLS: dict[str, tuple[type[bptt.Module], dict[str, Any]]] = {
    "rnn": (bptt.RNN, {}),
    "irnn": (bptt.RNN, {"nonlinearity": "relu"}),
    "lstm": (bptt.LSTM, {}),
    "lstm_coupled": (bptt.LSTM, {"coupled": True}),
    "lstm_projected": (bptt.LSTM, {"proj_size": P}),
    "lstm_peephole": (bptt.LSTM, {"peephole": True}),
    "lstm_layer_norm": (bptt.LSTM, {"layer_norm": True, "peephole": True}),
    "gru": (bptt.GRU, {}),
    "gru_reset_before": (bptt.GRU, {"reset_after": False}),
    "gru_layer_norm": (bptt.GRU, {"layer_norm": True}),
    "mgu": (bptt.MGU, {}),
}
FORGET = {"lstm": (1, 1), "lstm_coupled": (0, 1), "gru": (1, 1), "mgu": (0, -1)}
"""The gate that keeps the old state: f of i f g o, f of f g o, z of r z n; or replaces it, -1: f of f n."""


def build(cell: str, init: Any, **options: Any) -> Any:
    kind, own = CELLS[cell]
    stack = {"num_layers": 2, "bidirectional": True, "seed": 0}
    return kind(I, H, **own, **stack | {"init": init} | options)


def fits(cell: str, name: str) -> bool:
    return not (name == "chrono" and "rnn" in cell) and not (name == "sparse" and cell == "lstm_projected")


def named(layer: Any, *starts: str) -> dict[str, np.ndarray]:
    return {name: view for name, view in layer.parameters.items() if name.startswith(starts)}


def blocks(view: np.ndarray) -> np.ndarray:
    """(gates, H, ...) of (gates*H, ...)."""
    return view.reshape(-1, H, *view.shape[1:])


def semi_orthogonal(matrix: np.ndarray, gain: float = 1.0) -> bool:
    wide = matrix.astype(np.float64)
    small = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    return bool(np.abs(small / gain**2 - np.eye(len(small))).max() < 1e-6)


def zero_biases(layer: Any) -> bool:
    return not any(view.any() for view in named(layer, "bias_ih", "bias_hh", "bias").values())


def uniform_within(view: np.ndarray, bound: float) -> bool:
    """Within the bound up to its last bit, and not by chance far below it: that happens once in 1e9."""
    largest = np.abs(view).max()
    return bool(bound * 1e-9 ** (1 / view.size) < largest <= bound * (1 + 1e-6)) and bool(
        abs(view.mean()) < 6 * bound / math.sqrt(3 * view.size)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_the_draws(name: str, dtype: str) -> None:
    for cell in (cell for cell in CELLS if fits(cell, name)):
        first, again, other = (build(cell, name, dtype=dtype, seed=seed) for seed in (3, 3, 4))
        assert np.array_equal(first.flat_parameters, again.flat_parameters), cell
        assert not np.array_equal(first.flat_parameters, other.flat_parameters), cell
        assert np.isfinite(first.flat_parameters).all(), cell
        same = build(cell, getattr(bptt.init, name)(), dtype=dtype, seed=3)
        assert np.array_equal(same.flat_parameters, first.flat_parameters), cell


@pytest.mark.parametrize("name", NAMES)
def test_layer_norm_starts_neutral_and_peepholes_as_by_default(name: str) -> None:
    for cell in (cell for cell in CELLS if fits(cell, name)):
        layer = build(cell, name)
        assert all((view == 1).all() for view in named(layer, "weight_norm").values()), cell
        assert not any(view.any() for view in named(layer, "bias_norm").values()), cell
        for view in named(layer, "weight_peephole").values():
            assert uniform_within(view, 1 / math.sqrt(H)), cell


@pytest.mark.parametrize("name", NAMES)
def test_layers_run_and_train(name: str) -> None:
    for cell in (cell for cell in CELLS if fits(cell, name)):
        layer = build(cell, name)
        y, _, tape = layer.forward(np.ones((3, 2, I)))
        layer.backward(tape, np.ones_like(y))
        assert np.isfinite(layer.flat_gradients).all(), cell


def test_orthogonal(subtests: pytest.Subtests) -> None:
    for cell in CELLS:
        with subtests.test(cell):
            for gain in [1.0, 0.5]:
                layer = build(cell, bptt.init.orthogonal(gain))
                for view in named(layer, "weight_hh").values():
                    assert all(semi_orthogonal(block, gain) for block in blocks(view))
                assert all(semi_orthogonal(view, gain) for view in named(layer, "weight_hr").values())
                assert_inputs_are_glorot(layer)
                assert zero_biases(layer)


def test_orthogonal_is_uniform() -> None:
    """The trace of a uniform one has mean 0 and variance 1. QR alone prefers one sign on the diagonal."""
    traces = [
        np.trace(bptt.RNN(1, 8, init="orthogonal", seed=seed).parameters["weight_hh_l0"])
        for seed in range(400)
    ]
    assert abs(np.mean(traces)) < 6 / math.sqrt(len(traces))
    assert 0.6 < np.var(traces) < 1.5


def test_identity(subtests: pytest.Subtests) -> None:
    for cell in CELLS:
        with subtests.test(cell):
            layer = build(cell, bptt.init.identity(0.5))
            for view in named(layer, "weight_hh").values():
                assert all(np.array_equal(block, 0.5 * np.eye(*block.shape)) for block in blocks(view))
            for view in named(layer, "weight_ih").values():
                assert abs(view.mean()) < 6 * 0.001 / math.sqrt(view.size)
                assert abs(view.std() / 0.001 - 1) < 6 / math.sqrt(2 * view.size)
            for view in named(layer, "weight_hr").values():
                assert uniform_within(view, 1 / math.sqrt(H))
            assert zero_biases(layer)


def test_an_irnn_keeps_what_it_has_seen() -> None:
    layer = bptt.RNN(H, H, nonlinearity="relu", init="identity", seed=0)
    x = np.zeros((101, 3, H))
    x[0] = np.random.default_rng(1).uniform(0, 1, (3, H))
    layer.parameters["weight_ih_l0"][...] = np.eye(H)
    _, state = layer(x[:1])
    layer.parameters["weight_ih_l0"][...] = 0
    y, _ = layer(x[1:], state)
    assert np.array_equal(y, np.broadcast_to(x[0].astype(np.float32), y.shape))


def test_glorot(subtests: pytest.Subtests) -> None:
    for cell in CELLS:
        with subtests.test(cell):
            layer = build(cell, "glorot")
            assert_inputs_are_glorot(layer)
            for view in named(layer, "weight_hh").values():
                for block in blocks(view):
                    assert uniform_within(block, math.sqrt(6 / sum(block.shape)))
            for view in named(layer, "weight_hr").values():
                assert uniform_within(view, math.sqrt(6 / (P + H)))
            assert zero_biases(layer)


def assert_inputs_are_glorot(layer: Any) -> None:
    """Gate by gate, in a second layer of what both directions of the first give."""
    for name, view in named(layer, "weight_ih").items():
        width = I if "l0" in name else 2 * layer.output_size
        for block in blocks(view):
            assert block.shape == (H, width)
            assert uniform_within(block, math.sqrt(6 / (H + width)))


def test_sparse(subtests: pytest.Subtests) -> None:
    for cell in [cell for cell in CELLS if fits(cell, "sparse")]:
        with subtests.test(cell):
            layer = build(cell, bptt.init.sparse(5, spectral_radius=0.9))
            for view in named(layer, "weight_hh").values():
                for block in blocks(view):
                    assert (np.count_nonzero(block, axis=1) == 5).all()
                    assert np.abs(np.linalg.eigvals(block.astype(np.float64))).max() == pytest.approx(
                        0.9, abs=1e-5
                    )
            assert_inputs_are_glorot(layer)
            assert zero_biases(layer)


def test_the_rest_of_a_sparse_layer_may_have_a_scale() -> None:
    rest, default = build("gru", bptt.init.sparse(input_std=0.3)), build("gru", "sparse")
    for name, view in named(rest, "weight_ih").items():
        assert normal_of(view, 0.3), name
    for name, view in named(rest, "weight_hh").items():
        assert (np.count_nonzero(view, axis=1) == 15).all(), name
    assert zero_biases(rest)
    assert not named(build("gru", bptt.init.sparse(input_std=0.0)), "weight_ih")["weight_ih_l0"].any()
    assert_inputs_are_glorot(default)


def normal_of(view: np.ndarray, scale: float) -> bool:
    """Mean and deviation within six standard deviations, and more entries outside than a uniform has."""
    return bool(
        abs(view.mean()) < 6 * scale / math.sqrt(view.size)
        and abs(view.std() / scale - 1) < 6 / math.sqrt(2 * view.size)
        and np.abs(view).max() > 2 * scale
    )


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_all_weights_have_the_scale(name: str, subtests: pytest.Subtests) -> None:
    holds = {"normal": normal_of, "uniform": uniform_within}[name]
    for cell in CELLS:
        for scale in (0.05, 0.5):
            with subtests.test(cell=cell, scale=scale):
                layer = build(cell, getattr(bptt.init, name)(scale))
                for view in named(layer, "weight_ih", "weight_hh", "weight_hr").values():
                    assert holds(view, scale)
                assert zero_biases(layer)
    assert holds(bptt.Linear(30, 20, init=name, seed=0).parameters["weight"], 0.05)
    assert holds(bptt.Embedding(30, 20, init=name, seed=0).parameters["weight"], 0.05)


@pytest.mark.parametrize("size", [1, 2, 15, 16])
def test_sparse_in_small_layers_connects_what_there_is(size: int) -> None:
    for seed, connections in itertools.product(range(20), (1, 15)):
        init = bptt.init.sparse(connections=connections)
        block = bptt.RNN(1, size, init=init, seed=seed).parameters["weight_hh_l0"]
        assert (np.count_nonzero(block, axis=1) == min(connections, size)).all()
        assert np.abs(np.linalg.eigvals(block.astype(np.float64))).max() == pytest.approx(1.1, abs=1e-5)


def test_chrono(subtests: pytest.Subtests) -> None:
    for cell in [cell for cell in CELLS if fits(cell, "chrono")]:
        with subtests.test(cell):
            longest = 50
            layer, plain = build(cell, bptt.init.chrono(longest)), build(cell, "default")
            coupled = cell == "lstm_coupled"
            keeps, sign = FORGET["lstm_coupled" if coupled else cell.split("_")[0]]
            for name, view in named(layer, "bias_ih").items():
                total, rest = blocks(view + layer.parameters[name.replace("ih", "hh")]), blocks(view)
                u = np.exp(sign * total[keeps].astype(np.float64))
                assert (u > 1 - 1e-6).all()
                assert (u < longest - 1 + 1e-4).all()
                # The means of H uniform draws; six standard deviations.
                assert abs(u.mean() - longest / 2) < 6 * (longest - 2) / math.sqrt(12 * H)
                set_here = {keeps}
                if cell.startswith("lstm") and not coupled:
                    assert np.array_equal(total[0], -total[1])
                    set_here.add(0)
                for gate in set(range(len(rest))) - set_here:
                    assert uniform_within(rest[gate], 1 / math.sqrt(H))
            for name, view in named(layer, "weight").items():
                if "norm" not in name:
                    assert uniform_within(view, 1 / math.sqrt(H))
            assert list(plain.parameters) == list(layer.parameters)


@pytest.mark.parametrize(("cell", "candidate"), [("lstm", 2), ("gru", 2), ("mgu", 1)])
def test_chrono_gates_remember(cell: str, candidate: int) -> None:
    """With nothing but the gates' biases, the state fades by what the gates let through at every step."""
    steps = 7
    layer = build(cell, bptt.init.chrono(20), num_layers=1, bidirectional=False, dtype="float64")
    for view in named(layer, "weight").values():
        view[...] = 0
    for view in named(layer, "bias").values():
        blocks(view)[candidate] = 0
    keeps, sign = FORGET[cell]
    u = np.exp(sign * blocks(layer.parameters["bias_ih_l0"])[keeps])
    initial = np.ones((1, 1, H))
    _, last = layer(np.zeros((steps, 1, I)), (0 * initial, initial) if cell == "lstm" else initial)
    kept = last[1] if cell == "lstm" else last
    np.testing.assert_allclose(kept[0, 0], (u / (1 + u)) ** steps, rtol=1e-12)


def test_forget_bias_goes_before_chrono() -> None:
    layer = bptt.LSTM(I, H, init=bptt.init.chrono(50), forget_bias=2.0, seed=0)
    total = blocks(layer.parameters["bias_ih_l0"] + layer.parameters["bias_hh_l0"])
    assert (total[1] == 2).all()
    assert (total[0] <= 0).all()
    assert len(set(total[0])) == H


def test_layers_without_time() -> None:
    wide = bptt.Linear(20, 8, init=bptt.init.orthogonal(2), seed=0)
    table = bptt.Embedding(30, 5, init="orthogonal", seed=0)
    assert semi_orthogonal(wide.parameters["weight"], 2)
    assert semi_orthogonal(table.parameters["weight"])
    assert zero_biases(wide)
    narrow, small = bptt.Linear(20, 8, init="glorot", seed=0), bptt.Embedding(30, 5, init="glorot", seed=0)
    assert uniform_within(narrow.parameters["weight"], math.sqrt(6 / 28))
    assert uniform_within(small.parameters["weight"], math.sqrt(6 / 35))
    assert zero_biases(narrow)


def test_the_reference_draws_the_same() -> None:
    for name in NAMES:
        ours, theirs = (
            kind.LSTM(3, 5, init=name, dtype="float64", seed=7) for kind in (bptt, bptt.reference)
        )
        assert np.array_equal(ours.flat_parameters, theirs.flat_parameters)


def test_no_bias() -> None:
    for name in ("orthogonal", "identity", "glorot", "sparse", "normal", "uniform"):
        assert not named(build("gru", name, bias=False), "bias")


def test_an_initialiser_of_ones_own() -> None:
    class Halves(bptt.init.Initialiser):
        def draw(self, layer: bptt.Module, name: str, shape: tuple[int, ...], rng: Any) -> Any:
            if name.startswith("weight_hh"):
                return np.full(shape, 0.5 / layer.hidden_size)
            return super().draw(layer, name, shape, rng)

    layer, plain = build("gru", Halves()), build("gru", "default")
    assert all((view == np.float32(0.5 / H)).all() for view in named(layer, "weight_hh").values())
    assert np.array_equal(layer.parameters["weight_ih_l0"], plain.parameters["weight_ih_l0"])


def test_a_gain_may_be_a_large_int() -> None:
    """Checked numbers are kept as floats: NumPy's functions refuse Python's large ints."""
    whole, real = (bptt.RNN(2, 3, init=bptt.init.orthogonal(gain), seed=0) for gain in (10**25, 1e25))
    assert np.array_equal(whole.flat_parameters, real.flat_parameters)


def test_initialisers_are_values() -> None:
    assert bptt.init.sparse() == bptt.init.sparse(15, 1.1)
    assert repr(bptt.init.chrono(500)) == "chrono(longest=500.0)"


CASES_OF_ERRORS = [
    (lambda: build("gru", "zeros"), ValueError, ("init", "'default'", "'sparse'", "'zeros'")),
    (lambda: build("gru", 3), TypeError, ("init", "callable", "3")),
    (lambda: build("gru", bptt.init.orthogonal), TypeError, ("init", "class orthogonal", "orthogonal()")),
    (lambda: build("rnn", "chrono"), ValueError, ("init", "chrono", "gates", "RNN", "identity")),
    (lambda: build("gru", "chrono", bias=False), ValueError, ("init", "biases", "GRU", "bias=False")),
    (lambda: build("lstm_projected", "sparse"), ValueError, ("init", "sparse", "proj_size=6")),
    (lambda: bptt.Linear(3, 2, init="identity"), ValueError, ("init", "identity", "Linear", "glorot")),
    (lambda: bptt.Linear(3, 2, init="chrono"), ValueError, ("init", "chrono", "Linear", "orthogonal")),
    (lambda: bptt.Embedding(3, 2, init="sparse"), ValueError, ("init", "sparse", "Embedding")),
    (lambda: bptt.init.orthogonal(0), ValueError, ("gain", "> 0")),
    (lambda: bptt.init.orthogonal("2"), TypeError, ("gain", "'2'")),
    (lambda: bptt.init.identity(math.inf), ValueError, ("scale", "inf")),
    (lambda: bptt.init.identity(input_std=-1), ValueError, ("input_std", ">= 0", "-1")),
    (lambda: bptt.init.chrono(1.5), ValueError, ("longest", ">= 2", "1.5")),
    (lambda: bptt.init.sparse(0), ValueError, ("connections", ">= 1")),
    (lambda: bptt.init.sparse(2.5), TypeError, ("connections", "int")),
    (lambda: bptt.init.sparse(spectral_radius=0), ValueError, ("spectral_radius", "> 0")),
    (lambda: bptt.init.sparse(input_std=-1), ValueError, ("input_std", ">= 0", "-1")),
    (lambda: bptt.init.normal(0), ValueError, ("scale", "> 0")),
    (lambda: bptt.init.uniform(math.inf), ValueError, ("scale", "inf")),
]


def test_errors(subtests: pytest.Subtests) -> None:
    for call, error, words in CASES_OF_ERRORS:
        with subtests.test(call=call):
            with pytest.raises(error) as caught:
                call()
            message = str(caught.value)
            assert message.startswith(words[0])
            assert "Fix: " in message
            assert all(word in message for word in words), message
