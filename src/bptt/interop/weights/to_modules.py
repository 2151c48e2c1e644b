"""Modules of PyTorch from layers and models."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from bptt.interop.weights.limits import refuse_options, unsupported
from bptt.interop.weights.pytorch import RECURRENT, pytorch
from bptt.layers import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Repeat,
    Sequential,
    Softmax,
    TiedLinear,
)
from bptt.layers.model_argument import parse_model
from bptt.layers.passes.frozen import Frozen
from bptt.layers.stateless.activations import Elementwise
from bptt.layers.stateless.over_time import OverTime


def to_torch(layer: Module | Frozen[Any]) -> Any:
    """Build a PyTorch module from a layer or model, with copies of its weights.

    Parameters
    ----------
    layer : Module or Frozen
        An `RNN`, `LSTM` or `GRU` with only the options that PyTorch has, a layer without state, or a
        `Sequential` of such layers.

    Returns
    -------
    torch.nn.Module
        The module of the same name in `torch.nn`. A `Sequential` becomes a `torch.nn.Sequential` with modules
        for `Last`, `Ends`, the pools and `Repeat`. It passes on only the outputs of its recurrent modules.
        Its state dict has the names of `layer.state_dict()`, and the weight of a `TiedLinear` a second time.
        It takes no lengths.

    Raises
    ------
    TypeError
        If `layer` is not a layer, or PyTorch has no such layer. The message names it.
    ValueError
        If the layer has an option that PyTorch lacks.
    ImportError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch
    >>> import bptt
    >>> module = bptt.interop.to_torch(bptt.LSTM(3, 8))
    >>> y, (h, c) = module(torch.ones(20, 4, 3))
    >>> type(module).__name__, tuple(y.shape)
    ('LSTM', (20, 4, 8))
    """
    torch = pytorch("bptt.interop.to_torch")
    layer = parse_model(layer, "layer")
    # The modules draw initial weights, which must not move the random generator of the user's script.
    with torch.random.fork_rng(devices=()):
        return _module(torch, layer, "layer", {})


def _module(torch: Any, layer: Any, place: str, embeddings: dict[int, Any]) -> Any:
    if isinstance(layer, Sequential):
        chain = import_module("bptt.interop.weights.chain")
        parts = (_module(torch, part, f"{place}[{k}]", embeddings) for k, part in enumerate(layer))
        return chain.Chain(*parts)
    dtype = getattr(torch, layer.dtype.name)
    known: Any = getattr(torch.nn, layer.kind, None)
    if layer.kind in RECURRENT:
        supported = RECURRENT[layer.kind]
        if getattr(layer, "nonlinearity", "relu") != "relu":  # tanh is the default, and no other is allowed
            refuse_options(layer, {*supported, "dtype"} - {"nonlinearity"}, "PyTorch")
        refuse_options(layer, {*supported, "dtype"}, "PyTorch")
        arguments = {name: getattr(layer, name) for name in supported}
    elif isinstance(layer, Linear):
        arguments = {name: getattr(layer, name) for name in ("in_features", "out_features", "bias")}
    elif isinstance(layer, TiedLinear):
        return _tied(torch, layer, place, embeddings)
    elif isinstance(layer, Embedding):
        names = ("num_embeddings", "embedding_dim", "padding_idx", "sparse")
        arguments = {name: getattr(layer, name) for name in names}
    elif isinstance(layer, LayerNorm):
        names = ("normalized_shape", "eps", "elementwise_affine", "bias")
        arguments = {name: getattr(layer, name) for name in names}
    elif isinstance(layer, Dropout):
        return torch.nn.Dropout(layer.p)
    elif isinstance(layer, (OverTime, Repeat)):
        return _over_time(layer, place)
    elif known is not None and isinstance(layer, (Elementwise, Softmax)):
        return known(dim=-1) if layer.kind == "Softmax" else known()
    else:
        raise unsupported(layer, "PyTorch", place)
    module = known(**arguments, dtype=dtype)
    embeddings[id(layer)] = module
    return _load(torch, module, layer)


def _tied(torch: Any, layer: TiedLinear, place: str, embeddings: dict[int, Any]) -> Any:
    embedding = embeddings.get(id(layer.embedding))
    if embedding is None:
        raise ValueError(
            f"{place} must come after its Embedding; got a TiedLinear alone. Fix: pass the model with both."
        )
    sizes = (layer.embedding_dim, layer.num_embeddings)
    dtype = embedding.weight.dtype
    module = torch.nn.Linear(*sizes, bias=layer.bias, dtype=dtype)
    module = _load(torch, module, layer)
    module.weight = embedding.weight  # which the layer's `trainable` is not about
    return module


def _over_time(layer: Any, place: str) -> Any:
    chain = import_module("bptt.interop.weights.chain")
    kind = getattr(chain, layer.kind, None)
    if kind is None:
        raise unsupported(layer, "PyTorch", place)
    return kind(**{name: getattr(layer, name) for name in kind.options})


def _load(torch: Any, module: Any, layer: Module) -> Any:
    """Copy the weights of the layer into the module."""
    with torch.no_grad():
        for name, value in layer.parameters.items():
            getattr(module, name).copy_(torch.from_numpy(np.array(value)))
    for parameter in module.parameters():
        parameter.requires_grad_(layer.trainable)
    return module
