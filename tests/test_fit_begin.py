"""Callbacks that follow the validation: checked before a run starts, and started afresh by every `fit`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model, trainer

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.metrics import RMSE, Accuracy
from bptt.schedules import Plateau, WarmUp
from bptt.train import Trainer

WATCHERS: dict[str, Callable[[], Callback]] = {
    "KeepBest": bptt.KeepBest,
    "EarlyStopping": bptt.EarlyStopping,
    "Until": lambda: bptt.Until("loss", below=0.1),
    "Checkpoint(best=True)": lambda: bptt.Checkpoint("best", best=True),
    "Checkpoint(best='accuracy')": lambda: bptt.Checkpoint("best", best="accuracy"),
    "Plateau": lambda: Plateau(0.1),
}


def refused(fit: Trainer, message: str, **options: Any) -> None:
    """`fit` raises this message, and changes nothing."""
    weights, seen = fit.model.flat_parameters.copy(), len(fit.history["loss"])
    with pytest.raises(ValueError, match=message) as caught:
        fit.fit([batch()], epochs=2, **options)
    assert "Fix: " in str(caught.value)
    np.testing.assert_array_equal(fit.model.flat_parameters, weights)
    assert len(fit.history["loss"]) == seen
    assert fit.optimizer.steps == seen


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: bptt.EarlyStopping(metric=RMSE()), TypeError, "metric must be the name .* metric='rmse'"),
        (lambda: bptt.Until(None, above=0.9), TypeError, "metric must be the name of a metric; got None"),  # type: ignore[arg-type]
        (
            lambda: bptt.Until("loss"),
            ValueError,
            "exactly one of above and below must be given; got above=None",
        ),
        (lambda: bptt.Until("loss", above=1, below=0), ValueError, "got above=1 and below=0"),
        (lambda: bptt.Until("loss", below=np.nan), ValueError, "below must be a finite number"),
        (lambda: bptt.EarlyStopping(metric=""), ValueError, "metric must be the name of a metric; got ''"),
        (lambda: Plateau(0.1, metric=RMSE), TypeError, "metric must be the name of a metric"),
        (lambda: bptt.Checkpoint("best", best=""), ValueError, "best must be the name of a metric; got ''"),
        (
            lambda: bptt.Checkpoint("best", best=None),
            TypeError,
            "best must be True, False or the name of a metric",
        ),  # type: ignore[arg-type]
    ],
)
def test_the_name_of_a_metric_is_checked_at_once(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_empty_validation_data() -> None:
    refused(trainer(model()), "validation must give at least one batch; got none", validation=[])


@pytest.mark.parametrize("name", WATCHERS)
def test_no_validation_data(name: str, folder: Path) -> None:
    fit = trainer(model(), metrics=[Accuracy()], callbacks=[WATCHERS[name]()])
    message = (
        r"validation must be given, because {} watches the validation; got None. Fix: call fit\(..., valid"
    )
    refused(fit, message.format(name.replace("(", r"\(").replace(")", r"\)")))
    fit.fit([batch()], validation=[batch()])
    refused(fit, "watches the validation")  # also where an earlier run had some
    assert not list(folder.glob("*.tmp"))


def test_no_validation_data_for_the_schedule_of_an_optimizer() -> None:
    for rate in (Plateau(0.1), WarmUp(3, Plateau(0.1))):
        fit = Trainer(model(), bptt.CrossEntropy(), bptt.SGD(rate), progress=False)
        refused(fit, "Plateau watches the validation")


@pytest.mark.parametrize(
    ("callback", "argument"),
    [
        (lambda: bptt.EarlyStopping(metric="acuracy"), "metric"),
        (lambda: bptt.Until("acuracy", above=0.9), "metric"),
        (lambda: bptt.Checkpoint("best", best="acuracy"), "best"),
        (lambda: Plateau(0.1, metric="acuracy"), "metric"),
    ],
)
def test_misspelt_metrics(callback: Callable[[], Callback], argument: str, folder: Path) -> None:
    fit = trainer(model(), metrics=[Accuracy(), RMSE()], callbacks=[callback()])
    message = rf"{argument} must name one of the trainer's metrics \(accuracy, rmse\); got 'acuracy'. Fix: "
    refused(fit, message, validation=[batch()])
    bare = trainer(model(), callbacks=[callback()])
    refused(bare, rf"{argument} must name .* \(no metrics\); got 'acuracy'", validation=[batch()])


def test_what_follows_no_validation_needs_none(folder: Path) -> None:
    fit = trainer(model(), callbacks=[bptt.Checkpoint("run"), bptt.CSVLog("log.csv"), Callback()])
    assert len(fit.fit([batch()], epochs=2)["loss"]) == 2


def test_fit_begin_is_told_of_the_run() -> None:
    class Seen(Callback):
        def fit_begin(self, trainer: TrainerView, epochs: int, validation: bool) -> None:
            seen.append((trainer, epochs, validation))

    seen: list[Any] = []
    fit = trainer(model(), callbacks=[Seen()])
    fit.fit([batch()], epochs=3)
    fit.fit([batch()], validation=[batch()])
    assert seen == [(fit, 3, False), (fit, 1, True)]


class Scripted(Trainer):
    """A trainer with given validation losses."""

    losses: tuple[float, ...] = ()

    def measure(self, data: Any) -> dict[str, float]:
        return {"loss": self.losses[len(self.history["validation_loss"])]}


def scripted(*callbacks: Callback) -> Scripted:
    return Scripted(model(), bptt.CrossEntropy(), bptt.SGD(0.1), callbacks=callbacks, progress=False)


def test_keep_best_forgets_an_earlier_fit() -> None:
    best = bptt.KeepBest()
    fit = scripted(best)
    fit.losses = (1.0, 2.0)
    fit.fit([batch()], epochs=2, validation=[batch()])
    assert best.loss == 1.0
    fit.losses = (3.0, 1.5, 2.0)
    seen: list[np.ndarray] = []
    fit.callbacks = (best, Weights(seen))
    fit.fit([batch()], epochs=3, validation=[batch()])
    assert best.loss == 1.5
    other = model()
    best.restore(other)
    np.testing.assert_array_equal(other.flat_parameters, seen[1])


class Weights(Callback):
    def __init__(self, seen: list[np.ndarray]) -> None:
        self._seen = seen

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        self._seen.append(trainer.model.flat_parameters.copy())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_keep_leaves_the_files_of_an_earlier_fit(folder: Path) -> None:
    fit = trainer(model(), callbacks=[bptt.Checkpoint("run-{step}", keep=2)])
    fit.fit([batch()], epochs=3)
    assert names(folder) == {"run-2", "run-3"}
    fit.fit([batch()], epochs=3)
    assert names(folder) == {"run-2", "run-3", "run-5", "run-6"}


@pytest.mark.parametrize("stopped", [2, 5])
def test_keep_counts_the_files_of_the_run_it_resumes(stopped: int, folder: Path) -> None:
    class Stop(Callback):
        def settled(self, trainer: TrainerView) -> None:
            if trainer.optimizer.steps == stopped:
                raise KeyboardInterrupt

    def callbacks(*more: Callback) -> list[Callback]:
        return [bptt.Checkpoint("run-{step}", every_updates=1, keep=2), *more]

    data = [batch(seed) for seed in range(4)]
    with pytest.raises(KeyboardInterrupt):
        trainer(model(), callbacks=callbacks(Stop())).fit(data, epochs=2)
    assert names(folder) == {f"run-{stopped - 1}", f"run-{stopped}"}
    path, options = f"run-{stopped}", {"callbacks": callbacks(Callback()), "progress": False}
    resumed = Trainer.resume(path, bptt.CrossEntropy(), bptt.SGD(0.5), **options)
    resumed.fit(data, epochs=2)
    assert names(folder) == {"run-7", "run-8"}
    resumed.fit(data, epochs=1)
    assert names(folder) == {"run-7", "run-8", "run-11", "run-12"}


def test_early_stopping_and_the_best_file_start_afresh(folder: Path) -> None:
    stopping, checkpoint = bptt.EarlyStopping(2), bptt.Checkpoint("best-{step}", best=True)
    fit = scripted(stopping, checkpoint)
    fit.losses = (1.0, 2.0, 3.0)
    fit.fit([batch()], epochs=9, validation=[batch()])
    fit.losses = (5.0, 4.0, 4.5, 4.5)
    assert len(fit.fit([batch()], epochs=9, validation=[batch()])["loss"]) == 4
    assert stopping.best == 4.0
    assert names(folder) == {"best-1", "best-4", "best-5"}


def test_plateau_is_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    rng = np.random.default_rng(0)
    for patience in (0, 1, 2, 5):
        for first in ([], [np.nan], [np.inf], [np.nan] * 4):
            losses = [*first, *np.round(rng.random(40), 1)]
            ours = Plateau(1.0, factor=0.5, patience=patience)
            peer_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            peer = torch.optim.lr_scheduler.ReduceLROnPlateau(
                peer_optimizer, factor=0.5, patience=patience, threshold=0.0, eps=0.0
            )
            for loss in losses:
                ours.validation(None, 0, loss)  # type: ignore[arg-type]
                peer.step(loss)
                assert ours(0) == peer_optimizer.param_groups[0]["lr"]
