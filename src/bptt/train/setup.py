"""Check and convert the arguments of a Trainer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bptt.arguments import short, size
from bptt.callbacks.callback import Callback
from bptt.data.batches import batch_count
from bptt.layers import Module
from bptt.losses.function import FunctionLoss
from bptt.losses.loss import Loss
from bptt.metrics.metric import Metric
from bptt.optim.clip import Clip
from bptt.optim.optimizer import Optimizer
from bptt.optim.regularizers import PascanuRegularizer
from bptt.ranks.ranks import Ranks


def check_parts(
    model: Module, optimizer: object, clip: object, regularizer: PascanuRegularizer | None
) -> None:
    """Raise TypeError if an argument has the wrong type, ValueError if the regularizer cannot be used."""
    _check(model, "model", Module, "a layer, or Sequential(...)")
    _check(optimizer, "optimizer", Optimizer, "Adam(1e-3)")
    if clip is not None:
        _check(clip, "clip", Clip, "ClipNorm(5.0)")
    if regularizer is not None:
        _check(regularizer, "regularizer", PascanuRegularizer, "PascanuRegularizer(4.0)")
        regularizer.check(model)


def parse_loss(value: Any) -> Loss:
    """Return the loss; a function becomes a `FunctionLoss`."""
    if not isinstance(value, (Loss, type)) and callable(value):
        return FunctionLoss(value)
    _check(value, "loss", Loss, "CrossEntropy()")
    loss: Loss = value
    return loss


def parse_metrics(value: Iterable[Metric]) -> tuple[Metric, ...]:
    """Check the metrics and their names."""
    metrics = _several(value, "metrics", Metric, "[bptt.metrics.Accuracy()]")
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1 or name in ("loss", "step"):
            raise ValueError(
                f"metrics must have different names, and none may be named loss or step; got "
                f"{', '.join(names)}. Fix: leave one {name} out."
            )
    return metrics


def parse_callbacks(value: Iterable[Callback]) -> tuple[Callback, ...]:
    """Check the callbacks."""
    return _several(value, "callbacks", Callback, "[bptt.EarlyStopping()]")


def parse_truncate(value: object) -> int | tuple[int, int] | None:
    """Check the length of windows, or the pair (k1, k2)."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)):
        return size(value, "truncate")
    if len(value) != 2:
        raise ValueError(
            f"truncate must be a number of steps or a pair (k1, k2); got {len(value)} numbers. "
            "Fix: pass truncate=(10, 30) to update every 10 steps and backpropagate 30 steps."
        )
    return size(value[0], "truncate[0]"), size(value[1], "truncate[1]")


def check_validation(validation: object, metrics: tuple[Metric, ...]) -> None:
    """Raise ValueError if there are metrics, but no validation data to measure them on."""
    if metrics and validation is None:
        raise ValueError(
            f"validation must be given if the Trainer has metrics ({metrics[0].name}, ...); got "
            "none. Fix: call fit(data, validation=...), or leave metrics out and call measure(data)."
        )


def check_batches(validation: object, ranks: Ranks) -> None:
    """Raise ValueError if the validation data have no batch on any rank."""
    if validation is not None and ranks.holds(batch_count(validation) == 0):
        raise ValueError(
            "validation must give at least one batch; got none. Fix: pass a batch, or validation=None."
        )


def warn_if_all_is_fixed(model: Module, optimizer: Optimizer) -> None:
    """Warn if no update can change a parameter."""
    if set(model.parameters) <= optimizer.fixed(model):
        warnings.warn(
            "model must have a parameter that training changes; got fixed parameters only. Fix: set "
            "layer.trainable = True or a learning-rate factor above 0, or call trainer.measure(data).",
            UserWarning,
            stacklevel=3,  # the line that calls Trainer.fit
        )


def refuse_arrays(data: object, epochs: object, validation: object = None) -> None:
    """Raise TypeError for `fit(x, y)`, `fit((x, y))` and `validation=(x, y)`, as in other libraries."""
    if getattr(epochs, "ndim", 0) or isinstance(epochs, (list, tuple)):
        raise TypeError(
            f"epochs must be an int; got {type(epochs).__name__}, perhaps the target. Fix: pass batches, "
            f"{_AS_BATCHES}."
        )
    for name, value in (("data", data), ("validation", validation)):
        if hasattr(value, "__array__"):
            raise TypeError(
                f"{name} must be an iterable of batches; got one {type(value).__name__}. "
                f"Fix: pass {_AS_BATCHES}."
            )
        if isinstance(value, tuple) and len(value) in (2, 3) and all(hasattr(each, "ndim") for each in value):
            raise TypeError(
                f"{name} must be an iterable of batches; got a tuple of {len(value)} arrays. "
                f"Fix: pass {_AS_BATCHES}."
            )


_AS_BATCHES = (
    "bptt.data.Arrays(x, y, batch_size=32) for x (N, T, features), or [(x, target)] for one batch "
    "(T, B, features), or (B, T, features) for layers with batch_first=True"
)


def _several(value: Any, name: str, kind: type[Any], example: str) -> tuple[Any, ...]:
    """Return the objects of a list, or a single object, as a tuple."""
    if isinstance(value, kind):
        return (value,)
    if not np.iterable(value) or isinstance(value, (str, bytes, Mapping)):
        raise TypeError(
            f"{name} must be a list of bptt.{kind.__name__} objects; got {short(value)} of type "
            f"{type(value).__name__}. Fix: pass {example}."
        )
    objects = tuple(value)
    for entry in objects:
        _check(entry, name, kind, example)
    return objects


_BY_NAME = {
    "loss": {
        "mse": "MeanSquaredError()",
        "mean_squared_error": "MeanSquaredError()",
        "cross_entropy": "CrossEntropy()",
        "crossentropy": "CrossEntropy()",
        "categorical_crossentropy": "CrossEntropy()",
        "sparse_categorical_crossentropy": "CrossEntropy()",
        "bce": "BinaryCrossEntropy()",
        "binary_cross_entropy": "BinaryCrossEntropy()",
        "binary_crossentropy": "BinaryCrossEntropy()",
    },
    "optimizer": {
        "sgd": "SGD(0.01)",
        "rmsprop": "RMSProp(1e-3)",
        "adam": "Adam(1e-3)",
        "adamw": "AdamW(1e-3)",
    },
}
"""For each argument of `Trainer`: names that other libraries use, and our classes."""


_EXPECTED = {
    "loss": "a bptt.Loss, or a function f(y, target, mask) -> (value, dy)",
    "clip": "a bptt.ClipNorm, ClipValue or ClipGroups",
}
"""What is accepted for an argument, where its base class alone does not tell."""


def _check(value: object, name: str, kind: type, example: str) -> None:
    if isinstance(value, kind):
        return
    known = _BY_NAME.get(name, {})
    if isinstance(value, str):
        example = f"bptt.{known[value.lower()]}" if value.lower() in known else example
    elif isinstance(value, type) and issubclass(value, kind):
        example = f"an object, {value.__name__}(...)"
    elif name == "clip" and isinstance(value, (int, float)) and 0 < value < math.inf and value is not True:
        example = f"bptt.ClipNorm({value})"
    expected = _EXPECTED.get(name, f"a bptt.{kind.__name__}")
    raise TypeError(
        f"{name} must be {expected}; got {short(value)} of type {type(value).__name__}. Fix: pass {example}."
    )
