"""The limits of `fit`, and callbacks that end a run or restore its best epoch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ranks import run
from tests.test_resume import CASES, Case, outcome
from tests.test_train_metrics import scripted
from tests.training import Watch, batch, model, trainer

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.files import read_checkpoint
from bptt.metrics import Accuracy

DATA = [batch(seed) for seed in range(4)]


def test_the_run_ends_after_the_update_inside_an_epoch(tmp_path: Path) -> None:
    watch = Watch()
    fit = trainer(model(), callbacks=[watch, bptt.Checkpoint(tmp_path / "run")])
    history = fit.fit(DATA, validation=DATA[:1], max_updates=6)
    assert len(history["loss"]) == 6
    assert history["validation_step"].tolist() == [4, 6]
    assert history["epoch"].tolist() == [0, 0, 0, 0, 1, 1]
    assert watch.seen[-3:] == [("validation", 1), ("end", 1), "fit end"]
    assert fit.epochs_done == 1
    assert read_checkpoint(tmp_path / "run").extra["epochs"] == 1
    assert fit.stopping


def test_the_first_limit_ends_the_run() -> None:
    for epochs, updates, expected in ((1, 9, 4), (2, 3, 3), (2, 8, 8), (None, 5, 5), (3, None, 12)):
        history = trainer(model()).fit(DATA, epochs, max_updates=updates)
        assert len(history["loss"]) == expected


def test_a_limit_at_the_end_of_an_epoch_completes_the_epoch() -> None:
    fit = trainer(model())
    history = fit.fit(DATA, validation=DATA[:1], max_updates=8)
    assert fit.epochs_done == 2
    assert history["validation_step"].tolist() == [4, 8]


RESUMED = (
    "a list",
    "one generator for all",
    "validated on itself",
    "noisy validation data",
    "noisy data, one generator with dropout, grouped",
    "text, (every, back)",
    "a function that draws",
)


def test_a_run_in_pieces_has_the_bits_of_an_unbroken_run(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Only the history also has the validations at the end of each piece."""
    for name in RESUMED:
        with subtests.test(name):
            plain = CASES[name]()
            expected = outcome(plain.fit(plain.fresh([])))
            updates = len(expected["history"]["loss"]) // 8  # float64
            path, case = tmp_path / "run", CASES[name]()
            running = case.fresh([bptt.Checkpoint(path)])
            for limit in range(2, updates + 3, 2):
                running.fit(case.data, case.epochs, case.validation, max_updates=limit)
                case = CASES[name]()
                running = case.resume(path, [bptt.Checkpoint(path)])
            found = outcome(running)
            for each in (found, expected):
                for column in [name for name in each["history"] if name.startswith("validation")]:
                    del each["history"][column]
            # The generators of a resumed trainer that does not train are those of its file.
            assert found == expected


class Clock:
    """A clock that each update moves on by one second."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def tick(self, trainer: TrainerView) -> None:
        self.now += 1


def test_seconds_end_the_run_after_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, expected in ((1, 2), (2.5, 4), (6, 7), (99, 12)):  # the first update begins after 0 s
        clock = Clock()
        monkeypatch.setattr("bptt.train.budget.time", clock)
        watch = Watch(clock.tick)
        assert len(trainer(model(), callbacks=[watch]).fit(DATA, 3, max_seconds=seconds)["loss"]) == expected


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_updates": 0}, ValueError),
        ({"max_updates": 2.0}, TypeError),
        ({"max_seconds": 0}, ValueError),
        ({"max_seconds": np.nan}, ValueError),
        ({"max_seconds": "1"}, TypeError),
    ],
)
def test_limits_are_checked(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{next(iter(options))} must be"):
        trainer(model()).fit(DATA, **options)


def test_a_run_without_epochs_ends_where_no_row_counts() -> None:
    """Such a run waits for updates, and none would come."""
    nothing = {"x": DATA[0][0], "target": DATA[0][1], "mask": np.zeros(DATA[0][1].shape[:2], bool)}
    for budget in ({"max_updates": 2}, {"max_seconds": 1e9}):
        net = model()
        before = net.flat_parameters.copy()
        with pytest.raises(
            ValueError, match="data must have a row that counts in each epoch of a run without"
        ):
            trainer(net).fit([nothing], **budget)
        assert np.array_equal(net.flat_parameters, before)
    with pytest.raises(ValueError, match="a row that counts"):
        bptt.learning_rate_range(trainer(model()), [nothing])


def test_until_a_metric_or_the_loss_is_reached() -> None:
    for until, expected in (
        (bptt.Until("accuracy", above=0.7), 3),
        (bptt.Until("accuracy", below=0.3), 2),
        (bptt.Until("loss", below=0.5), 4),
        (bptt.Until("loss", above=9.0), 5),
    ):
        fit = scripted([(1, 0.5), (2, 0.2), (0.5, 0.75), (0.25, np.nan), (np.nan, 0.7)], until)
        history = fit.fit([batch()], epochs=5, validation=[batch()])
        assert len(history["validation_loss"]) == expected
        assert until.reached == (expected < 5)


def by_epoch(epochs: int) -> list[np.ndarray]:
    """The parameters after each epoch."""
    seen: list[np.ndarray] = []

    class Keep(Callback):
        def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
            seen.append(trainer.model.flat_parameters.copy())

    scripted([(1, 1)] * epochs, Keep()).fit([batch()], epochs, [batch()])
    return seen


def restoring(values: list[tuple[float, float]], epochs: int, *more: Callback) -> bptt.Trainer:
    stop = bptt.EarlyStopping(2, metric="accuracy", restore_best=True)
    fit = scripted(values, stop, *more)
    fit.fit([batch()], epochs, validation=[batch()])
    return fit


def test_restore_best(tmp_path: Path) -> None:
    """The best epoch, also where the run ends for another reason; a checkpoint holds the last."""
    parameters = by_epoch(5)
    values = [(1, 0.5), (2, 0.75), (0.5, 0.75), (0.25, 0.7), (0.1, 0.9)]
    last = bptt.Checkpoint(tmp_path / "last")
    np.testing.assert_array_equal(restoring(values, 5, last).model.flat_parameters, parameters[1])
    np.testing.assert_array_equal(bptt.load(tmp_path / "last").flat_parameters, parameters[3])
    np.testing.assert_array_equal(restoring(values, 3).model.flat_parameters, parameters[1])
    until = bptt.Until("loss", below=0.4)
    rising = [(1, 0.5), (0.5, 0.4), (0.3, 0.45)]
    np.testing.assert_array_equal(restoring(rising, 5, until).model.flat_parameters, parameters[0])


def test_restore_best_of_nothing_finite_and_after_an_error() -> None:
    parameters = by_epoch(2)
    nan = [(np.nan, np.nan)] * 2
    np.testing.assert_array_equal(restoring(nan, 2).model.flat_parameters, parameters[1])

    class Break(Callback):
        def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    stop = bptt.EarlyStopping(2, metric="accuracy", restore_best=True)
    fit = scripted([(1, 0.5), (2, 0.2)], stop, Break())
    with pytest.raises(KeyboardInterrupt):
        fit.fit([batch()], 2, validation=[batch()])
    np.testing.assert_array_equal(fit.model.flat_parameters, parameters[1])


def test_restore_best_of_a_resumed_run(tmp_path: Path) -> None:
    """The best parameters are in the file of the run."""

    def case() -> Case:
        made = Case(metrics=[Accuracy()])
        made.epochs, made.validation, made.optimizer = 6, [batch(9)], bptt.Adam(0.1)
        return made

    def fit(made: Case, make: Any, limit: int | None) -> Any:
        stop = bptt.EarlyStopping(50, restore_best=True)
        running = make([stop, bptt.Checkpoint(tmp_path / "run")])
        running.fit(made.data, made.epochs, made.validation, max_updates=limit)
        return running.model.flat_parameters.copy(), running.history["validation_loss"]

    whole, one, other = case(), case(), case()
    expected, losses = fit(whole, whole.fresh, None)
    assert losses.argmin() < 5  # otherwise there is nothing to restore
    fit(one, one.fresh, 20)
    found, _ = fit(other, lambda callbacks: other.resume(tmp_path / "run", callbacks), None)
    np.testing.assert_array_equal(found, expected)


def test_ranks_end_together_though_their_clocks_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the update at which the last rank has reached its limit."""
    clocks = threading.local()

    class Clocks:
        @staticmethod
        def perf_counter() -> float:
            return getattr(clocks, "now", 0.0)

    def job(comm: Any) -> tuple[int, bytes]:
        def tick(running: bptt.Trainer) -> None:
            clocks.now = Clocks.perf_counter() + comm.rank + 1

        fit = trainer(model(), comm=comm, callbacks=[Watch(tick)])
        data = bptt.data.Shard(DATA, comm)
        fit.fit(data, 3, DATA[:1], max_seconds=4)
        return len(fit.history["loss"]), fit.model.flat_parameters.tobytes()

    monkeypatch.setattr("bptt.train.budget.time", Clocks)
    one, other = run(2, job)
    assert one == other
    assert one[0] == 5  # rank 0 has 4 seconds after 4 updates, which the next update sees
