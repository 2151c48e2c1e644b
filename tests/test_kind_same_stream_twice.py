"""The kind "the same stream twice": layers of one seed have uncorrelated weights and dropout masks."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

import bptt

N = 50
LAYERS = {
    "RNN": lambda seed: bptt.RNN(6, N, seed=seed),
    "wider RNN": lambda seed: bptt.RNN(7, N, seed=seed),
    "GRU": lambda seed: bptt.GRU(6, N, seed=seed),
    "LSTM": lambda seed: bptt.LSTM(6, N, seed=seed),
    "MGU": lambda seed: bptt.MGU(6, N, seed=seed),
    "Linear": lambda seed: bptt.Linear(N, 6, seed=seed),
    "wide Linear": lambda seed: bptt.Linear(6, N, seed=seed),
    "Embedding": lambda seed: bptt.Embedding(6, N, seed=seed),
}


def uncorrelated(a: np.ndarray, b: np.ndarray) -> bool:
    """No correlation beyond 5 standard deviations, however far one is shifted against the other, up to 8."""
    for lag in range(8):
        for first, second in ((a[lag:], b), (a, b[lag:])):
            n = min(len(first), len(second))
            if abs(np.corrcoef(first[:n], second[:n])[0, 1]) > 5 / np.sqrt(n):
                return False
    return True


def masks_of(layer: bptt.Module) -> np.ndarray:
    """What the layer drops of 1,000 numbers."""
    x = np.ones((25, 40, 1), np.float32)
    if isinstance(layer, bptt.Dropout):
        return layer.forward(x)[0].ravel()
    return layer.forward(x)[2].masks["recurrent"].ravel()


@pytest.mark.parametrize("seed", [0, 1])
def test_kind_same_stream_twice_weights(seed):
    drawn = {name: make(seed).flat_parameters for name, make in LAYERS.items()}
    for (first, a), (second, b) in itertools.combinations(drawn.items(), 2):
        assert uncorrelated(a, b), (first, second)


def test_kind_same_stream_twice_masks():
    layers = [
        bptt.Dropout(0.5, seed=0),
        *(kind(1, 25, recurrent_dropout=0.5, seed=0) for kind in (bptt.RNN, bptt.GRU, bptt.LSTM, bptt.MGU)),
    ]
    for a, b in itertools.combinations(map(masks_of, layers), 2):
        assert uncorrelated(a, b)
    layer = bptt.LSTM(25, 25, recurrent_dropout=0.5, input_dropout=0.5, seed=0)
    masks = layer.forward(np.ones((1, 40, 25)))[2].masks
    assert uncorrelated(masks["input"].ravel(), masks["recurrent"].ravel())


@pytest.mark.parametrize("seed", [0, np.random.default_rng(3)])
def test_kind_same_stream_twice_in_a_model(seed):
    """Also of layers that are alike, nested or not."""
    like = [bptt.RNN(N, N), bptt.RNN(N, N), bptt.Sequential(bptt.RNN(N, N), bptt.RNN(N, N, seed=0))]
    model = bptt.Sequential(*like, seed=seed)
    parts = [model[0], model[1], model[2][0], model[2][1]]
    for a, b in itertools.combinations([part.flat_parameters for part in parts], 2):
        assert uncorrelated(a, b)
    drops = bptt.Sequential(bptt.Dropout(0.5, seed=0), bptt.Dropout(0.5, seed=0), seed=seed)
    assert uncorrelated(masks_of(drops[0]), masks_of(drops[1]))


def model(seed=None, **options) -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(5, 3),
        bptt.LSTM(3, 4, forget_bias=1.0, recurrent_dropout=0.5, **options),
        bptt.Sequential(bptt.Dropout(0.5), bptt.Linear(4, 2, init="orthogonal")),
        seed=seed,
    )


def test_the_seed_of_a_model_fixes_weights_and_masks():
    ids = np.arange(10).reshape(5, 2) % 5
    first, again, other = model(3), model(3), model(4)
    assert np.array_equal(first.flat_parameters, again.flat_parameters)
    assert not np.array_equal(first.flat_parameters, other.flat_parameters)
    assert np.array_equal(first.forward(ids)[0], again.forward(ids)[0])
    shared = model(np.random.default_rng(7)).flat_parameters
    assert np.array_equal(shared, model(np.random.default_rng(7)).flat_parameters)
    assert not np.array_equal(model().flat_parameters, model().flat_parameters)


def test_the_seed_of_a_model_keeps_what_the_layers_options_say():
    drawn = model(3)
    assert np.array_equal(drawn.parameters["1.bias_ih_l0"][4:8], np.ones(4))
    assert not drawn.parameters["1.bias_hh_l0"][4:8].any()
    weight = drawn.parameters["2.1.weight"]
    np.testing.assert_allclose(weight @ weight.T, np.eye(2), atol=1e-6)
    named = bptt.Sequential(
        bptt.Linear(2, 3, init=lambda name, shape, rng: rng.integers(1, 9, shape)), seed=0
    )
    assert np.array_equal(named.flat_parameters, named.flat_parameters.round())
    assert not drawn.flat_gradients.any()


def test_the_seed_of_a_model_is_the_same_for_both_types():
    assert np.array_equal(
        bptt.Sequential(bptt.RNN(2, 3), seed=1).flat_parameters,
        bptt.Sequential(bptt.RNN(2, 3, dtype="float64"), seed=1).flat_parameters.astype(np.float32),
    )


def trained() -> bptt.Module:
    layer = bptt.Linear(2, 3)
    layer.parameters["weight"][0, 0] += 1
    return layer


def loaded() -> bptt.Module:
    layer = bptt.Linear(2, 3)
    layer.load_state_dict(bptt.Linear(2, 3).state_dict())
    return layer


@pytest.mark.parametrize(
    "make",
    [
        trained,
        loaded,
        lambda: copy.deepcopy(bptt.Linear(2, 3)),
        lambda: pickle.loads(pickle.dumps(bptt.Linear(2, 3))),
        lambda: bptt.Sequential(trained()),
    ],
    ids=["trained", "loaded", "copied", "pickled", "nested"],
)
def test_the_seed_of_a_model_overwrites_no_trained_layer(make):
    new, old = bptt.RNN(2, 2), make()
    before = new.flat_parameters.copy(), old.flat_parameters.copy()
    with pytest.raises(
        ValueError, match=r"got Linear at model\[1\](\[0\])? with parameters that .* Fix: leave seed out"
    ):
        bptt.Sequential(new, old, seed=0)
    assert np.array_equal(before[0], new.flat_parameters)
    assert np.array_equal(before[1], old.flat_parameters)
    assert np.array_equal(bptt.Sequential(new, old).flat_parameters, np.concatenate(before))


def test_a_new_layer_says_that_it_is_new():
    layer = bptt.LSTM(2, 3, forget_bias=1.0)
    assert layer.is_initial
    before = layer.flat_parameters.copy()
    layer.initialise(np.random.default_rng(0))
    assert layer.is_initial
    assert not np.array_equal(before, layer.flat_parameters)
    with pytest.raises(ValueError, match="Fix: build a new one"):
        copy.copy(layer).initialise(np.random.default_rng(0))


def test_a_new_model_says_that_it_is_new():
    def make(**options):
        nested = bptt.Sequential(bptt.Dropout(0.2), bptt.GRU(3, 2))
        return bptt.Sequential(bptt.LSTM(2, 3, forget_bias=1.0), nested, bptt.Linear(2, 1), **options)

    net = make()
    assert net.is_initial
    before = net.flat_parameters.copy()
    net.initialise(np.random.default_rng(0))
    assert net.is_initial
    twin = make(seed=np.random.default_rng(0))
    assert not np.array_equal(before, net.flat_parameters)
    np.testing.assert_array_equal(net.flat_parameters, twin.flat_parameters)
    x = np.ones((4, 2, 2))
    np.testing.assert_array_equal(net.forward(x)[0], twin.forward(x)[0])  # the same masks
    net.parameters["1.1.weight_hh_l0"][0] += 1
    assert not net.is_initial
    assert not copy.copy(twin).is_initial
    before = net.flat_parameters.copy()
    with pytest.raises(ValueError, match=r"got a copy, LSTM at model\[0\]\. Fix: build a new model"):
        copy.copy(net).initialise(np.random.default_rng(0))
    np.testing.assert_array_equal(net.flat_parameters, before)


@pytest.mark.parametrize("seed", [-1, 1.0, "0", True])
def test_the_seed_of_a_model_is_checked(seed):
    with pytest.raises((TypeError, ValueError), match="seed must be"):
        bptt.Sequential(bptt.Linear(2, 3), seed=seed)


def test_the_seed_of_a_model_goes_through_a_file_and_a_copy(tmp_path):
    """A stopped run goes on with the bits of one that was not stopped: weights, masks and all."""
    rng = np.random.default_rng(0)
    data = [(rng.integers(0, 5, (6, 3)), rng.standard_normal((6, 3, 2))) for _ in range(4)]
    make = lambda: bptt.Trainer(model(3), bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)  # noqa: E731
    whole, part = make(), make()
    whole.fit(data, epochs=2)
    part.fit(data, epochs=1)
    part.save(tmp_path / "run")
    again = bptt.Trainer.resume(tmp_path / "run", bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    again.fit(data, epochs=2)
    assert np.array_equal(again.model.flat_parameters, whole.model.flat_parameters)
    fresh, twin = model(3), bptt.reference.like(model(3))
    np.testing.assert_array_equal(fresh.flat_parameters, twin.flat_parameters.astype(np.float32))
    for x, _ in data[:2]:
        np.testing.assert_allclose(fresh.forward(x)[0], twin.forward(x)[0], atol=1e-6)
