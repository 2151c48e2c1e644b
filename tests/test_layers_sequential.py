"""A model is its layers one after the other, over one flat vector."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from tests.cells import DTYPES

import bptt

IDS = np.random.default_rng(0).integers(0, 5, (4, 3))


def layers(**options) -> list[bptt.Module]:
    return [
        bptt.Embedding(5, 3, seed=0, **options),
        bptt.LSTM(3, 4, 2, dropout=0.3, seed=1, **options),
        bptt.Dropout(0.5, seed=2, **options),
        bptt.GRU(4, 6, seed=3, **options),
        bptt.Linear(6, 5, seed=4, **options),
    ]


def test_it_computes_what_its_layers_do():
    model, chain = bptt.Sequential(*layers()), layers()
    y, state = model(IDS)
    y_train, state_train, tape = model.forward(IDS)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx, dstate = model.backward(tape, dy)

    value, trained, states, tapes = IDS, IDS, [], []
    for layer in chain:
        value, layer_state = layer(value)
        trained, _, layer_tape = layer.forward(trained)
        states.append(layer_state)
        tapes.append(layer_tape)
    error, dstates = dy, [None] * len(chain)
    for k in reversed(range(len(chain))):
        error, dstates[k] = chain[k].backward(tapes[k], error)

    assert np.array_equal(y, value)
    assert np.array_equal(y_train, trained)
    assert dx is error is None
    assert np.array_equal(model.flat_gradients, np.concatenate([layer.flat_gradients for layer in chain]))
    assert [s is None for s in state] == [s is None for s in states] == [True, False, True, False, True]
    assert np.array_equal(state[1][1], states[1][1])
    assert np.array_equal(state[3], states[3])
    assert np.array_equal(dstate[1][0], dstates[1][0])
    assert len(state_train) == len(tape.tapes) == len(model) == 5
    assert tape.tapes[3].dh_norm.shape == (1, 4)


def test_gradients_agree_with_differences():
    model = bptt.Sequential(*layers(dtype="float64"))
    bptt.gradcheck(model, IDS, entries=8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_flat_vector_over_all_layers(dtype):
    parts = layers(dtype=dtype)
    before = np.concatenate([layer.flat_parameters for layer in parts])
    names = [f"{k}.{name}" for k, layer in enumerate(parts) for name in layer.parameters]
    model = bptt.Sequential(*parts)
    assert model.dtype == dtype
    assert np.array_equal(model.flat_parameters, before)
    assert list(model.parameters) == list(model.gradients) == names
    for k, layer in enumerate(model):
        assert layer is model[k] is parts[k]
        for name, view in layer.parameters.items():
            assert view.ctypes.data == model.parameters[f"{k}.{name}"].ctypes.data
    model.flat_parameters[...] = 2
    model.flat_gradients[...] = 3
    for layer in parts:
        assert (layer.flat_parameters == 2).all()
        assert all((view == 3).all() for view in layer.gradients.values())
        layer.zero_grad()
    assert not model.flat_gradients.any()


def test_training_the_model_trains_the_layers():
    model = bptt.Sequential(*layers())
    before, _ = model(IDS)
    y, _, tape = model.forward(IDS)
    model.backward(tape, np.ones_like(y))
    model.flat_parameters -= 0.1 * model.flat_gradients
    after, _ = model(IDS)
    assert not np.array_equal(before, after)
    value = IDS
    for layer in model:
        value, _ = layer(value)
    assert np.array_equal(value, after)


def test_carried_state_continues_the_sequence():
    model = bptt.Sequential(*layers())
    whole, end = model(IDS)
    first, carried = model(IDS[:2])
    second, last = model(IDS[2:], carried)
    assert np.array_equal(np.concatenate([first, second]), whole)
    assert np.array_equal(last[3], end[3])


def test_errors_of_the_state_reach_the_layer_they_belong_to():
    model = bptt.Sequential(bptt.GRU(3, 4, seed=0), bptt.Linear(4, 2, seed=1))
    alone = bptt.GRU(3, 4, seed=0)
    x, dh = np.ones((4, 2, 3)), np.ones((1, 2, 4))
    *_, tape = model.forward(x)
    dx, dstate = model.backward(tape, None, (dh, None))
    *_, tape_alone = alone.forward(x)
    dx_alone, dstate_alone = alone.backward(tape_alone, None, dh)
    assert np.array_equal(dx, dx_alone)
    assert np.array_equal(dstate[0], dstate_alone)
    assert dstate[1] is None
    assert np.array_equal(model[0].flat_gradients, alone.flat_gradients)
    assert not model[1].flat_gradients.any()


def test_dx_may_be_left_out():
    model = bptt.Sequential(bptt.Linear(3, 4, seed=0), bptt.Linear(4, 2, seed=1))
    y, _, tape = model.forward(np.ones((2, 3)))
    dx, _ = model.backward(tape, y)
    assert dx.shape == (2, 3)
    expected = model.flat_gradients.copy()
    model.zero_grad()
    assert model.backward(tape, y, need_dx=False)[0] is None
    assert np.array_equal(model.flat_gradients, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_without_parameters_take_the_models_dtype(dtype):
    model = bptt.Sequential(bptt.Dropout(0.5, seed=0), bptt.GRU(3, 4, dtype=dtype), bptt.Last())
    assert [layer.dtype for layer in model] == [dtype] * 3
    x = np.full((2, 1, 3), 1 / 3)
    assert np.array_equal(model[0](x)[0], x.astype(dtype))
    assert model(x)[0].dtype == dtype


def test_models_nest():
    inner = bptt.Sequential(bptt.GRU(3, 4, seed=0), bptt.Last())
    model = bptt.Sequential(inner, bptt.Linear(4, 2, seed=1))
    assert next(iter(model.parameters)) == "0.0.weight_ih_l0"
    assert np.shares_memory(inner[0].parameters["weight_hh_l0"], model.flat_parameters)
    y, state, tape = model.forward(np.ones((5, 2, 3)))
    assert y.shape == (2, 2)
    assert state[0][1] is None
    model.backward(tape, y)
    assert inner.flat_gradients.any()
    with pytest.raises(ValueError, match="in layer 0, Sequential: in layer 0, GRU: x must"):
        model(np.ones((5, 2, 4)))


def test_a_layer_is_free_again_when_its_model_is_gone():
    layer = bptt.Linear(3, 2, seed=0)
    values = layer.flat_parameters.copy()
    model = bptt.Sequential(layer)
    del model
    gc.collect()
    again = bptt.Sequential(layer, bptt.Linear(2, 2))
    assert np.array_equal(layer.flat_parameters, values)
    assert np.shares_memory(layer.flat_parameters, again.flat_parameters)
