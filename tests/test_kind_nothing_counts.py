"""Kind of fault: a step is made though nothing counts.

Where no row counts, weights, optimizer, schedule and history stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ranks import returned, run
from tests.training import SYMBOLS, B, T, Watch, batch, model

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.train import Trainer

X, TARGET = batch()
NOTHING = np.zeros((T, B), bool)
HALF = np.arange(T * B).reshape(T, B) % 2 == 0
SHORT = np.array([3, 1, 2])


def says_so() -> Any:
    return pytest.warns(UserWarning, match="have no row that counts, so there was no update")


class Count(Callback):
    """Counts what callbacks are told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def backward(self, trainer: TrainerView, tape: Any, dy: Any) -> None:
        self.calls.append("backward")

    def update(self, trainer: TrainerView, update: Any) -> None:
        self.calls.append("update")

    def settled(self, trainer: TrainerView) -> None:
        self.calls.append("settled")


def made(comm: Any = None, net: bptt.Module | None = None, loss: Any = None, **options: Any) -> Trainer:
    """A trainer whose optimizer would move the weights in every step: momentum, decay and a schedule."""
    rate = bptt.schedules.Cosine(0.5, 100)
    optimizer = bptt.SGD(rate, momentum=0.9, weight_decay=0.1)
    net = model() if net is None else net
    return Trainer(net, loss or bptt.CrossEntropy(), optimizer, progress=False, comm=comm, **options)


def everything(trainer: Trainer) -> dict[str, Any]:
    state = trainer.optimizer.state_dict()
    return {
        "weights": trainer.model.flat_parameters.tobytes(),
        "optimizer": {name: np.asarray(value).tobytes() for name, value in state.items()},
        "lr": trainer.optimizer.lr,
        "clip": trainer.clip.nonfinite_steps,
    }


def classifier() -> bptt.Module:
    return bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1), bptt.LSTM(4, 6, seed=2), bptt.Last(), bptt.Linear(6, 2, seed=3)
    )


NO_ROWS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "all masked": (lambda: {"x": X, "target": TARGET, "mask": NOTHING}, {}),
    "all masked, truncated": (lambda: {"x": X, "target": TARGET, "mask": NOTHING}, {"truncate": 5}),
    "all masked, (k1, k2)": (lambda: {"x": X, "target": TARGET, "mask": NOTHING}, {"truncate": (4, 8)}),
    "weights 0": (lambda: {"x": X, "target": TARGET, "weight": np.zeros((T, B))}, {}),
    "weights 0 where the mask is True": (
        lambda: {"x": X, "target": TARGET, "mask": HALF, "weight": np.where(HALF, 0.0, 3.0)},
        {"truncate": 5},
    ),
    "all ignored": (lambda: (X, np.full((T, B), -100)), {"loss": bptt.CrossEntropy(ignore_index=-100)}),
    "all ignored, (k1, k2)": (
        lambda: (X, np.full((T, B), 2)),
        {"truncate": (4, 8), "loss": bptt.CrossEntropy(ignore_index=2)},
    ),
    "classes of weight 0": (
        lambda: (X, np.full((T, B), 2)),
        {"loss": bptt.CrossEntropy(class_weight=[1, 1, 0, 1, 1], label_smoothing=0.1)},
    ),
    "all masked, a sum": (
        lambda: {"x": X, "target": TARGET, "mask": NOTHING},
        {"loss": bptt.CrossEntropy(reduction="sum")},
    ),
    "all masked, a function": (
        lambda: {"x": X, "target": TARGET, "mask": NOTHING},
        {"loss": lambda y, target, mask: (np.nan, np.full_like(y, np.nan))},
    ),
    "lengths 0": (lambda: (X, TARGET, np.zeros(B, int)), {}),
    "all skipped": (lambda: {"x": X, "target": TARGET, "skip": ~NOTHING}, {}),
    "all skipped, (k1, k2)": (lambda: {"x": X, "target": TARGET, "skip": ~NOTHING}, {"truncate": (4, 8)}),
    "lengths 0, truncated": (lambda: (X, TARGET, np.zeros(B, int)), {"truncate": 5}),
    "only masked steps are valid": (
        lambda: {"x": X, "target": TARGET, "lengths": SHORT, "mask": np.arange(T)[:, None] >= SHORT},
        {},
    ),
    "clip_state": (lambda: {"x": X, "target": TARGET, "mask": NOTHING}, {"clip_state": 0.1}),
    "automatic clip": (
        lambda: {"x": X, "target": TARGET, "mask": NOTHING},
        {"clip": bptt.ClipNorm("auto")},
    ),
    "a classifier, lengths 0": (lambda: (X, np.zeros(B, int), np.zeros(B, int)), {"net": classifier()}),
    "a classifier, all masked": (
        lambda: {"x": X, "target": np.zeros(B, int), "mask": np.zeros(B, bool)},
        {"net": classifier()},
    ),
}


@pytest.mark.parametrize("name", NO_ROWS)
def test_nothing_changes(name: str) -> None:
    for accumulate in [1, 2]:
        make, options = NO_ROWS[name]
        count = Count()
        trainer = made(accumulate=accumulate, callbacks=[count], **options)
        before = everything(trainer)
        with says_so() as said:
            history = trainer.fit([make()] * 3, epochs=2)
        assert [warning.filename for warning in said] == [__file__] * 2
        assert everything(trainer) == before
        assert len(history["loss"]) == 0
        assert count.calls == []


@pytest.mark.parametrize("size", [2, 3])
def test_nothing_changes_on_any_rank(size: int) -> None:
    def job(comm: Any) -> bool:
        trainer = made(comm)
        before = everything(trainer)
        trainer.fit([{"x": X, "target": TARGET, "mask": NOTHING}])
        return everything(trainer) == before and len(trainer.history["loss"]) == 0

    with says_so():
        assert returned(run(size, job)) == [True] * size


def test_one_rank_without_rows_makes_the_update_of_the_others() -> None:
    alone = made()
    alone.fit([(X, TARGET)])

    def job(comm: Any) -> Any:
        trainer = made(comm)
        mask = np.full((T, B), comm.rank == 1)
        trainer.fit([{"x": X, "target": TARGET, "mask": mask}])
        return trainer.model.flat_parameters

    tolerance = 8 * T * B * np.finfo(np.float32).eps
    for found in returned(run(2, job)):
        np.testing.assert_allclose(found, alone.model.flat_parameters, rtol=0, atol=tolerance)


@pytest.mark.parametrize("truncate", [4, (4, 8), (2, 6)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_windows_after_every_row_s_end_are_no_updates(truncate: Any, accumulate: int) -> None:
    """Padding to 12 steps makes no update that the unpadded batch would not make, and changes none."""
    window = truncate if isinstance(truncate, int) else truncate[0]
    short = -(-int(SHORT.max()) // window) * window  # so that the last window is equally long
    padded, plain = (
        made(truncate=truncate, accumulate=accumulate),
        made(truncate=truncate, accumulate=accumulate),
    )
    padded.fit([(X, TARGET, SHORT)] * 3, epochs=2)
    plain.fit([(X[:short], TARGET[:short], SHORT)] * 3, epochs=2)
    assert everything(padded) == everything(plain)
    assert np.array_equal(padded.history["loss"], plain.history["loss"])


@pytest.mark.parametrize(
    ("lengths", "truncate", "progress"),
    [([1, 1, 1], 1, [1.0]), ([4, 2, 1], 4, [1.0]), ([4, 2, 1], (2, 4), [round(2 / T, 3), 1.0])],
)
def test_a_batch_ends_where_its_longest_row_ends(lengths: Any, truncate: Any, progress: Any) -> None:
    watch = Watch()
    made(truncate=truncate, callbacks=[watch]).fit([(X, TARGET, lengths)])
    assert [seen[2] for seen in watch.seen if seen[0] == "update"] == progress


@pytest.mark.parametrize("truncate", [None, 4, (4, 8)])
def test_a_batch_without_rows_is_a_batch(truncate: Any) -> None:
    """Progress counts the batch, and the next batch makes the updates that it makes alone."""
    watch = Watch()
    trainer, alone = made(truncate=truncate, callbacks=[watch]), made(truncate=truncate)
    trainer.fit([(X, TARGET, np.zeros(B, int)), (X, TARGET)])
    alone.fit([(X, TARGET)])
    assert everything(trainer) == everything(alone)
    batches = [seen[2] for seen in watch.seen if seen[0] == "update"]
    assert batches[-1] == 2.0


def test_the_state_goes_on_through_a_window_without_rows() -> None:
    """The masked middle window of three changes no weights, but the state passes through it."""
    mask = np.ones((T, B), bool)
    mask[4:8] = False
    net, hand = model(), model()
    trainer = Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.5), truncate=4, progress=False)
    trainer.fit([{"x": X, "target": TARGET, "mask": mask}])
    loss, optimizer, state = bptt.CrossEntropy(), bptt.SGD(0.5), None
    for begin in (0, 4, 8):
        hand.zero_grad()
        y, state, tape = hand.forward(X[begin : begin + 4], state)
        if begin != 4:
            hand.backward(tape, loss(y, TARGET[begin : begin + 4])[1])
            optimizer.step(hand)
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)
    assert len(trainer.history["loss"]) == 2


def test_a_run_that_stops_after_a_batch_without_rows_resumes_exactly(tmp_path: Path) -> None:
    """The dropout masks that this batch drew stay drawn."""

    class Interrupt(Callback):
        def backward(self, trainer: TrainerView, tape: Any, dy: Any) -> None:
            if len(trainer.history["loss"]) == 1:
                raise KeyboardInterrupt

    def dropped() -> bptt.Module:
        return model(num_layers=2, dropout=0.5)

    data = [(X, TARGET), {"x": X, "target": TARGET, "mask": NOTHING}, (X, TARGET)]
    whole, part = made(net=dropped()), made(net=dropped(), callbacks=[Interrupt()])
    whole.fit(data)
    with pytest.raises(KeyboardInterrupt):
        part.fit(data)
    part.save(tmp_path / "run")
    optimizer = bptt.SGD(bptt.schedules.Cosine(0.5, 100), momentum=0.9, weight_decay=0.1)
    again = Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), optimizer, progress=False)
    again.fit(data)
    assert everything(again) == everything(whole)


def test_a_regularizer_alone_makes_no_update() -> None:
    rng = np.random.default_rng(0)
    net = bptt.RNN(2, 4, seed=1)
    trainer = Trainer(
        net, bptt.MeanSquaredError(), bptt.SGD(0.5), regularizer=bptt.PascanuRegularizer(4.0), progress=False
    )
    x, target = rng.standard_normal((5, 2, 2)), rng.standard_normal((5, 2, 4))
    before = net.flat_parameters.copy()
    with says_so():
        trainer.fit([{"x": x, "target": target, "mask": np.zeros((5, 2), bool)}])
    np.testing.assert_array_equal(net.flat_parameters, before)


@pytest.mark.parametrize("steps", [4, 10])
def test_padding_asks_for_no_window(steps: int) -> None:
    """A target without a time axis needs one window: the longest row decides, not the padding."""
    net = classifier()
    x = np.zeros((steps, 2), int)
    made(net=net, truncate=4).fit([(x, np.zeros(2, int), np.array([3, 2]))])
    expected = classifier()
    made(net=expected).fit([(x[:4], np.zeros(2, int), np.array([3, 2]))])
    np.testing.assert_array_equal(net.flat_parameters, expected.flat_parameters)
