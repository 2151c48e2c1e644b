"""Random calls of the Trainer and of callbacks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from tests.fuzz.calls.models import a_model
from tests.fuzz.calls.target import Target
from tests.fuzz.draw import Draw

import bptt
from bptt.optim import NoClip


def training(draw: Draw, name: str) -> object:
    """Trainer with drawn options and data: fit, evaluate, measure, predict."""
    model = a_model(draw)
    if model is None:
        return None
    T, B, per_step = (
        draw.size(0, 5),
        draw.size(0, 3),
        not any(type(part) is bptt.Last for part in model.layers),
    )
    per_step = per_step and not any(isinstance(part, bptt.Ends) for part in model.layers)
    rows = (T, B) if per_step else (B,)
    batches = []
    for _ in range(draw.size(0, 3)):
        batch = {
            "x": draw.arg(lambda: draw.numbers(T, B, model.layers[0].input_size)),
            "target": draw.arg(lambda: draw.ids(2, *rows)),
            **draw.options(
                lengths=lambda: draw.rng.integers(0, T + 1, B),
                mask=lambda: draw.bools(*rows),
                weight=lambda: draw.choose(draw.rng.random(rows), np.zeros(rows)),
                reset=lambda: draw.bools(T, B),
                skip=lambda: draw.bools(T, B),
            ),
        }
        batches.append(draw.arg(lambda b=batch: b))  # type: ignore[misc]
    options = draw.options(
        clip=lambda: draw.choose(None, bptt.ClipNorm(1.0), bptt.ClipNorm("auto", "skip"), NoClip("zero")),
        clip_state=lambda: draw.choose(None, 0.1),
        truncate=lambda: draw.choose(None, 2, (1, 3)),
        checkpoint=lambda: draw.choose(None, 2),
        accumulate=lambda: draw.choose(1, 2),
        metrics=lambda: draw.choose((), [bptt.metrics.Accuracy()]),
        callbacks=lambda: draw.choose((), [a_callback(draw)]),
        seed=lambda: draw.size(0, 5),
    )
    loss = draw.arg(bptt.CrossEntropy)
    trainer = bptt.Trainer(model, loss, draw.arg(lambda: bptt.SGD(0.1)), progress=False, **options)
    data = draw.arg(lambda: batches)
    if name == "fit":
        validation = draw.options(validation=lambda: batches)
        epochs = draw.arg(lambda: draw.choose(1, 2))
        if isinstance(epochs, int) and 100 < epochs <= sys.maxsize:
            return None  # it would do as it was told, and train for years
        budgets = draw.options(
            max_updates=lambda: draw.choose(None, 1, 3), max_seconds=lambda: draw.choose(None, 60.0)
        )
        return trainer.fit(data, epochs, **validation, **budgets)
    if name == "learning_rate_range":
        curve = bptt.learning_rate_range(
            draw.arg(lambda: trainer),
            data,
            **draw.options(
                low=lambda: draw.choose(1e-6, 0.1),
                high=lambda: draw.choose(0.5, 10.0),
                updates=lambda: draw.size(2, 5),
            ),
        )
        return curve.smoothed, curve.suggestion, repr(curve)
    return getattr(trainer, name)(data)


def a_callback(draw: Draw) -> Any:
    """A callback that watches a run."""
    kinds: list[Callable[[], Any]] = [
        lambda: bptt.EarlyStopping(1, restore_best=draw.flag()),
        lambda: bptt.GradientMonitor(warn=False),
        lambda: bptt.Until(draw.choose("loss", "accuracy"), below=draw.choose(0.5, 10.0)),
        lambda: bptt.KeepBest(),
    ]
    return draw.choose(*kinds)()


def curves(draw: Draw, name: str) -> object:
    """Pictures of histories, which may have no updates."""
    if find_spec("matplotlib") is None:
        return None

    def history() -> Any:
        columns = {"loss": draw.numbers(draw.size(0, 4)), "lr": draw.numbers(draw.size(0, 2))}
        return draw.arg(lambda: draw.choose(columns, bptt.History()))

    runs = {draw.choose("gru", "lstm", "", "$x$", 3): draw.arg(lambda: draw.choose(history(), [history()]))}
    metric = draw.options(metric=lambda: draw.choose("loss", "lr", "validation_loss", "validation_accuracy"))
    return bptt.plot_histories(draw.arg(lambda: runs), **metric, **draw.options(ax=lambda: None))


def callbacks(draw: Draw, name: str) -> object:
    number, count = (lambda: draw.choose(0.0, 0.5)), (lambda: draw.size(1, 4))
    options: dict[str, dict[str, Callable[[], Any]]] = {
        "EarlyStopping": {
            "patience": count,
            "min_delta": number,
            "metric": lambda: "accuracy",
            "restore_best": draw.flag,
        },
        "Until": {"above": number, "below": number},
        "GradientMonitor": {
            "every_updates": count,
            "records": lambda: 9,
            "patience": count,
            "warn": draw.flag,
        },
        "Checkpoint": {"every_epochs": count, "every_updates": count, "keep": count, "best": draw.flag},
        "KeepBest": {},
        "PascanuRegularizer": {"weight": number},
    }
    paths = {"Checkpoint": ("run", "run-{step}", "{}"), "Until": ("loss", "accuracy")}
    path = [draw.arg(lambda: draw.choose(*paths[name]))] if name in paths else []
    return getattr(bptt, name)(*path, **draw.options(**options[name]))


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("fit", "evaluate", "measure", "predict", "learning_rate_range"), training),
    **dict.fromkeys(
        ("EarlyStopping", "GradientMonitor", "Checkpoint", "KeepBest", "Until", "PascanuRegularizer"),
        callbacks,
    ),
    "plot_histories": curves,
}
