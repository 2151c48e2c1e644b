"""The Trainer against loops written out by hand."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise
from tests.training import CELLS, SYMBOLS, B, T, batch, by_hand, model, numbers, trainer

import bptt
from bptt.train import Trainer


@pytest.mark.parametrize("cell", CELLS)
def test_training_learns_a_text(cell: str) -> None:
    stream, _ = bptt.data.TextStream("abcde" * 400, batch_size=10, steps=20).split(0.25)
    net = model(cell)
    before = trainer(net).evaluate(stream)
    fit = Trainer(net, bptt.CrossEntropy(), bptt.Adam(0.02), clip=bptt.ClipNorm(1.0), progress=False)
    history = fit.fit(stream, epochs=8, validation=stream)
    assert before > math.log(SYMBOLS) - 0.5
    assert history["validation_loss"][-1] < 0.1
    assert history["validation_loss"][-1] == fit.evaluate(stream)
    assert history["loss"][-1] < history["loss"][0] / 5


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("truncate", [T, T + 7, 10**12])
def test_truncation_beyond_the_end_is_full_bptt(truncate: int, cell: str) -> None:
    full, cut, hand = model(cell), model(cell), model(cell)
    data = [batch(4), batch(5)]
    expected = trainer(full).fit(data)
    history = trainer(cut, truncate=truncate).fit(data)
    by_hand(hand, [(x, target, None) for x, target in data], [True, True])
    np.testing.assert_array_equal(cut.flat_parameters, full.flat_parameters)
    np.testing.assert_array_equal(cut.flat_gradients, full.flat_gradients)
    np.testing.assert_array_equal(cut.flat_parameters, hand.flat_parameters)
    np.testing.assert_array_equal(history["grad_norm"], expected["grad_norm"])


@pairwise(("k", [1, 4, 5, 11]), ("cell", CELLS.keys()), ("masked", [False, True]))
def test_windows_carry_the_state_and_cut_the_gradient(k: int, cell: str, masked: bool) -> None:
    net, hand = model(cell, num_layers=2), model(cell, num_layers=2)
    mask = np.random.default_rng(6).random((T, B)) < 0.7 if masked else None
    data = [{"x": x, "target": target, "mask": mask} for x, target in (batch(4), batch(5))]
    history = trainer(net, truncate=k).fit(data)
    windows, fresh = [], []
    for item in data:
        for start in range(0, T, k):
            cut = slice(start, start + k)
            windows.append((item["x"][cut], item["target"][cut], None if mask is None else mask[cut]))
            fresh.append(start == 0)
    norms = by_hand(hand, windows, fresh)
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)
    np.testing.assert_allclose(history["grad_norm"], norms, rtol=16 * np.finfo(np.float64).eps)


def test_a_stream_hands_the_state_from_batch_to_batch_and_starts_each_epoch_anew() -> None:
    stream = bptt.data.TextStream("abcdeedcba" * 11, batch_size=2, steps=10)
    net, hand = model(), model()
    trainer(net).fit(stream, epochs=2)
    windows = [(x, target, None) for x, target in stream]
    by_hand(hand, windows * 2, ([True] + [False] * (len(windows) - 1)) * 2)
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)


@pytest.mark.parametrize("k", [None, 5])
def test_batch_first(k: int | None) -> None:
    plain, turned = model(), model(batch_first=True)
    x, target = batch()
    trainer(plain, truncate=k).fit([(x, target)])
    trainer(turned, truncate=k).fit([(x.T, target.T)])
    close = 64 * np.finfo(np.float32).eps  # sums over rows come in another order
    np.testing.assert_allclose(turned.flat_parameters, plain.flat_parameters, rtol=close, atol=close)


def test_unbatched_sequences() -> None:
    x, target = batch(rows=1)
    plain, flat = model(), model()
    trainer(plain, truncate=5).fit([(x, target)])
    # The embedding turns (T,) into (T, 4), which the recurrent layer takes as one sequence.
    trainer(flat, truncate=5).fit([(x[:, 0], target[:, 0])])
    np.testing.assert_array_equal(flat.flat_parameters, plain.flat_parameters)


def test_a_module_that_takes_x_and_state_only() -> None:
    """The Trainer passes lengths and resets only where a batch has them."""

    class Plain(bptt.Linear):
        def forward(self, x: Any, state: Any = None) -> Any:  # type: ignore[override]
            return super().forward(x, state)

    plain, linear = Plain(2, 2), bptt.Linear(2, 2)
    plain.load_state_dict(linear.state_dict())
    for net in (plain, linear):
        fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), truncate=5, progress=False)
        fit.fit([numbers()], validation=[numbers()])
    np.testing.assert_array_equal(plain.flat_parameters, linear.flat_parameters)


def test_no_gradient_of_the_inputs_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    net, found = bptt.LSTM(2, 2, seed=1), []
    backward = net.backward

    def watched(*arguments: Any, **options: Any) -> Any:
        found.append(backward(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(net, "backward", watched)
    Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), truncate=4, progress=False).fit([numbers()])
    assert [dx for dx, _ in found] == [None] * 3


def test_last_step_targets() -> None:
    net = bptt.Sequential(bptt.GRU(2, 6, seed=1), bptt.Last(), bptt.Linear(6, 1, seed=2))
    data = bptt.data.Windows(
        np.sin(np.arange(200.0)[:, None] / [3, 5]), steps=8, batch_size=16, last=True, shuffle=True, seed=3
    )
    pairs = [(x, target[:, :1]) for x, target in data]
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.Adam(0.01), progress=False)
    before = fit.evaluate(pairs)
    assert fit.fit(pairs, epochs=10, validation=pairs)["validation_loss"][-1] < before / 10
    with pytest.raises(ValueError, match="target must have 8 steps on axis 0"):
        Trainer(net, bptt.MeanSquaredError(), bptt.SGD(), truncate=3, progress=False).fit(pairs)


def test_evaluate_weighs_rows_not_batches() -> None:
    net, mask = model(), np.random.default_rng(6).random((T, B)) < 0.5
    data = [
        batch(4),
        batch(5, steps=3, rows=7),
        dict(zip(("x", "target", "mask"), (*batch(8), mask), strict=True)),
    ]
    rows = []
    for x, target, flags in ((*data[0], None), (*data[1], None), (*batch(8), mask)):
        y = net(x)[0].astype(np.float64)
        log_p = y - np.log(np.exp(y).sum(axis=-1, keepdims=True))
        values = -np.take_along_axis(log_p, target[..., None], axis=-1)[..., 0]
        rows.append(values[np.ones_like(target, bool) if flags is None else flags])
    expected = np.concatenate(rows).mean()
    before = net.flat_parameters.copy()
    value = trainer(net).evaluate(data)
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=64 * float(np.finfo(np.float32).eps))
    np.testing.assert_array_equal(net.flat_parameters, before)
    assert not net.flat_gradients.any()


def test_evaluate_and_predict_carry_the_state_of_a_stream() -> None:
    text = "abcdeedcba" * 6
    net, pieces, whole = (
        model(),
        bptt.data.TextStream(text, batch_size=1, steps=7),
        bptt.data.TextStream(text, batch_size=1, steps=59),
    )
    parts = trainer(net).predict(pieces)
    assert len(parts) == len(pieces)
    np.testing.assert_array_equal(np.concatenate(parts), trainer(net).predict(whole)[0])
    close = 8 * float(np.finfo(np.float64).eps)
    assert trainer(net).evaluate(pieces) == pytest.approx(trainer(net).evaluate(whole), rel=close)


def test_predict_takes_inputs_alone() -> None:
    net, (x, target) = model(), batch()
    outputs = trainer(net).predict([x, (x, target), {"x": x}])
    assert len(outputs) == 3
    for y in outputs:
        np.testing.assert_array_equal(y, net(x)[0])


def test_history() -> None:
    net, data = model(), [batch(4), batch(5)]
    rates = [0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
    fit = Trainer(
        net, bptt.CrossEntropy(), bptt.SGD(lambda step: rates[step]), clip=bptt.ClipNorm(1e-3), progress=False
    )
    history = fit.fit(data, epochs=2, validation=data)
    assert fit.history is history
    np.testing.assert_array_equal(history["lr"], rates[:4])
    np.testing.assert_array_equal(history["epoch"], [0, 0, 1, 1])
    np.testing.assert_array_equal(history["validation_step"], [2, 4])
    assert history["clipped"].all()
    assert history["clipped"].dtype == np.bool_
    assert (history["grad_norm"] > 1e-3).all()
    assert len(history["loss"]) == 4
    plain = json.loads(json.dumps(history.to_dict()))
    assert plain.keys() == history.keys()
    assert plain["loss"] == history["loss"].tolist()
    assert "4 updates" in repr(history)
    assert len(fit.fit(data)["loss"]) == 2  # a new one for each fit


def test_history_has_the_loss_to_the_last_bit() -> None:
    net, data = model(), [batch(rows, rows=rows) for rows in range(1, 41)]
    fit = Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.0), progress=False)
    found = fit.fit(data)["loss"]
    np.testing.assert_array_equal(found, [bptt.CrossEntropy().value(net(x)[0], target) for x, target in data])


def test_a_seed_repeats_a_run_with_dropout() -> None:
    def run(seed: int | None) -> np.ndarray:
        net = bptt.Sequential(
            bptt.Embedding(SYMBOLS, 4, seed=1),
            bptt.LSTM(4, 8, 2, dropout=0.5, seed=2),
            bptt.Sequential(bptt.Dropout(0.5), bptt.Linear(8, SYMBOLS, seed=3)),
        )
        trainer(net, seed=seed).fit([batch()], epochs=3)
        return net.flat_parameters

    np.testing.assert_array_equal(run(7), run(7))
    assert (run(7) != run(8)).any()
    assert (run(None) != run(None)).any()  # the Dropout layer has no seed of its own


def test_reference_layers_train_alike() -> None:
    def run(lstm: type[bptt.LSTM]) -> bptt.Module:
        net = bptt.Sequential(
            bptt.Linear(2, 4, dtype="float64", seed=1),
            lstm(4, 5, 2, peephole=True, dtype="float64", seed=2),
            bptt.Linear(5, 2, dtype="float64", seed=3),
        )
        Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), truncate=5, progress=False).fit(
            [numbers()], epochs=4
        )
        return net

    # 12 updates, each from sums over T * B terms of numbers around 1.
    close = 12 * T * B * float(np.finfo(np.float64).eps)
    native, plain = run(bptt.LSTM), run(bptt.reference.LSTM)
    np.testing.assert_allclose(native.flat_parameters, plain.flat_parameters, rtol=0, atol=close)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))])
def test_a_copy_of_a_trainer_is_independent(duplicate: Any) -> None:
    original = trainer(model())
    original.fit([batch()])
    weights = original.model.flat_parameters.copy()
    other = duplicate(original)
    other.fit([batch()] * 3)
    assert (other.run.updates, other.run.optimizer_steps, other.optimizer.steps) == (3, 4, 4)
    assert len(other.history["loss"]) == 3
    assert (original.run.updates, original.optimizer.steps) == (1, 1)
    np.testing.assert_array_equal(original.model.flat_parameters, weights)
