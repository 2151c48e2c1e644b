"""The kind "empty axes": no steps, no rows, or rows without a valid step give the right empty result."""

from __future__ import annotations

import inspect
from itertools import product

import numpy as np
import pytest
from tests.cells import CELLS, build

import bptt

I, H = 3, 4
SIZES = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 1)]


def lengths_of(T: int, B: int) -> dict[str, np.ndarray | None]:
    """No lengths, all rows whole, and all rows without a valid step."""
    return {"none": None, "whole": np.full(B, T), "zero": np.zeros(B, np.int64)}


def round_trip(layer: bptt.Module, x: np.ndarray, lengths: np.ndarray | None, reset: bool) -> dict:
    """What every public method of a recurrent layer gives for this batch."""
    T, B = x.shape[:2]
    options = {"lengths": lengths, "reset": np.zeros((T, B), bool) if reset else None}
    y, state = layer(x, **options)
    y_train, state_train, tape = layer.forward(x, **options)
    layer.zero_grad()
    dx, dstate = layer.backward(tape, np.ones_like(y), state, clip_state=1.0, keep_errors=True)
    frozen = layer.freeze()(x, **options)
    parts = {"y": y, "state": state, "y_train": y_train, "state_train": state_train, "frozen": frozen}
    parts |= {"dx": dx, "dstate": dstate, "gradients": layer.flat_gradients.copy()}
    parts |= {"h": tape.h, "gates": tape.gates, "dh": tape.dh, "dh_norm": tape.dh_norm}
    if not layer.bidirectional:
        y_kept, _, tape = layer.forward(x, checkpoint=1, **options)
        parts |= {"y_kept": y_kept, "dx_kept": layer.backward(tape, np.ones_like(y), state)[0]}
    return parts


def flat(value) -> list[np.ndarray]:
    return [array for part in value for array in flat(part)] if isinstance(value, tuple) else [value]


OPTIONS = ({}, {"num_layers": 2, "bidirectional": True, "zoneout": 0.2}, {"layer_norm": True})
CASES = [
    pytest.param(cell, OPTIONS[(i + j) % 3], *size, id=f"{cell}-{(i + j) % 3}-{size[0]}-{size[1]}")
    for i, cell in enumerate(CELLS)
    for j, size in enumerate(SIZES[:4])
]


@pytest.mark.parametrize(("cell", "options", "T", "B"), CASES)
def test_kind_empty_axes_of_recurrent_layers(cell, options, T, B):
    """Native and reference agree, also on the shapes of empty parts; nothing but the state goes through."""
    layer = build(cell, I, H, dtype="float64", **options)
    twin = bptt.reference.like(layer)
    x = np.random.default_rng(0).standard_normal((T, B, I))
    for name, lengths in lengths_of(T, B).items():
        found, expected = (round_trip(each, x, lengths, reset=name != "none") for each in (layer, twin))
        assert found.keys() == expected.keys()
        for part in found:
            pairs = list(zip(flat(found[part]), flat(expected[part]), strict=True))
            for mine, theirs in pairs:
                assert mine.shape == theirs.shape, (part, name)
                np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
        if name == "zero" or T == 0:
            assert not found["y"].any()
            assert not found["dx"].any()
            assert not found["gradients"].any()


@pytest.mark.parametrize("batch_first", [False, True])
def test_kind_empty_axes_keep_the_state(batch_first):
    """A row without a valid step hands its state through, and its error back."""
    for T, B in SIZES:
        rng = np.random.default_rng(1)
        for make in (bptt.LSTM, bptt.reference.LSTM):
            layer = make(I, H, batch_first=batch_first, dtype="float64", seed=0)
            x = rng.standard_normal((B, T, I) if batch_first else (T, B, I))
            state = tuple(rng.standard_normal((2, 1, B, H)))
            lengths = np.zeros(B, np.int64)
            _, last, tape = layer.forward(x, state, lengths=lengths)
            _, back = layer.backward(tape, None, state)
            for part, kept, returned in zip(state, last, back, strict=True):
                assert np.array_equal(part, kept)
                assert np.array_equal(part, returned)


ONE_VECTOR = (bptt.Last, bptt.Ends, bptt.MeanPool, bptt.MaxPool)


@pytest.mark.parametrize("end", ONE_VECTOR)
def test_kind_empty_axes_of_the_ends(end):
    """Rows without a valid step give zeros, because of a length of 0 or because there are no steps at all."""
    for batch_first, (T, B) in product([False, True], SIZES):
        layer = end(batch_first=batch_first)
        x = np.ones((B, T, H) if batch_first else (T, B, H), np.float32)
        for lengths in lengths_of(T, B).values():
            valid = T > 0 and (lengths is None or lengths.any())
            y, _, tape = layer.forward(x, lengths=lengths)
            assert np.array_equal(y, np.full((B, H), float(valid)))
            assert np.array_equal(y, layer(x, lengths=lengths)[0])
            dx, _ = layer.backward(tape, np.ones_like(y))
            assert dx.shape == x.shape
            assert dx.sum() == (B * H if valid else 0)


def test_kind_empty_axes_of_the_ends_unbatched():
    for end in ONE_VECTOR:
        layer = end()
        y, _, tape = layer.forward(np.ones((0, H), np.float32))
        assert np.array_equal(y, np.zeros(H))
        assert layer.backward(tape, np.ones(H, np.float32))[0].shape == (0, H)


def test_kind_empty_axes_of_pools_without_columns():
    for pool, shape in product((bptt.MeanPool, bptt.MaxPool), [(2, 3, 0), (0, 3, 0), (2, 0, 0), (2, 0)]):
        layer = pool()
        y, _, tape = layer.forward(np.ones(shape, np.float32))
        assert y.shape == shape[1:]
        assert layer.backward(tape, y)[0].shape == shape


def test_kind_empty_axes_of_skips_in_training():
    """A batch without steps or rows, with a skip, is a batch where nothing counts."""
    for T, B in [(0, 2), (2, 0), (0, 0)]:
        trainer = bptt.Trainer(bptt.GRU(I, H), bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
        batch = {"x": np.ones((T, B, I)), "target": np.ones((T, B, H)), "skip": np.zeros((T, B), bool)}
        with pytest.warns(UserWarning, match="no row that counts"):
            trainer.fit([batch])


def test_kind_empty_axes_of_stateless_layers():
    kinds = (bptt.Tanh, bptt.ReLU, bptt.Sigmoid, bptt.GELU, bptt.SiLU, bptt.Softmax)
    makers = [lambda: bptt.Linear(I, H), lambda: bptt.Dropout(0.5), lambda: bptt.LayerNorm(I), *kinds]
    for make, (T, B) in product(makers, SIZES):
        layer = make()
        y, _, tape = layer.forward(np.ones((T, B, I), np.float32))
        assert y.shape == layer(np.ones((T, B, I)))[0].shape == (T, B, H if layer.kind == "Linear" else I)
        assert layer.backward(tape, np.ones_like(y))[0].shape == (T, B, I)


def test_kind_empty_axes_of_an_embedding():
    for T, B in SIZES:
        layer = bptt.Embedding(5, H)
        y, _, tape = layer.forward(np.zeros((T, B), np.int64))
        assert y.shape == (T, B, H)
        assert layer.backward(tape, np.ones_like(y))[0] is None
        assert layer.flat_gradients.sum() == y.size


@pytest.mark.parametrize("bidirectional", [False, True])
def test_kind_empty_axes_of_a_model(bidirectional):
    for T, B in SIZES:
        end, width = (bptt.Ends(), 2 * H) if bidirectional else (bptt.Last(), H)
        model = bptt.Sequential(
            bptt.Embedding(5, I), bptt.LSTM(I, H, bidirectional=bidirectional), end, bptt.Linear(width, 2)
        )
        for lengths in lengths_of(T, B).values():
            y, state, tape = model.forward(np.zeros((T, B), np.int64), lengths=lengths)
            assert y.shape == (B, 2)
            dx, dstate = model.backward(tape, np.ones_like(y), state)
            assert dx is None
            assert dstate[1][0].shape == state[1][0].shape
            assert np.isfinite(model.flat_gradients).all()


@pytest.mark.parametrize("batch_size", [1, 2])
def test_kind_empty_axes_of_a_stream(batch_size):
    stream = bptt.LSTM(I, H).stream(batch_size)
    assert stream.run(np.ones((0, batch_size, I))).shape == (0, batch_size, H)


LOSSES = [
    value
    for value in (getattr(bptt, name) for name in bptt.__all__)
    if inspect.isclass(value) and issubclass(value, bptt.Loss) and value is not bptt.Loss
]


@pytest.mark.parametrize("kind", LOSSES)
def test_kind_empty_axes_of_losses(kind):
    """A finite value where a row counts, and 0 with a gradient of 0 where none does: never a NaN."""
    for T, B in SIZES:
        loss = kind(0.5) if kind is bptt.Quantile else kind()
        y = np.zeros((T, B, 2), np.float32)
        target = np.zeros((T, B), np.int64) if kind is bptt.CrossEntropy else np.ones((T, B, 2), np.float32)
        for mask in (None, np.ones((T, B), bool), np.zeros((T, B), bool)):
            for weight in (None, np.full((T, B), 0.5), np.zeros((T, B))):
                value, dy = loss(y, target, mask, weight)
                counts = T * B > 0 and (mask is None or mask.any()) and (weight is None or weight.any())
                assert np.isfinite(value)
                assert (value > 0) == counts
                assert dy.shape == y.shape
                assert dy.any() == counts
                assert (loss.total_weight(target, y.shape, mask, weight) > 0) == counts


METRICS = [
    value
    for value in map(vars(bptt.metrics).get, bptt.metrics.__all__)
    if not inspect.isabstract(value) and value is not bptt.metrics.Metric
]


@pytest.mark.parametrize("kind", METRICS)
def test_kind_empty_axes_of_metrics(kind):
    """An empty batch adds nothing, and a metric without rows says so."""
    if kind.__module__ == "bptt.metrics.scores":
        pytest.importorskip("sklearn", reason="scikit-learn computes this metric")
    for T, B in SIZES:
        y, numbers = np.zeros((T, B, 2), np.float32), np.zeros((T, B, 2), np.float32)
        classes = np.zeros((T, B), np.int64)
        target = numbers if kind.__name__ in ("BinaryAccuracy", "MAE", "RMSE") else classes
        for mask in (None, np.zeros((T, B), bool)):
            metric = kind()
            metric.add(y, target, mask)
            if T * B and mask is None:
                assert np.isfinite(metric.value) or kind.__name__ == "AUC"  # one class alone has no curve
            else:
                assert metric.count == 0
                with pytest.raises(ValueError, match="Fix: "):
                    _ = metric.value
