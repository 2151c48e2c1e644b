"""One vector behind all parameters: views, state dicts, copies, configurations, seeds."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, build

import bptt
from bptt.layers import KINDS


def sequential(**options) -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(5, 3, seed=0, **options),
        bptt.LSTM(3, 4, 2, bidirectional=True, dropout=0.5, seed=1, **options),
        bptt.Dropout(0.5, seed=2),
        bptt.Linear(8, 5, seed=3, **options),
    )


def tied(dtype: str) -> bptt.Sequential:
    embedding = bptt.Embedding(5, 3, padding_idx=1, seed=0, dtype=dtype)
    return bptt.Sequential(embedding, bptt.GRU(3, 3, seed=1, dtype=dtype), bptt.TiedLinear(embedding, seed=2))


MODULES: dict[str, Callable[..., bptt.Module]] = {
    **{
        cell: lambda cell=cell, **options: build(cell, 3, 4, num_layers=2, bidirectional=True, **options)
        for cell in CELLS
    },
    "Linear": lambda **options: bptt.Linear(3, 4, **{"seed": 0} | options),
    "Linear, no bias": lambda **options: bptt.Linear(3, 4, bias=False, **{"seed": 0} | options),
    "Embedding": lambda **options: bptt.Embedding(3, 4, **{"seed": 0} | options),
    "LayerNorm": lambda dtype="float32", seed=None: bptt.LayerNorm(4, dtype=dtype),
    "tied": lambda dtype="float32", seed=None: tied(dtype),
    "Dropout": lambda **options: bptt.Dropout(0.25, **{"seed": 0} | options),
    "Last": lambda dtype="float32", seed=None: bptt.Last(batch_first=True, dtype=dtype),
    "Sequential": lambda dtype="float32", seed=None: sequential(dtype=dtype),
    "Parallel": lambda dtype="float32", seed=None: bptt.Parallel(
        left=sequential(dtype=dtype), right=bptt.Dropout(0.5, seed=0)
    ),
    "nested": lambda dtype="float32", seed=None: bptt.Sequential(
        sequential(dtype=dtype), bptt.Sequential(bptt.Dropout(0.5, seed=0), bptt.Linear(5, 2, dtype=dtype))
    ),
}


def random_values(module: bptt.Module) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    return {
        name: rng.standard_normal(view.shape).astype(view.dtype) for name, view in module.parameters.items()
    }


def test_views_tile_the_flat_vectors(subtests):
    """In order, without a gap or an overlap, and writing to either side shows on the other."""
    for name in MODULES:
        with subtests.test(name):
            for dtype in DTYPES:
                module = MODULES[name](dtype=dtype)
                for flat, tensors in (
                    (module.flat_parameters, module.parameters),
                    (module.flat_gradients, module.gradients),
                ):
                    assert flat.dtype == dtype
                    assert (
                        flat.size
                        == module.parameter_count
                        == sum(math.prod(view.shape) for view in tensors.values())
                    )
                    flat[...] = np.arange(flat.size)
                    assert np.array_equal(
                        np.concatenate([np.zeros(0), *(view.ravel() for view in tensors.values())]), flat
                    )
                    for view in tensors.values():
                        assert view.flags.c_contiguous
                        view += 1
                    assert np.array_equal(flat, np.arange(flat.size) + 1)
                    assert not flat.size or flat.ctypes.data % 64 == 0
                assert list(module.parameters) == list(module.gradients)


def test_zero_grad_zeroes_gradients_and_nothing_else(subtests):
    for name, make in MODULES.items():
        with subtests.test(name):
            module = make()
            before = module.flat_parameters.copy()
            module.flat_gradients[...] = 1
            module.zero_grad()
            assert not module.flat_gradients.any()
            assert np.array_equal(module.flat_parameters, before)


def test_assignment_writes_into_the_vector(subtests):
    for name, make in MODULES.items():
        with subtests.test(name):
            module = make()
            flat, views = module.flat_parameters, dict(module.parameters)
            expected = flat * 2
            module.flat_parameters *= 2
            assert module.flat_parameters is flat
            assert np.array_equal(flat, expected)
            for name, value in random_values(module).items():
                module.parameters[name] = value
                module.parameters[name] *= 2
                assert module.parameters[name] is views[name]
                assert np.array_equal(views[name], value * 2)
            assert module.flat_parameters is flat
            module.flat_gradients = np.ones(flat.shape)
            assert module.flat_gradients.all()


def test_state_dict_round_trip(subtests):
    for name, make in MODULES.items():
        with subtests.test(name):
            module = make()
            state = module.state_dict()
            assert list(state) == list(module.parameters)
            assert not any(np.shares_memory(value, module.flat_parameters) for value in state.values())
            module.flat_parameters += 1
            changed = module.flat_parameters.copy()
            module.load_state_dict(state)
            assert all(np.array_equal(module.parameters[name], value) for name, value in state.items())
            assert not module.flat_parameters.size or not np.array_equal(module.flat_parameters, changed)


def test_state_dict_converts_between_types():
    wide, narrow = bptt.GRU(3, 4, dtype="float64", seed=0), bptt.GRU(3, 4, seed=1)
    narrow.load_state_dict(wide.state_dict())
    assert np.array_equal(narrow.flat_parameters, wide.flat_parameters.astype(np.float32))
    wide.load_state_dict({name: view.tolist() for name, view in narrow.parameters.items()})
    assert np.array_equal(narrow.flat_parameters, wide.flat_parameters)


def test_state_dict_may_hold_the_modules_own_views():
    layer = bptt.GRU(3, 4, seed=0)
    swap = {"bias_ih_l0": "bias_hh_l0", "bias_hh_l0": "bias_ih_l0"}
    before = layer.state_dict()
    layer.load_state_dict({name: layer.parameters[swap.get(name, name)] for name in before})
    assert all(np.array_equal(layer.parameters[name], before[swap.get(name, name)]) for name in before)


def test_state_dict_not_strict_loads_what_matches():
    layer = bptt.Linear(2, 2, seed=0)
    weight = layer.parameters["weight"].copy()
    layer.load_state_dict({"bias": [1, 2], "other": "of any kind"}, strict=False)
    assert layer.parameters["bias"].tolist() == [1, 2]
    assert np.array_equal(layer.parameters["weight"], weight)
    with pytest.raises(ValueError, match="'bias'"):
        layer.load_state_dict({"bias": [1, 2, 3]}, strict=False)


def test_torch_state_dict_is_loaded():
    torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
    theirs = torch.nn.LSTM(3, 4, 2, bidirectional=True)
    ours = bptt.LSTM(3, 4, 2, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.parameters) == list(theirs.state_dict())
    assert all(np.array_equal(ours.parameters[name], value) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_their_own(copied, subtests):
    for name, make in MODULES.items():
        with subtests.test(name):
            module = make()
            module.flat_gradients[...] = 3
            twin = copied(module)
            assert type(twin) is type(module)
            assert twin.config() == module.config()
            assert np.array_equal(twin.flat_parameters, module.flat_parameters)
            assert np.array_equal(twin.flat_gradients, module.flat_gradients)
            assert not twin.parameter_count or twin.flat_parameters.ctypes.data % 64 == 0
            assert not np.shares_memory(twin.flat_parameters, module.flat_parameters)
            twin.flat_parameters[...] = 7
            assert all((view == 7).all() for view in twin.parameters.values())
            assert not module.flat_parameters.size or not (module.flat_parameters == 7).any()
            for layer in getattr(module, "layers", ()):  # the first model keeps its layers
                assert not layer.parameter_count or np.shares_memory(
                    layer.flat_parameters, module.flat_parameters
                )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copied_model_trains_as_the_first(copied):
    first = sequential()
    second = copied(first)
    ids = np.array([[0, 1], [4, 2], [3, 3]])
    for model in (first, second):
        y, _, tape = model.forward(ids)
        model.backward(tape, np.ones_like(y))
    assert first.flat_gradients.any()
    assert np.array_equal(first.flat_gradients, second.flat_gradients)


def test_a_layer_copied_out_of_a_model_stands_alone():
    model = sequential()
    layer = copy.deepcopy(model[1])
    assert not np.shares_memory(layer.flat_parameters, model.flat_parameters)
    assert np.array_equal(layer.flat_parameters, model[1].flat_parameters)
    bptt.Sequential(layer)


def test_config_rebuilds_the_module(subtests):
    for name, make in MODULES.items():
        with subtests.test(name):
            module = make()
            config = json.loads(json.dumps(module.config()))
            twin = KINDS[module.kind].from_config(config, parameter_count=module.parameter_count)
            assert twin.config() == module.config()
            assert {n: v.shape for n, v in twin.parameters.items()} == {
                n: v.shape for n, v in module.parameters.items()
            }
            twin.load_state_dict(module.state_dict())
            assert np.array_equal(twin.flat_parameters, module.flat_parameters)


def test_a_budget_bounds_what_a_whole_model_may_allocate():
    layers = [{"kind": "Linear", "config": {"in_features": 3, "out_features": 2}}] * 3
    assert bptt.Sequential.from_config({"layers": layers}, parameter_count=24).parameter_count == 24
    with pytest.raises(ValueError, match="at most 7 more parameters"):
        bptt.Sequential.from_config({"layers": layers}, parameter_count=23)
    assert bptt.Linear(100, 100).parameter_count == 10100


def test_repr_names_what_was_chosen(subtests):
    for name, make in MODULES.items():
        with subtests.test(name):
            module = make()
            text = repr(module)
            assert text.startswith(f"{module.kind}(")
            assert "dtype" not in text
            assert repr(bptt.GRU(3, 4, bias=False)) == "GRU(input_size=3, hidden_size=4, bias=False)"


def test_a_seed_fixes_the_parameters(subtests):
    without = ("Sequential", "Parallel", "nested", "tied", "LayerNorm")  # they take no seed
    for name in [name for name in MODULES if name not in without]:
        with subtests.test(name):
            first, again, other = (MODULES[name](seed=seed) for seed in (5, 5, 6))
            assert np.array_equal(first.flat_parameters, again.flat_parameters)
            if first.parameter_count:
                assert not np.array_equal(first.flat_parameters, other.flat_parameters)
                unseeded = [MODULES[name](seed=None).flat_parameters for _ in range(2)]
                assert not np.array_equal(*unseeded)


def test_the_dtype_rounds_the_same_draws():
    wide, narrow = (bptt.LSTM(3, 4, dtype=dtype, seed=0) for dtype in ("float64", "float32"))
    assert np.array_equal(narrow.flat_parameters, wide.flat_parameters.astype(np.float32))


def test_a_generator_is_shared_not_copied():
    rng = np.random.default_rng(5)
    first, second = bptt.Linear(3, 4, seed=rng), bptt.Linear(3, 4, seed=rng)
    assert first.rng is second.rng is rng
    again = bptt.Linear(3, 4, seed=np.random.default_rng(5))
    assert np.array_equal(first.flat_parameters, again.flat_parameters)
    assert not np.array_equal(first.flat_parameters, second.flat_parameters)


@pytest.mark.parametrize(
    ("module", "bound"),
    [
        (bptt.LSTM(100, 25, seed=0), 1 / 5),
        (bptt.GRU(4, 100, seed=0), 1 / 10),
        (bptt.Linear(16, 200, seed=0), 1 / 4),
    ],
    ids=["LSTM", "GRU", "Linear"],
)
def test_default_initialisation_is_uniform_within_pytorchs_bound(module, bound):
    for name, view in module.parameters.items():
        assert np.abs(view).max() <= bound, name
        # The mean of n uniform draws has standard deviation bound / sqrt(3 n); six of them never happen.
        assert abs(view.mean()) < 6 * bound / math.sqrt(3 * view.size), name
        # The largest of n draws is below q bound with probability q^n: 1e-9 for this q.
        assert np.abs(view).max() > bound * 1e-9 ** (1 / view.size), name


def test_embedding_is_initialised_as_standard_normal():
    weight = bptt.Embedding(100, 100, seed=0).parameters["weight"]
    assert abs(weight.mean()) < 6 / math.sqrt(weight.size)
    assert abs(weight.var() - 1) < 6 * math.sqrt(2 / weight.size)


def test_init_may_be_a_function():
    names = []

    def init(name, shape, rng):
        assert isinstance(rng, np.random.Generator)
        names.append(name)
        return np.full(shape, len(names))

    layer = bptt.LSTM(3, 4, init=init)
    assert names == list(layer.parameters)
    assert [view.flat[0] for view in layer.parameters.values()] == [1, 2, 3, 4]
