"""Random calls of losses, metrics, optimizers, clips and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tests.fuzz.calls.target import Target, unchanged
from tests.fuzz.draw import Draw

import bptt
from bptt.optim import NoClip

REGRESSION = ("MeanSquaredError", "MeanAbsoluteError", "Huber", "Quantile", "RMSE", "MAE")
METRICS_OF_CLASSES = ("AUC", "F1", "Precision", "Recall")


def losses_and_metrics(draw: Draw, name: str) -> object:
    T, B, C = draw.size(0, 4), draw.size(0, 3), draw.size(0 if draw.chance(0.1) else 1, 3)
    rows = draw.choose((T, B), (B,))
    y = draw.arg(lambda: draw.numbers(*rows, C))
    classes = name not in ("BinaryCrossEntropy", "BinaryAccuracy", *REGRESSION)
    kinds: list[Callable[[], Any]] = [
        lambda: draw.ids(2 if C == 1 else C, *rows, *((1,) if C == 1 and name in METRICS_OF_CLASSES else ())),
        lambda: draw.numbers(*rows, C),
        lambda: draw.rng.random((*rows, C)),
    ]
    fits = kinds[0] if classes else kinds[2]
    target = draw.arg(fits if draw.chance(0.8) else draw.choose(*kinds))
    mask = draw.arg(lambda: draw.choose(None, draw.bools(*rows)))
    weight = draw.arg(lambda: draw.choose(None, draw.rng.random(rows), np.zeros(rows)))
    if hasattr(bptt.metrics, name):
        averages = {"average": lambda: draw.choose("macro", "macro", "weighted", "micro", "binary")}
        options = averages if name in METRICS_OF_CLASSES else {}
        metric = getattr(bptt.metrics, name)(**draw.options(**options))
        metric.add(y, target, mask, weight)
        return metric.value if metric.count else None
    loss = getattr(bptt, name)(**loss_options(draw, name, C))
    loss.value(y, target, mask, weight)
    return loss(y, target, mask, weight)


def loss_options(draw: Draw, name: str, columns: int) -> dict[str, Any]:
    fraction, number = (lambda: draw.choose(0.0, 0.1, 0.9)), (lambda: draw.choose(0.1, 2.0))
    kinds: dict[str, dict[str, Callable[[], Any]]] = {
        "CrossEntropy": {
            "class_weight": lambda: draw.choose(None, draw.rng.random(columns)),
            "label_smoothing": fraction,
            "ignore_index": lambda: draw.choose(None, 0, -100),
        },
        "BinaryCrossEntropy": {"pos_weight": lambda: draw.choose(None, 2.0, draw.rng.random(columns))},
        "Huber": {"delta": number},
    }
    options = kinds.get(name, {}) | {"reduction": lambda: draw.choose("mean", "sum")}
    levels = {"levels": draw.arg(lambda: draw.choose(0.5, (0.1, 0.9)))} if name == "Quantile" else {}
    return levels | draw.options(**options)


def optimizer_options(draw: Draw, name: str) -> dict[str, Any]:
    options = {
        "lr": lambda: draw.choose(0.1, 1e-3, bptt.schedules.Constant(0.1)),
        "weight_decay": lambda: draw.choose(0.0, 0.1, {"*bias*": 0.0, "*": 0.1}, {"*weight*": 0.1}),
        "lr_factors": lambda: draw.choose(None, {"*bias*": 0.0}, {"*": 2.0}),
    }
    if name in ("SGD", "RMSProp"):
        options["momentum"] = lambda: draw.choose(0.0, 0.9)
    if name == "SGD":
        options["nesterov"] = draw.flag
    if name == "RMSProp":
        options |= {"eps": lambda: draw.choose(0.0, 1e-8), "centered": draw.flag}
        options["initial_accumulator"] = lambda: draw.choose(0.0, 1.0)
    if name in ("Adam", "AdamW"):
        options["amsgrad"] = draw.flag
        options["betas"] = lambda: draw.choose((0.9, 0.999), (0.0, 0.5))
    return draw.options(**options)


def optimizers(draw: Draw, name: str) -> object:
    optimizer = getattr(bptt, name)(**optimizer_options(draw, name))
    net: Any = draw.choose(bptt.Linear(2, 3, seed=1), bptt.Embedding(6, 3, sparse=True, seed=1))
    model = bptt.Sequential(net, bptt.Linear(3, 2, seed=2))
    model[1].trainable = draw.flag()
    for _ in range(2):
        y, _, tape = model.forward(np.array([1, 3]) if isinstance(net, bptt.Embedding) else np.ones((2, 2)))
        model.zero_grad()
        model.backward(tape, np.asarray(draw.numbers(*y.shape), "f4"))
        optimizer.step(draw.arg(lambda: model))
    given = draw.arg(optimizer.state_dict)
    with unchanged(model):
        optimizer.load_state_dict(given)
    optimizer.lr = draw.arg(lambda: 0.1)
    return optimizer.lr


def clips(draw: Draw, name: str) -> object:
    nonfinite = {"nonfinite": lambda: draw.choose("raise", "skip", "zero", "shrink")}
    limit = draw.arg(lambda: draw.choose(0.1, 1.0, 1e-30))
    net = bptt.RNN(2, 3, seed=1)
    net.flat_gradients[...] = np.asarray(draw.numbers(net.parameter_count), "f4")
    if name in ("clip_by_norm", "clip_by_value"):
        gradients = draw.arg(lambda: draw.choose(net, dict(net.gradients), net.flat_gradients))
        norms = {"norm": lambda: draw.choose(2, "inf")} if name == "clip_by_norm" else {}
        return getattr(bptt, name)(gradients, limit, **draw.options(**norms))
    if name == "ClipGroups":
        groups = draw.arg(lambda: {"*weight*": draw.choose(None, bptt.ClipNorm(0.1)), "*": draw.arg(NoClip)})
        clip: Any = bptt.ClipGroups(groups, **draw.options(**nonfinite))
    elif name == "ClipNorm":
        more: dict[str, Callable[[], Any]] = {"norm": lambda: draw.choose(2, "inf", np.inf)}
        more |= {"quantile": lambda: draw.choose(0.1, 0.9), "window": lambda: draw.choose(1, 5)}
        clip = bptt.ClipNorm(draw.choose("auto", limit), **draw.options(**nonfinite, **more))
    else:
        clip = bptt.ClipValue(limit, **draw.options(**nonfinite))
    clip(net)
    return clip(net)


def schedules(draw: Draw, name: str) -> object:
    number, count = (lambda: draw.choose(0.0, 0.1, 0.9)), (lambda: draw.size(1, 5))
    kinds: dict[str, Callable[[], Any]] = {
        "Constant": lambda: bptt.schedules.Constant(draw.arg(number)),
        "Step": lambda: bptt.schedules.Step(draw.arg(number), draw.arg(count), **draw.options(factor=number)),
        "Cosine": lambda: bptt.schedules.Cosine(
            draw.arg(number), draw.arg(count), **draw.options(final=number, restart=draw.flag)
        ),
        "Exponential": lambda: bptt.schedules.Exponential(draw.arg(number), draw.arg(number)),
        "MultiStep": lambda: bptt.schedules.MultiStep(
            draw.arg(number),
            draw.arg(lambda: [draw.size(1, 3), draw.size(3, 5)]),
            **draw.options(factor=number),
        ),
        "OneCycle": lambda: bptt.schedules.OneCycle(
            draw.arg(number), draw.arg(count), **draw.options(pct_start=number, three_phase=draw.flag)
        ),
        "WarmUp": lambda: bptt.schedules.WarmUp(draw.arg(count), draw.arg(number)),
        "Plateau": lambda: bptt.schedules.Plateau(
            draw.arg(number),
            **draw.options(factor=number, patience=count, min_delta=number, min_lr=number),
        ),
    }
    schedule = kinds[name]()
    return [schedule(step) for step in (0, 1, 7, 10**6)]


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("CrossEntropy", "BinaryCrossEntropy"), losses_and_metrics),
    **dict.fromkeys(("MeanSquaredError", "MeanAbsoluteError", "Huber", "Quantile"), losses_and_metrics),
    **dict.fromkeys(
        ("Accuracy", "BinaryAccuracy", "Perplexity", "BitsPerCharacter", "RMSE", "MAE"), losses_and_metrics
    ),
    **dict.fromkeys(("F1", "Precision", "Recall", "AUC"), losses_and_metrics),
    **dict.fromkeys(("SGD", "RMSProp", "Adam", "AdamW"), optimizers),
    **dict.fromkeys(("ClipNorm", "ClipValue", "ClipGroups", "clip_by_norm", "clip_by_value"), clips),
    **dict.fromkeys(("Constant", "Step", "Cosine", "WarmUp", "Plateau"), schedules),
    **dict.fromkeys(("Exponential", "MultiStep", "OneCycle"), schedules),
}
