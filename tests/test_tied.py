"""TiedLinear: one weight for two layers, in the flat vector once, and tied wherever the model goes."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import bptt

V, E, T, B = 7, 4, 5, 3
IDS = np.random.default_rng(0).integers(0, V, (T, B))


def tied(dtype="float64", seed=0, bias=True, **options):
    embedding = bptt.Embedding(V, E, dtype=dtype, seed=seed, **options)
    recurrent = bptt.LSTM(E, E, dtype=dtype, seed=seed + 1)
    return bptt.Sequential(embedding, recurrent, bptt.TiedLinear(embedding, bias=bias, seed=seed + 2))


def nested():
    embedding = bptt.Embedding(V, E, seed=0)
    front = bptt.Sequential(bptt.Sequential(embedding, bptt.Dropout(0.0)), bptt.GRU(E, E, seed=1))
    return bptt.Sequential(bptt.Sequential(front, bptt.TiedLinear(embedding, seed=2)))


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_add_up_in_one_weight(bias):
    model = tied(bias=bias, padding_idx=-1)
    count = V * E + model[1].parameter_count + bias * V
    assert model.parameter_count == count
    assert [name for name in model.parameters if name.startswith("2.")] == ["2.bias"] * bias
    bptt.gradcheck(model, IDS, entries=None)
    embedding, output = model[0], model[2]
    x = np.random.default_rng(1).standard_normal((T, B, E))
    y, _, tape = output.forward(x)
    weight = model.parameters["0.weight"]
    np.testing.assert_allclose(y, x @ weight.T + (output.parameters["bias"] if bias else 0), rtol=1e-13)
    model.zero_grad()
    output.backward(tape, np.ones_like(y))
    np.testing.assert_allclose(embedding.gradients["weight"], np.tile(x.sum((0, 1)), (V, 1)), rtol=1e-13)


def test_trainable_of_either_layer(subtests):
    for fixed, expected in ((0, {"2.bias"}), (2, {"0.weight"}), (1, {"0.weight", "2.bias"})):
        with subtests.test(fixed=fixed):
            model = tied()
            model[fixed].trainable = False
            bptt.gradcheck(model, IDS, entries=30)
            y, _, tape = model.forward(IDS)
            model.backward(tape, np.ones_like(y))
            has_gradient = {name for name, gradient in model.gradients.items() if gradient.any()}
            assert {name for name in has_gradient if not name.startswith("1.")} == expected
            before = {name: values.copy() for name, values in model.parameters.items()}
            bptt.Adam(0.1).step(model)
            changed = {n for n, values in model.parameters.items() if not np.array_equal(values, before[n])}
            assert changed == has_gradient


def test_the_same_network_in_torch():
    torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
    model = tied(padding_idx=2)
    theirs = torch.nn.ModuleList(
        [
            torch.nn.Embedding(V, E, padding_idx=2),
            torch.nn.LSTM(E, E),
            torch.nn.Linear(E, V),
        ]
    ).double()
    theirs[2].weight = theirs[0].weight
    state = theirs.state_dict()
    del state["2.weight"]  # PyTorch names the weight twice
    model.load_state_dict(state)
    optimizer = bptt.SGD(0.5)
    their_optimizer = torch.optim.SGD(theirs.parameters(), 0.5)
    target = np.roll(IDS, -1, axis=0)
    for _ in range(3):
        model.zero_grad()
        y, _, tape = model.forward(IDS)
        value, dy = bptt.CrossEntropy()(y, target)
        model.backward(tape, dy)
        optimizer.step(model)
        their_optimizer.zero_grad()
        scores = theirs[2](theirs[1](theirs[0](torch.tensor(IDS)))[0])
        loss = torch.nn.functional.cross_entropy(scores.reshape(-1, V), torch.tensor(target).reshape(-1))
        loss.backward()
        their_optimizer.step()
        assert value == pytest.approx(loss.item(), rel=1e-12)
    for name, values in model.parameters.items():
        np.testing.assert_allclose(values, theirs.state_dict()[name].numpy(), rtol=1e-11, atol=1e-12)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "config": lambda model: type(model).from_config(
        json.loads(json.dumps(model.config())), parameter_count=model.parameter_count
    ),
    "reference": bptt.reference.like,
}


def assert_tied(model):
    """A change of the embedding's weight changes the scores, and both layers add to one gradient."""
    before = model(IDS)[0].copy()
    name = next(iter(model.parameters))
    assert name.endswith("weight")
    model.parameters[name] *= 2
    layer = model
    while isinstance(layer, bptt.Sequential):
        layer = layer[-1]
    assert isinstance(layer, bptt.TiedLinear)
    x = np.eye(E)
    scores = layer(x)[0] - layer(0 * x)[0]
    np.testing.assert_allclose(scores, model.parameters[name].T, rtol=1e-5)
    assert not np.array_equal(before, model(IDS)[0])
    _, _, tape = layer.forward(x)
    model.zero_grad()
    layer.backward(tape, np.ones((E, V)))
    assert np.array_equal(model.gradients[name], np.ones((V, E)))


@pytest.mark.parametrize("make", [tied, nested])
def test_the_tie_survives(make, tmp_path, subtests):
    for name, copied in COPIES.items():
        with subtests.test(name):
            model = make()
            twin = copied(model)
            if name != "config":
                np.testing.assert_allclose(twin(IDS)[0], model(IDS)[0], rtol=1e-5, atol=1e-6)
            kept = model.flat_parameters.copy()
            assert_tied(twin)
            assert np.array_equal(model.flat_parameters, kept)
            assert_tied(model)
    with subtests.test("file"):
        model = make()
        bptt.save(tmp_path / "model", model)
        again = bptt.load(tmp_path / "model")
        assert np.array_equal(again(IDS)[0], model(IDS)[0])
        assert_tied(again)


def test_training_goes_on_after_a_file(tmp_path):
    batches = [(IDS, np.roll(IDS, -1, axis=0))] * 2

    def trainer(model):
        return bptt.Trainer(
            model, bptt.CrossEntropy(), bptt.Adam(0.01), clip=bptt.ClipNorm(0.1), progress=False
        )

    whole = trainer(tied("float32"))
    whole.fit(batches, 4)
    first = trainer(tied("float32"))
    first.fit(batches, 2)
    first.save(tmp_path / "run")
    again = bptt.Trainer.resume(
        tmp_path / "run", bptt.CrossEntropy(), bptt.Adam(0.01), clip=bptt.ClipNorm(0.1), progress=False
    )
    again.fit(batches, 4)
    assert np.array_equal(again.model.flat_parameters, whole.model.flat_parameters)


def test_errors(subtests):
    embedding = bptt.Embedding(V, E)
    bad = json.loads(json.dumps(tied("float32").config()))
    bad["layers"][2]["config"]["embedding"] = "model[1]"
    unknown = json.loads(json.dumps(tied("float32").config()))
    del unknown["layers"][2]["config"]["bias"]
    alone = bptt.TiedLinear.from_config(bptt.TiedLinear(embedding).config())
    cases = {
        "no embedding": (lambda: bptt.TiedLinear(3), TypeError, "embedding must be an Embedding; got 3"),
        "sparse": (
            lambda: bptt.TiedLinear(bptt.Embedding(V, E, sparse=True)),
            ValueError,
            "embedding must have sparse=False",
        ),
        "another model": (
            lambda: bptt.Sequential(bptt.LSTM(E, E), bptt.TiedLinear(embedding)),
            ValueError,
            "embedding must be a layer of the model",
        ),
        "a copy": (
            lambda: bptt.Sequential(embedding, copy.deepcopy(bptt.TiedLinear(embedding))),
            ValueError,
            "embedding must be a layer of the model",
        ),
        "wrong place": (
            lambda: bptt.Sequential.from_config(bad),
            ValueError,
            r"embedding must be the place of an Embedding\(7, 4\)",
        ),
        "other config": (lambda: bptt.Sequential.from_config(unknown), ValueError, "config must hold"),
        "no model": (lambda: alone(np.ones(E)), ValueError, "must be in a model with its embedding"),
        "width": (
            lambda: bptt.TiedLinear(embedding)(np.ones(E + 1)),
            ValueError,
            r"x must have shape \(..., 4\)",
        ),
    }
    for name, (call, error, message) in cases.items():
        with subtests.test(name), pytest.raises(error, match=message):
            call()
