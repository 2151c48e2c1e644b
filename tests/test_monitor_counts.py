"""GradientMonitor counts updates, goes on after a resume, and leaves training's tape alone."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_monitor import LAST, STEPWISE, B, T, X, fit, heard, identity, net

import bptt
from bptt.callbacks import Callback, GradientWarning, TrainerView
from bptt.files import CheckpointError


def trainer(model: bptt.Module, *callbacks: Callback, **options: Any) -> bptt.Trainer:
    return bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.SGD(1e-12), callbacks=callbacks, progress=False, **options
    )


def test_accumulated_batches_are_one_update() -> None:
    monitor = bptt.GradientMonitor(every_updates=2, warn=False)
    run = fit(net(), monitor, [(X, STEPWISE)] * 24, accumulate=4)
    assert len(run.history["loss"]) == 6
    assert monitor.updates.tolist() == [0, 2, 4]
    texts = heard(
        lambda: fit(identity(1.5), bptt.GradientMonitor(every_updates=1), [(X, LAST)] * 8, accumulate=8)
    )
    assert len(texts) == 1
    assert texts[0].startswith("At update 0: ")


def test_first_batch_of_an_update_that_is_not_all_padding_is_recorded() -> None:
    monitor = bptt.GradientMonitor(every_updates=1, warn=False)
    empty, whole, short = ((X, STEPWISE, [length] * B) for length in (0, T, 9))
    fit(net(), monitor, [empty, whole, short, whole], accumulate=2)
    assert monitor.updates.tolist() == [0, 1]
    assert [int(np.isfinite(record).sum()) for record in monitor.dh_norm] == [T, 9]


def test_counts_go_on_in_a_second_fit() -> None:
    monitor = bptt.GradientMonitor(every_updates=2, warn=False)
    run = trainer(net(), monitor)
    for _ in range(2):
        run.fit([(X, STEPWISE)] * 3)
    assert monitor.updates.tolist() == [0, 2, 4]


@pytest.mark.parametrize("stop", range(1, 12))
def test_resumed_run_has_the_records_of_an_unbroken_one(stop: int, tmp_path: Path) -> None:
    """From after every update: numbers, norms, thinning, and how often it has vanished."""
    data = [(np.abs(X[: 12 + 5 * k]), LAST) for k in range(4)]

    class Save(Callback):
        def settled(self, trainer: TrainerView) -> None:
            if trainer.optimizer.steps == stop:
                trainer.save(tmp_path / "run.safetensors")

    def watch() -> bptt.GradientMonitor:
        return bptt.GradientMonitor(every_updates=1, records=5, patience=7)

    unbroken, resumed = watch(), watch()
    whole = heard(lambda: trainer(identity(0.5), unbroken, Save()).fit(data, epochs=3))
    assert len(whole) == 1
    run = bptt.Trainer.resume(
        tmp_path / "run.safetensors",
        bptt.MeanSquaredError(),
        bptt.SGD(1e-12),
        callbacks=[resumed],
        progress=False,
    )
    assert (resumed.updates < stop).all()
    rest = heard(lambda: run.fit(data, epochs=3))
    np.testing.assert_array_equal(resumed.updates, unbroken.updates)
    np.testing.assert_array_equal(resumed.dh_norm, unbroken.dh_norm)
    np.testing.assert_array_equal(resumed.steps_back, unbroken.steps_back)
    assert rest == ([] if stop > int(whole[0].split(":")[0].split()[-1]) else whole)


def test_a_monitor_that_joins_on_resume_counts_the_updates_before(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    trainer(net(), bptt.Checkpoint(path)).fit([(X, STEPWISE)] * 5)
    monitor = bptt.GradientMonitor(every_updates=4, warn=False)
    run = bptt.Trainer.resume(
        path, bptt.MeanSquaredError(), bptt.SGD(1e-12), callbacks=[monitor], progress=False
    )
    run.fit([(X, STEPWISE)] * 5, epochs=2)
    assert monitor.updates.tolist() == [8]


def test_a_resumed_monitor_draws_before_it_records(tmp_path: Path) -> None:
    monitor, other = (
        bptt.GradientMonitor(every_updates=1, warn=False),
        bptt.GradientMonitor(every_updates=1, warn=False),
    )
    fit(net(), monitor, [(X, STEPWISE)] * 3)
    other.load_state_dict(monitor.state_dict())
    other.plot(tmp_path / "records.svg")
    with pytest.raises(ValueError, match="a new GradientMonitor for each model"):
        fit(net(bidirectional=True), other, [(X, STEPWISE)])


FORGED: dict[str, Any] = {
    "updates_done": -1,
    "every_updates": 0,
    "stride": 0,
    "names": [],
    "updates": [7],
    "lengths": [2**63],
    "norms": np.zeros((3, 3)),
    "vanished": [[0, "x"]],
    "said": [[-1, "exploding"]],
}


@pytest.mark.parametrize("name", FORGED)
def test_records_that_do_not_fit_are_refused(name: str) -> None:
    monitor = bptt.GradientMonitor(every_updates=1, warn=False)
    fit(net(), monitor, [(X, STEPWISE)] * 3)
    before = copy.deepcopy(monitor.state_dict())
    with pytest.raises((ValueError, TypeError)):
        monitor.load_state_dict(before | {name: FORGED[name]})
    np.testing.assert_equal(monitor.state_dict(), before)


def test_a_file_with_forged_records_is_damaged(tmp_path: Path) -> None:
    class Forged(bptt.GradientMonitor):
        def state_dict(self) -> dict[str, Any]:
            return super().state_dict() | {"lengths": [10**9]}

    Forged.__name__ = "GradientMonitor"
    path = tmp_path / "run.safetensors"
    forged = Forged(every_updates=1, warn=False)
    trainer(net(), forged, bptt.Checkpoint(path)).fit([(X, STEPWISE)])
    with pytest.raises(CheckpointError, match="damaged"):
        bptt.Trainer.resume(
            path,
            bptt.MeanSquaredError(),
            bptt.SGD(1e-12),
            callbacks=[bptt.GradientMonitor(every_updates=1, warn=False)],
            progress=False,
        )


MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both directions": {"bidirectional": True},
    "ragged": {"lengths": [T, 5, 0, T]},
    "recomputed": {"checkpoint": 7},
    "truncated": {"truncate": (5, 11)},
    "bounded": {"clip_state": 0.5},
    "regularized": {"regularizer": bptt.PascanuRegularizer(1.0)},
}


@pytest.mark.parametrize("name", MODELS)
def test_later_callbacks_see_the_errors_of_training(name: str) -> None:
    seen: list[Any] = []

    class Look(Callback):
        def backward(self, trainer: TrainerView, tape: Any, dy: Any) -> None:
            (part, _) = tape.tapes
            errors = () if part.dh is None else part.dh
            seen.append([part.dh_norm.copy(), *(error.copy() for error in errors)])

    options = dict(MODELS[name])
    own = {key: options.pop(key) for key in ("bidirectional",) if key in options}
    lengths = options.pop("lengths", None)
    batch = (X, STEPWISE + 1) if lengths is None else (X, STEPWISE + 1, lengths)
    for callbacks in ([Look()], [bptt.GradientMonitor(every_updates=1, warn=False), Look()]):
        model = net(**own)
        bptt.Trainer(
            model, bptt.MeanSquaredError(), bptt.SGD(0.1), callbacks=callbacks, progress=False, **options
        ).fit([batch] * 2)
    half = len(seen) // 2
    np.testing.assert_equal(seen[half:], seen[:half])


def test_no_error_of_training_is_no_dead_network() -> None:
    """A loss that is already 0 sends nothing back; the network could."""
    model = identity(1.0)
    x = np.abs(X)
    target = model(x)[0]
    assert not heard(lambda: fit(model, bptt.GradientMonitor(1, patience=1), [(x, target)]))


def test_remedies_in_use_are_not_named() -> None:
    for options, named in (
        ({}, "clip=bptt.ClipNorm"),
        ({"clip": bptt.ClipNorm(5.0)}, "clip_state="),
        ({"clip": bptt.ClipNorm(5.0), "clip_state": 1e9}, "init="),
    ):
        model = identity(1.5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GradientWarning)
            fit(model, bptt.GradientMonitor(1), [(np.abs(X), LAST)], **options)
        (text,) = [str(warning.message) for warning in caught]
        assert "truncate=" not in text  # after Last there is one target per sequence
        assert named in text
        for name in options:
            assert f"{name}=" not in text
