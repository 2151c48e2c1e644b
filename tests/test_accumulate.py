"""Updates from several batches: the gradient of one batch that holds them all."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import SYMBOLS, B, batch, trainer

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.losses import Loss
from bptt.optim import Optimizer
from bptt.train import Trainer

EPSILON = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}
ROWS = 12 * 9  # in the longest sum of these gradients
ROUNDS = 3


def joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))  # type: ignore[return-value]


def net(dtype: str = "float64") -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1, dtype=dtype),
        bptt.LSTM(4, 8, seed=2, dtype=dtype),
        bptt.Linear(8, SYMBOLS, seed=3, dtype=dtype),
    )


@pytest.mark.parametrize("rows", [(3, 3, 3), (1, 4, 2), (2, 5)])
@pytest.mark.parametrize("dtype", EPSILON)
def test_as_one_batch(dtype: str, rows: tuple[int, ...]) -> None:
    parts = [batch(seed, rows=count) for seed, count in enumerate(rows)]
    whole, split = net(dtype), net(dtype)
    one = trainer(whole).fit([joined(parts)], epochs=ROUNDS)
    many = trainer(split, accumulate=len(parts)).fit(parts, epochs=ROUNDS)
    tolerance = ROUNDS * ROWS * EPSILON[dtype]
    np.testing.assert_allclose(split.flat_parameters, whole.flat_parameters, rtol=0, atol=tolerance)
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(many[name], one[name], rtol=tolerance)
    assert not np.array_equal(many["loss"], trainer(net(dtype)).fit(parts, epochs=1)["loss"])


def test_masked_rows_do_not_count() -> None:
    rng = np.random.default_rng(0)
    parts = [
        {"x": x, "target": target, "mask": rng.random(target.shape) < share}
        for (x, target), share in zip([batch(1), batch(2)], (0.9, 0.2), strict=True)
    ]
    whole, split = net(), net()
    one = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    trainer(whole).fit([one])
    trainer(split, accumulate=2).fit(parts)
    np.testing.assert_allclose(split.flat_parameters, whole.flat_parameters, atol=ROWS * EPSILON["float64"])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rows", [(4,), (2, 5)])
def test_one_output_per_sequence(rows: tuple[int, ...], batch_first: bool) -> None:
    """The gradient is that of the mean over sequences, whatever their number of steps."""

    def classifier() -> bptt.Sequential:
        return bptt.Sequential(
            bptt.LSTM(2, 5, seed=1, batch_first=batch_first, dtype="float64"),
            bptt.Last(batch_first=batch_first),
            bptt.Linear(5, 3, seed=2, dtype="float64"),
        )

    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((sum(rows), 12, 2)), rng.integers(0, 3, sum(rows))
    x = x if batch_first else x.swapaxes(0, 1)
    cuts = np.cumsum(rows)[:-1]
    parts = zip(np.split(x, cuts, 0 if batch_first else 1), np.split(target, cuts), strict=True)
    split, hand = classifier(), classifier()
    trainer(split, accumulate=len(rows)).fit(list(parts))
    y, _, tape = hand.forward(x)
    hand.backward(tape, bptt.CrossEntropy()(y, target)[1])
    bptt.SGD(0.5).step(hand)
    np.testing.assert_allclose(split.flat_parameters, hand.flat_parameters, atol=ROWS * EPSILON["float64"])


def test_a_group_with_one_row_that_counts() -> None:
    """The mean over one row is the loss of that row."""
    x, target = batch()
    one, none = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    one[5, 1] = True
    parts = [{"x": x, "target": target, "mask": mask} for mask in (one, none)]
    alone = trainer(net()).fit(parts[:1])
    group = trainer(net(), accumulate=2).fit(parts)
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(group[name], alone[name], rtol=ROWS * EPSILON["float64"])


@pytest.mark.parametrize("options", [{}, {"accumulate": 3}, {"accumulate": 3, "truncate": 4}])
def test_memory_holds_one_tape(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each forward pass begins after the tape of the previous pass is gone."""
    model = net()
    forward, tapes = model.forward, []

    def watched(*arguments: Any, **given: Any) -> Any:
        assert all(tape() is None for tape in tapes)
        y, state, tape = forward(*arguments, **given)
        tapes.append(weakref.ref(tape))
        return y, state, tape

    monkeypatch.setattr(model, "forward", watched)
    trainer(model, **options).fit([batch(seed) for seed in range(3)], epochs=2)
    assert len(tapes) >= 6


def test_no_batch_stays_in_memory_after_training() -> None:
    seen: list[weakref.ref[Any]] = []

    class Fresh:
        def __iter__(self) -> Iterator[Any]:
            for seed in range(3):
                x, target = batch(seed)
                seen.append(weakref.ref(x))
                yield x, target

    fit = trainer(net())
    fit.fit(Fresh())
    assert [array() for array in seen] == [None] * 3


def test_windows_count_as_batches_do() -> None:
    """Two windows, the second going on from the first's state: half the sum of what each alone would give."""
    x, target = batch()
    split, hand, loss = net(), net(), bptt.CrossEntropy()
    state: Any = None
    for begin in (0, 6):
        y, state, tape = hand.forward(x[begin : begin + 6], state)
        hand.backward(tape, loss(y, target[begin : begin + 6])[1])
    hand.flat_gradients[...] /= 2
    bptt.SGD(0.5).step(hand)
    history = trainer(split, truncate=6, accumulate=2).fit([(x, target)])
    assert len(history["loss"]) == 1
    np.testing.assert_allclose(split.flat_parameters, hand.flat_parameters, atol=ROWS * EPSILON["float64"])


def test_what_is_left_of_an_epoch_makes_an_update() -> None:
    class Seen(Callback):
        def __init__(self) -> None:
            self.updates: list[Any] = []

        def update(self, trainer: TrainerView, update: Any) -> None:
            self.updates.append((update.epoch, update.batches, update.tokens))

    seen, data = Seen(), [batch(seed) for seed in range(5)]
    fit = trainer(net(), accumulate=2, callbacks=[seen])
    history = fit.fit(data, epochs=2)
    assert len(history["loss"]) == 6
    assert seen.updates == [
        (epoch, end, 12 * B * count) for epoch in (0, 1) for end, count in ((2, 2), (4, 2), (5, 1))
    ]


def test_one_is_as_before() -> None:
    data = [batch(seed, rows=seed + 1) for seed in range(3)]
    plain, one = net("float32"), net("float32")
    trainer(plain).fit(data, epochs=2)
    trainer(one, accumulate=1).fit(data, epochs=2)
    assert np.array_equal(plain.flat_parameters, one.flat_parameters)


def test_the_regularizer_counts_as_the_batches_do() -> None:
    def rnn() -> bptt.Sequential:
        return bptt.Sequential(bptt.RNN(2, 4, seed=0, dtype="float64"), bptt.Linear(4, 2, dtype="float64"))

    rng = np.random.default_rng(0)
    parts = [tuple(rng.standard_normal((2, 6, count, 2))) for count in (3, 3)]
    same = [parts[0], parts[0]]  # Omega of two equal batches is that of one
    one, two = rnn(), rnn()
    one.load_state_dict(two.state_dict())
    options: dict[str, Any] = {"regularizer": bptt.PascanuRegularizer(2.0), "progress": False}
    Trainer(one, bptt.MeanSquaredError(), bptt.SGD(0.5), **options).fit([parts[0]])
    Trainer(two, bptt.MeanSquaredError(), bptt.SGD(0.5), accumulate=2, **options).fit(same)
    np.testing.assert_allclose(two.flat_parameters, one.flat_parameters, atol=ROWS * EPSILON["float64"])


@pytest.mark.parametrize("truncate", [None, 5, (4, 8)])
def test_a_resumed_run_has_the_same_bits(truncate: Any, tmp_path: Path) -> None:
    data = [batch(seed) for seed in range(5)]

    def options() -> dict[str, Any]:
        return {
            "truncate": truncate,
            "accumulate": 2,
            "progress": False,
            "metrics": [bptt.metrics.Accuracy()],
        }

    def parts() -> tuple[Loss, Optimizer]:
        return bptt.CrossEntropy(), bptt.Adam(0.01)

    class Interrupt(Callback):
        """Ctrl-C in the middle of an update's batches."""

        def __init__(self, left: int) -> None:
            self.left = left

        def backward(self, trainer: TrainerView, tape: Any, dy: Any) -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    whole = net("float32")
    expected = Trainer(whole, *parts(), **options()).fit(data, epochs=2, validation=data)
    for stop in (1, 2, 4, 5, 6, 9):
        fit = Trainer(net("float32"), *parts(), callbacks=[Interrupt(stop)], **options())
        with pytest.raises(KeyboardInterrupt):
            fit.fit(data, epochs=2, validation=data)
        fit.save(tmp_path / "run")
        again = Trainer.resume(tmp_path / "run", *parts(), **options())
        history = again.fit(data, epochs=2, validation=data)
        assert np.array_equal(again.model.flat_parameters, whole.flat_parameters)
        assert history.to_dict() == expected.to_dict()


def test_resuming_with_another_number_is_refused(tmp_path: Path) -> None:
    fit = trainer(net(), accumulate=2)
    fit.fit([batch()])
    fit.save(tmp_path / "run")
    with pytest.raises(ValueError, match="accumulate was 2, now 3"):
        Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), bptt.SGD(0.5), accumulate=3)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_input(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="accumulate must"):
        trainer(net(), accumulate=value)
