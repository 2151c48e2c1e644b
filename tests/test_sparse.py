"""Embedding(sparse=True): updates touch only the rows that occurred, with the results of lazy optimizers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests import ranks
from tests.cells import DTYPES

import bptt

V, E, T, B = 40, 5, 6, 3


def ids(seed, low=0, high=V):
    return np.random.default_rng(seed).integers(low, high, (T, B))


def model_of(sparse, dtype="float64", **options):
    return bptt.Sequential(
        bptt.Embedding(V, E, sparse=sparse, seed=0, dtype=dtype, **options),
        bptt.GRU(E, 4, seed=1, dtype=dtype),
        bptt.Linear(4, 3, seed=2, dtype=dtype),
    )


def add_gradient(model, x, seed=0):
    y, _, tape = model.forward(x)
    model.backward(tape, np.random.default_rng(seed).standard_normal(y.shape))


def touched(model):
    (block,) = model.sparse_blocks
    return sorted(block.touched.rows.tolist())


@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_has_the_bits_of_dense_updates(dtype):
    """Over several batches per update, with a padding row, and rows that occur again later."""
    dense, sparse = (model_of(s, dtype, padding_idx=3) for s in (False, True))
    for update in range(4):
        for model in (dense, sparse):
            model.zero_grad()
            for part in range(2):
                add_gradient(model, ids(2 * update + part), part)
        occurred = np.union1d(ids(2 * update), ids(2 * update + 1))
        assert touched(sparse) == [row for row in occurred if row != 3]
        assert np.array_equal(sparse.flat_gradients, dense.flat_gradients)
        for model, optimizer in ((dense, bptt.SGD(0.1)), (sparse, bptt.SGD(0.1))):
            optimizer.step(model)
        assert np.array_equal(sparse.flat_parameters, dense.flat_parameters)
    sparse.zero_grad()
    assert not sparse.flat_gradients.any()
    assert touched(sparse) == []


OPTIMIZERS = {
    "momentum": lambda: bptt.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: bptt.RMSProp(0.01, momentum=0.5),
    "adam": lambda: bptt.Adam(0.01),
    "adamw": lambda: bptt.AdamW(0.01, weight_decay=0, amsgrad=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_that_occur_are_updated_as_dense_rows(name):
    """If every batch has every row, there is no difference. A row that never occurs keeps its bits."""
    dense, sparse = model_of(False), model_of(True)
    before = sparse.parameters["0.weight"].copy()
    optimizers = OPTIMIZERS[name](), OPTIMIZERS[name]()
    x = np.arange(V - 4).reshape(T, -1)
    for update in range(3):
        for model, optimizer in zip((dense, sparse), optimizers, strict=True):
            model.zero_grad()
            add_gradient(model, x, update)
            optimizer.step(model)
    assert np.array_equal(sparse.flat_parameters, dense.flat_parameters)
    assert np.array_equal(sparse.parameters["0.weight"][V - 4 :], before[V - 4 :])
    for one, other in zip(*(o.state_dict().values() for o in optimizers), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_row_rests_while_it_does_not_occur(name):
    model, optimizer = model_of(True), OPTIMIZERS[name]()
    seen = []
    for update, low in enumerate((0, 20, 0)):
        model.zero_grad()
        add_gradient(model, ids(update, low, low + 20))
        optimizer.step(model)
        state = [
            v[: V * E].reshape(V, E).copy()
            for n, v in optimizer.state_dict().items()
            if n not in ("kind", "steps")
        ]
        seen.append([model.parameters["0.weight"].copy(), *state])
    for first, second in zip(seen[0], seen[1], strict=True):
        assert np.array_equal(first[:20], second[:20])
    assert not np.array_equal(seen[1][0][:20], seen[2][0][:20])


def test_adam_is_the_sparse_adam_of_torch():
    torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
    layer = bptt.Embedding(V, E, sparse=True, seed=0, dtype="float64")
    theirs = torch.nn.Embedding(V, E, sparse=True, dtype=torch.float64)
    theirs.load_state_dict({name: torch.tensor(value) for name, value in layer.parameters.items()})
    # eps has another place there: it is divided by sqrt(1 - b2^n).
    optimizer = bptt.Adam(0.01, eps=1e-30)
    their_optimizer = torch.optim.SparseAdam(theirs.parameters(), lr=0.01, eps=1e-30)
    for update in range(5):
        x = ids(update, 0, 10 + 5 * update)
        dy = np.random.default_rng(update).standard_normal((T, B, E))
        layer.zero_grad()
        _, _, tape = layer.forward(x)
        layer.backward(tape, dy)
        optimizer.step(layer)
        their_optimizer.zero_grad()
        theirs(torch.tensor(x)).backward(torch.tensor(dy))
        their_optimizer.step()
        np.testing.assert_allclose(
            layer.parameters["weight"], theirs.weight.detach().numpy(), rtol=1e-12, atol=1e-12
        )


CLIPS = {
    "none": lambda: bptt.optim.NoClip(),
    "norm": lambda: bptt.ClipNorm(0.1),
    "loose": lambda: bptt.ClipNorm(1e6),
    "value": lambda: bptt.ClipValue(0.01),
    "auto": lambda: bptt.ClipNorm("auto"),
    "groups": lambda: bptt.ClipGroups({"0.*": bptt.ClipNorm(0.05), "*": bptt.ClipValue(0.1)}),
}


def test_clips_give_what_they_give_dense(subtests):
    for name, make in CLIPS.items():
        with subtests.test(name):
            dense, sparse = model_of(False), model_of(True)
            results = []
            for model in (dense, sparse):
                clip = make()
                for update in range(2):
                    model.zero_grad()
                    add_gradient(model, ids(update))
                    result = clip(model)
                results.append(result)
            assert results[0].clipped == results[1].clipped
            np.testing.assert_allclose(results[0].norm, results[1].norm, rtol=1e-14)
            np.testing.assert_allclose(sparse.flat_gradients, dense.flat_gradients, rtol=1e-14)
    dense, sparse = model_of(False), model_of(True)
    for model in (dense, sparse):
        add_gradient(model, ids(0))
    assert bptt.clip_by_norm(sparse, 0.1) == pytest.approx(bptt.clip_by_norm(dense, 0.1), rel=1e-14)
    bptt.clip_by_value(sparse, 0.01)
    bptt.clip_by_value(dense, 0.01)
    np.testing.assert_allclose(sparse.flat_gradients, dense.flat_gradients, rtol=1e-14)


def test_gradients_that_are_not_finite(subtests):
    x = ids(0)
    for policy in ("raise", "skip", "zero", "shrink"):
        with subtests.test(policy):
            dense, sparse = model_of(False), model_of(True)
            results = []
            for model in (dense, sparse):
                add_gradient(model, x)
                model.gradients["0.weight"][x[0, 0], 1] = np.nan
                clip = bptt.ClipNorm(0.1, nonfinite=policy)
                if policy == "raise":
                    with pytest.raises(bptt.NonFiniteError) as error:
                        clip(model)
                    results.append((error.value.parameter, str(error.value)))
                else:
                    results.append(clip(model).update)
            assert results[0] == results[1]
            np.testing.assert_allclose(sparse.flat_gradients, dense.flat_gradients, rtol=1e-14)
            sparse.zero_grad()
            assert not sparse.flat_gradients.any()


def test_a_run_is_the_dense_run(subtests):
    """Trainer, accumulation and a resumed run: SGD without clip has the bits of the dense run."""
    data = [(ids(n), np.random.default_rng(n).integers(0, 3, (T, B))) for n in range(5)]
    for options in ({}, {"accumulate": 2}, {"truncate": 2}, {"callbacks": lambda: [bptt.GradientMonitor()]}):
        with subtests.test(options=str(options)):
            weights = []
            for sparse in (False, True):
                made = {key: value() if callable(value) else value for key, value in options.items()}
                trainer = bptt.Trainer(
                    model_of(sparse, "float32"), bptt.CrossEntropy(), bptt.SGD(0.5), progress=False, **made
                )
                trainer.fit(data, 2)
                weights.append(trainer.model.flat_parameters.copy())
            assert np.array_equal(*weights)


def test_measurements_change_neither_gradients_nor_rows():
    model = model_of(True)
    add_gradient(model, ids(0))
    before, rows = model.flat_gradients.copy(), touched(model)
    bptt.gradcheck(model, ids(1), entries=20)
    bptt.gradient_flow(model, ids(2))
    bptt.first_nonfinite(model, ids(3))
    assert np.array_equal(model.flat_gradients, before)
    assert touched(model) == rows


def test_copies_know_the_rows():
    for copied in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        model = model_of(True)
        add_gradient(model, ids(0))
        twin = copied(model)
        assert touched(twin) == touched(model) == np.unique(ids(0)).tolist()
        twin.zero_grad()
        assert not twin.flat_gradients.any()
        assert touched(model) == np.unique(ids(0)).tolist()
        add_gradient(twin, ids(1))
        assert touched(twin) == touched(twin[0]) == np.unique(ids(1)).tolist()
    model.flat_gradients = np.ones(model.parameter_count)
    assert touched(model) == list(range(V))
    model.zero_grad()
    assert not model.flat_gradients.any()


def test_what_would_change_every_row_is_refused():
    model = model_of(True)
    add_gradient(model, ids(0))
    before = model.flat_parameters.copy()
    for optimizer in (bptt.SGD(0.1, weight_decay=0.1), bptt.AdamW(0.1)):
        with pytest.raises(ValueError, match=r"weight_decay must be 0 .*sparse parameter 0\.weight"):
            optimizer.step(model)
        assert optimizer.steps == 0
    assert np.array_equal(model.flat_parameters, before)
    bptt.AdamW(0.1, weight_decay={"0.weight": 0.0, "*": 0.1}).step(model)
    changed = np.any(model.parameters["0.weight"] != before[: V * E].reshape(V, E), axis=1)
    assert np.flatnonzero(changed).tolist() == touched(model)


def test_a_table_that_is_not_trained():
    model = model_of(True)
    model[0].trainable = False
    add_gradient(model, ids(0))
    assert touched(model) == []
    before = model.parameters["0.weight"].copy()
    assert bptt.ClipNorm(0.1)(model).clipped
    bptt.Adam(0.1).step(model)
    assert np.array_equal(model.parameters["0.weight"], before)


def test_a_batch_without_rows():
    """Only padding occurs: dense parameters are updated, the table is not."""
    model = model_of(True, padding_idx=0)
    before = model.parameters["0.weight"].copy()
    assert not before[0].any()
    add_gradient(model, np.zeros((T, B), np.int64))
    assert bptt.ClipNorm(0.1)(model).clipped
    bptt.Adam(0.1).step(model)
    assert np.array_equal(model.parameters["0.weight"], before)
    assert model.gradients["1.weight_hh_l0"].any()


def test_ranks_are_refused():
    def job(comm):
        trainer = bptt.Trainer(model_of(True), bptt.CrossEntropy(), bptt.SGD(0.5), progress=False, comm=comm)
        trainer.fit([(ids(0), np.zeros((T, B), np.int64))])

    for error in ranks.run(2, job):
        assert isinstance(error, ValueError)
        assert "model must have no sparse parameter for training on 2 ranks" in str(error)
