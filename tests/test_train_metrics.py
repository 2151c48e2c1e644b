"""Metrics in a training run: measured on the validation data, kept, shown, watched."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model, trainer

import bptt
from bptt.callbacks import Callback
from bptt.metrics import MAE, RMSE, Accuracy, BitsPerCharacter, Metric
from bptt.train import Trainer


class Scripted(Trainer):
    """What its validations find is given: pairs of loss and accuracy."""

    found: tuple[tuple[float, float], ...] = ()

    def measure(self, data: Any) -> dict[str, float]:
        loss, accuracy = self.found[len(self.history["validation_loss"])]
        return {"loss": loss, "accuracy": accuracy}


def scripted(found: list[tuple[float, float]], *callbacks: Callback, lr: Any = 0.1) -> Scripted:
    fit = Scripted(
        model(), bptt.CrossEntropy(), bptt.SGD(lr), metrics=[Accuracy()], callbacks=callbacks, progress=False
    )
    fit.found = tuple(found)
    return fit


def test_measured_after_each_epoch() -> None:
    net, data = model(), [batch(), batch(5, rows=2)]
    fit = trainer(net, metrics=[Accuracy(), BitsPerCharacter()])
    history = fit.fit([batch()], epochs=3, validation=data)
    right = sum(np.count_nonzero(net(x)[0].argmax(-1) == target) for x, target in data)
    count = sum(target.size for _, target in data)
    assert history["validation_accuracy"].shape == (3,)
    assert history["validation_accuracy"][-1] == right / count
    found = fit.measure(data)
    assert list(found) == ["loss", "accuracy", "bits_per_character"]
    assert found["loss"] == fit.evaluate(data) == history["validation_loss"][-1]
    np.testing.assert_allclose(found["bits_per_character"], found["loss"] / np.log(2), rtol=1e-12)


def test_masks_and_lengths_leave_rows_out() -> None:
    net = model()
    x, target = batch()
    lengths = np.array([12, 5, 0])
    mask = np.random.default_rng(0).random(target.shape) < 0.5
    data = [{"x": x, "target": target, "lengths": lengths, "mask": mask}]
    counted = mask & (np.arange(12)[:, None] < lengths)
    right = net(x, lengths=lengths)[0].argmax(-1) == target
    assert trainer(net, metrics=[Accuracy()]).measure(data)["accuracy"] == right[counted].mean()


def test_numbers() -> None:
    net = bptt.Sequential(bptt.LSTM(2, 3, seed=0), bptt.Linear(3, 2, seed=1))
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((2, 7, 3, 2))
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), metrics=[RMSE(), MAE()], progress=False)
    found, errors = fit.measure([(x, target)]), net(x)[0].astype(np.float64) - target
    np.testing.assert_allclose(found["rmse"], np.sqrt(np.mean(errors**2)), rtol=1e-12)
    np.testing.assert_allclose(found["mae"], np.mean(np.abs(errors)), rtol=1e-12)


def test_in_tables_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    log = bptt.CSVLog(tmp_path / "log.csv")
    fit = trainer(model(), metrics=[Accuracy()], callbacks=[log], progress=True)
    history = fit.fit([batch()], epochs=2, validation=[batch(7)])
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    found = [float(row["validation_accuracy"]) for row in rows if row["validation_accuracy"]]
    assert found == history["validation_accuracy"].tolist()
    assert f"accuracy {found[-1]:.4f}" in error.getvalue()
    table = history.to_pandas()
    assert table["validation_accuracy"].tolist() == found
    assert history.to_dict()["validation_accuracy"] == found


def test_a_table_without_an_update_between_validations() -> None:
    history = bptt.History(["accuracy"])
    history.add_validation(3.0, accuracy=0.5)
    history.add_validation(2.0, accuracy=0.75)
    assert history.validation() == {"validation_loss": 2.0, "validation_accuracy": 0.75}
    assert len(history.to_pandas()) == 0


def test_early_stopping_by_a_metric() -> None:
    stop = bptt.EarlyStopping(2, metric="accuracy")
    fit = scripted([(1, 0.5), (2, 0.75), (0.5, 0.75), (0.25, 0.7), (0.1, 0.9)], stop)
    assert len(fit.fit([batch()], epochs=5, validation=[batch()])["validation_loss"]) == 4
    assert stop.best == -0.75


def test_early_stopping_measures_from_the_last_improvement() -> None:
    stop = bptt.EarlyStopping(2, min_delta=0.5)
    fit = scripted([(3, 0), (2.75, 0), (2.25, 0), (2.0, 0), (1.8, 0), (1.6, 0)], stop)
    # 2.25 is 0.75 below 3, 1.6 is 0.65 below 2.25: each single fall is less than 0.5 below the one before.
    assert len(fit.fit([batch()], epochs=6, validation=[batch()])["validation_loss"]) == 5
    assert stop.best == 2.25


def test_plateau_by_a_metric() -> None:
    rate = bptt.schedules.Plateau(0.5, factor=0.5, patience=0, metric="accuracy")
    fit = scripted([(1, 0.5), (0.5, 0.5), (2, 0.75)], lr=rate)
    assert fit.fit([batch()], epochs=3, validation=[batch()])["lr"].tolist() == [0.5, 0.5, 0.25]
    assert rate.best == -0.75


@pytest.mark.parametrize(("best", "kept"), [(True, 3), ("accuracy", 2)])
def test_the_best_is_kept(best: bool | str, kept: int, tmp_path: Path) -> None:
    checkpoint = bptt.Checkpoint(tmp_path / "best-{epoch}", best=best, keep=1)
    fit = scripted([(3, 0.5), (2, 0.75), (1, 0.75), (1, 0.5)], checkpoint)
    fit.fit([batch()], epochs=4, validation=[batch()])
    assert [path.name for path in tmp_path.iterdir()] == [f"best-{kept}"]
    again = bptt.Checkpoint(tmp_path / "best-{epoch}", best=best, keep=1)
    again.load_state_dict(checkpoint.state_dict())
    assert again.state_dict() == checkpoint.state_dict()


def test_the_best_of_a_resumed_run_is_that_of_both_parts(tmp_path: Path) -> None:
    found = [(2.0, 0.5), (3.0, 0.5), (2.5, 0.5)]
    first = scripted(found, bptt.Checkpoint(tmp_path / "best", best=True), bptt.Checkpoint(tmp_path / "run"))
    first.fit([batch()], epochs=2, validation=[batch()])
    before = (tmp_path / "best").read_bytes()
    again = Scripted.resume(
        tmp_path / "run",
        bptt.CrossEntropy(),
        bptt.SGD(0.1),
        metrics=[Accuracy()],
        callbacks=[bptt.Checkpoint(tmp_path / "best", best=True)],
        progress=False,
    )
    again.found = tuple(found)
    history = again.fit([batch()], epochs=3, validation=[batch()])
    assert history["validation_accuracy"].tolist() == [0.5, 0.5, 0.5]
    assert (tmp_path / "best").read_bytes() == before


def test_a_resumed_run_has_the_same_metrics(tmp_path: Path) -> None:
    fit = trainer(model(), metrics=[Accuracy()])
    fit.fit([batch()], validation=[batch()])
    fit.save(tmp_path / "run")
    with pytest.raises(ValueError, match="metrics was"):
        Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), bptt.SGD(0.5), progress=False)


class Named(Metric):
    name = "loss"
    better = "lower"

    def _sums(self, y: Any, target: Any, mask: Any) -> tuple[float, int]:
        return 0.0, 1


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "no metric": (
        lambda: trainer(model(), metrics=["accuracy"]),
        TypeError,
        r"metrics must be a bptt\.Metric",
    ),
    "twice": (
        lambda: trainer(model(), metrics=[RMSE(), RMSE()]),
        ValueError,
        "different names.* rmse, rmse",
    ),
    "named loss": (lambda: trainer(model(), metrics=[Named()]), ValueError, "none may be named loss"),
    "unknown to stop by": (
        lambda: scripted([(1, 1)], bptt.EarlyStopping(metric="rmse")).fit([batch()], validation=[batch()]),
        ValueError,
        r"metric must name one of the trainer's metrics \(accuracy\); got 'rmse'",
    ),
    "best without validation": (
        lambda: trainer(model(), callbacks=[bptt.Checkpoint("best", best=True)]).fit([batch()]),
        ValueError,
        r"Checkpoint\(best=True\) watches the validation",
    ),
    "best every other": (
        lambda: bptt.Checkpoint("best", best=True, every_epochs=2),
        ValueError,
        "because best saves after each",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, error, message = BAD[name]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "Fix: " in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_training_with_mask_and_lengths() -> None:
    net, (x, target) = model(), batch()
    lengths, mask = np.array([12, 5, 0]), np.random.default_rng(1).random(target.shape) < 0.5
    counted = mask & (np.arange(12)[:, None] < lengths)
    expected = bptt.CrossEntropy().value(net(x, lengths=lengths)[0], target, counted)
    data = [{"x": x, "target": target, "mask": mask, "lengths": lengths}]
    assert trainer(net).fit(data)["loss"][0] == expected
