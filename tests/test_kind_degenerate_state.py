"""Kind "state learnt from degenerate values": adaptive parts recover from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model

import bptt
from bptt.callbacks import Callback
from bptt.metrics import Accuracy
from bptt.optim import ClipGroups, ClipNorm
from bptt.train import Trainer

DEGENERATE: dict[str, list[float]] = {
    "nothing": [],
    "one value": [2.0],
    "zeros": [0.0] * 4,
    "a constant": [2.0] * 4,
    "NaN": [math.nan] * 4,
    "infinity": [math.inf] * 4,
    "minus infinity": [-math.inf] * 4,
    "tiny": [1e-300] * 4,
    "huge": [1e300] * 4,
    "all of them": [0.0, math.nan, math.inf, -math.inf, 1e300, 1e-300, 0.0],
}
NORMAL = [2.0, 1.5, 1.25, 1.0, 1.125, 0.75]

# Gradient clipping


def clipped(clip: Any, size: float) -> float:
    """The norm that is left of a gradient of this norm."""
    gradient = {"w": np.array([0.6, 0.8]) * size}
    clip(gradient)
    return float(np.linalg.norm(gradient["w"]))


def test_auto_clip(subtests: pytest.Subtests) -> None:
    for name in DEGENERATE:
        with subtests.test(name):
            for policy in ["skip", "zero", "shrink"]:
                net = bptt.Linear(2, 1, bias=False, dtype="float64", seed=0)
                window = 20
                alone = ClipNorm("auto", policy, window=window)
                grouped = ClipGroups({"*": ClipNorm("auto", window=window)}, policy)
                for clip in (alone, grouped):
                    for size in DEGENERATE[name]:
                        with np.errstate(invalid="ignore"):
                            net.flat_gradients[...] = np.array([0.6, 0.8]) * size
                        clip(net)
                    after = []
                    for size in (NORMAL * 6)[: window + 10]:
                        net.flat_gradients[...] = np.array([0.6, 0.8]) * size
                        clip(net)
                        after.append(float(np.linalg.norm(net.flat_gradients)))
                    # At the latest when the window has passed, the limit is that of the normal norms alone.
                    limit = np.quantile((NORMAL * 6)[10 : window + 10], 0.1)
                    assert after[-1] == pytest.approx(min(NORMAL[(window + 9) % 6], limit), rel=1e-12)
                    if name in ("zeros", "NaN", "infinity", "minus infinity", "nothing"):
                        assert after[0] == NORMAL[0]  # nothing was learnt: no limit yet


def test_auto_clip_ignores_norms_of_zero() -> None:
    clip = ClipNorm("auto")
    for _ in range(30):
        assert clipped(clip, 0.0) == 0.0
    assert clip.max_norm == math.inf
    assert clipped(clip, 5.0) == pytest.approx(5.0)
    assert clip.max_norm == pytest.approx(5.0)
    assert clipped(clip, 0.0) == 0.0
    assert clip.max_norm == pytest.approx(5.0)


def test_auto_clip_ignores_norms_beyond_float64() -> None:
    clip = ClipNorm("auto", window=4)
    for _ in range(3):
        clip({"w": np.full(4, 1.5e308)})  # type: ignore[arg-type]
    assert clip.max_norm == math.inf
    clipped(clip, 5.0)
    assert clip.max_norm == pytest.approx(5.0)
    gradient = {"w": np.full(4, 1.5e308)}
    clip(gradient)  # type: ignore[arg-type]
    np.testing.assert_allclose(gradient["w"], 2.5, rtol=1e-12)


def test_auto_clip_learns_nothing_from_a_gradient_with_entries_zeroed() -> None:
    clip = ClipNorm("auto", "zero")
    gradient = np.array([math.nan, 1e-9])
    clip(gradient)  # type: ignore[arg-type]
    assert clip.max_norm == math.inf
    np.testing.assert_array_equal(gradient, [0.0, 1e-9])


# Callbacks and schedules that follow the validation


class Scripted(Trainer):
    """A trainer with given validation losses, and the accuracy 1 - loss."""

    losses: tuple[float, ...] = ()

    def measure(self, data: Any) -> dict[str, float]:
        loss = self.losses[len(self.history["validation_loss"])]
        return {"loss": loss, "accuracy": 1 - loss}


def run(losses: list[float], callback: Callback, rate: Any = 0.1) -> Scripted:
    fit = Scripted(
        model(),
        bptt.CrossEntropy(),
        bptt.SGD(rate),
        metrics=[Accuracy()],
        callbacks=[callback],
        progress=False,
    )
    fit.losses = tuple(losses)
    fit.fit([batch(steps=1)], epochs=len(losses), validation=[batch(steps=1)])
    return fit


def useless(name: str) -> bool:
    """Whether normal losses improve on these."""
    return not any(math.isfinite(value) and value <= min(NORMAL) for value in DEGENERATE[name])


def test_plateau(subtests: pytest.Subtests) -> None:
    for name in DEGENERATE:
        with subtests.test(name):
            for metric in [None, "accuracy"]:
                schedule = bptt.schedules.Plateau(1.0, factor=0.5, patience=1, metric=metric)
                run(DEGENERATE[name] + NORMAL, schedule, schedule)
                before = schedule.cuts
                if useless(name):
                    assert schedule.best == (NORMAL[-1] if metric is None else NORMAL[-1] - 1)
                    assert schedule.waited == 0
                later = NORMAL[-1] if useless(name) else min(x for x in DEGENERATE[name] if math.isfinite(x))
                for _ in range(2):  # patience 1: the second failure lowers the rate
                    schedule.validation(fake(later), 0, later)
                assert schedule.cuts == before + 1


def fake(loss: float) -> Any:
    """A trainer of which only the last validation is looked at."""
    history = bptt.History(["accuracy"])
    history.add_validation(loss=loss, accuracy=1 - loss)
    return SimpleNamespace(history=history, metrics=(Accuracy(),))


def test_early_stopping(subtests: pytest.Subtests) -> None:
    for name in DEGENERATE:
        with subtests.test(name):
            for metric in [None, "accuracy"]:
                stopping = bptt.EarlyStopping(20, metric=metric)
                fit = run(DEGENERATE[name] + NORMAL, stopping)
                assert len(fit.history["validation_loss"]) == len(DEGENERATE[name] + NORMAL)
                if useless(name):
                    assert stopping.best == (NORMAL[-1] if metric is None else NORMAL[-1] - 1)
                impatient = bptt.EarlyStopping(2, metric=metric)
                fit = run([*DEGENERATE[name][:1], *NORMAL, 9.0, 9.0, 9.0], impatient)
                if useless(name) or not DEGENERATE[name]:
                    assert len(fit.history["validation_loss"]) == len(DEGENERATE[name][:1]) + len(NORMAL) + 2


def test_keep_best(subtests: pytest.Subtests) -> None:
    for name in DEGENERATE:
        with subtests.test(name):
            best = bptt.KeepBest()
            fit = run(DEGENERATE[name] + NORMAL, best)
            expected = min(x for x in DEGENERATE[name] + NORMAL if math.isfinite(x))
            assert best.loss == expected
            if expected == NORMAL[-1]:
                other = model()
                best.restore(other)
                np.testing.assert_array_equal(other.flat_parameters, fit.model.flat_parameters)


@pytest.mark.parametrize("metric", [True, "accuracy"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_checkpoint_of_the_best(name: str, metric: bool | str, tmp_path: Path) -> None:
    checkpoint = bptt.Checkpoint(tmp_path / "best-{epoch}", best=metric)
    run(DEGENERATE[name] + NORMAL, checkpoint)
    losses = DEGENERATE[name] + NORMAL
    expected = losses.index(min(x for x in losses if math.isfinite(x))) + 1
    assert checkpoint.last == tmp_path / f"best-{expected}"


# Schedules and optimizers


SCHEDULES: dict[str, Callable[[float], Any]] = {
    "constant": bptt.schedules.Constant,
    "step": lambda lr: bptt.schedules.Step(lr, 2),
    "cosine": lambda lr: bptt.schedules.Cosine(lr, 1),
    "warm-up": lambda lr: bptt.schedules.WarmUp(1, lr),
    "plateau": bptt.schedules.Plateau,
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_finite(name: str) -> None:
    for lr in [0.0, 1e-300, 1e300]:
        schedule = SCHEDULES[name](lr)
        rates = [schedule(step) for step in (0, 1, 2, 3, 10**6, 10**18)]
        assert all(0 <= rate <= lr for rate in rates)


@pytest.mark.parametrize("kind", ["SGD", "RMSProp", "Adam", "AdamW"])
def test_optimizers_learn_after(kind: str) -> None:
    for size in [0.0, 1e-38, 1e19, 3e38]:
        net = bptt.Linear(5, 1, bias=False, seed=0)
        optimizer = getattr(bptt, kind)(0.01)
        for _ in range(4):
            net.flat_gradients[...] = size
            optimizer.step(net)
        if kind == "SGD":
            net.flat_parameters[...] = 0  # plain SGD went as far as it was told
        before = net.flat_parameters.copy()
        net.flat_gradients[...] = -max(size, 1.0)
        for _ in range(12):
            optimizer.step(net)
        moved = net.flat_parameters - before
        assert (np.isfinite(moved) & (moved > 0)).all()
