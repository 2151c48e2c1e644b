"""Models as arguments of functions that write them in another form."""

from __future__ import annotations

import os

from bptt.arguments import short
from bptt.layers.module import Module
from bptt.layers.passes.frozen import Frozen


def parse_model(model: object, name: str) -> Module:
    """Return a layer or model, that of a snapshot if `model` is one.

    Raises
    ------
    TypeError
        If `model` is something else. For estimators and modules of PyTorch, the fix says how to get a model.
    """
    if isinstance(model, Frozen):
        model = model.layer
    if isinstance(model, Module):
        return model
    fix = "pass the model itself, such as bptt.LSTM(3, 8)"
    if isinstance(getattr(model, "model_", None), Module):
        fix = "pass the network of the estimator, estimator.model_"
    elif isinstance(model, (str, os.PathLike)):
        fix = "pass the model first, and then the path. bptt.load reads the model of a file"
    elif hasattr(model, "predict") and hasattr(model, "get_params"):
        fix = "fit the estimator, and pass its network, estimator.model_"
    elif hasattr(model, "named_parameters"):
        fix = "convert it first, bptt.interop.from_torch(module)"
    elif hasattr(model, "get_weights"):
        fix = "convert it first, bptt.interop.from_keras(layer)"
    raise TypeError(
        f"{name} must be a layer or a model of bptt; got {short(model)} of type {type(model).__name__}. "
        f"Fix: {fix}."
    )
