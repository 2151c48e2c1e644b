"""Copies of layers and models in another precision or on another backend."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from bptt.arguments import short
from bptt.layers.advice import unadvised
from bptt.layers.containers.container import Container
from bptt.layers.module import Module
from bptt.layers.recurrent_calls import RecurrentCalls
from bptt.layers.stateless.affine import Affine
from bptt.layers.stateless.tied_linear import TiedLinear as NativeTiedLinear
from bptt.reference.affine import Linear, TiedLinear
from bptt.reference.layers import GRU, LSTM, MGU, RNN, MemoryBlocks


def like(layer: Module) -> Module:
    """Copy a layer or model onto the reference.

    Parameters
    ----------
    layer : Module
        Any layer or model.

    Returns
    -------
    Module
        A copy in float64 with the same configuration and parameters, and with zero gradients. Its random
        generator has the same state, so the next dropout masks are equal. Recurrent layers become reference
        layers. Layers without time have no reference and become native layers in float64. Of layers with
        `precision="bfloat16"`, the copy rounds the same operands.

    Raises
    ------
    TypeError
        If `layer` is not a layer or model.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer, x = bptt.LSTM(3, 8, seed=0), np.ones((20, 4, 3))
    >>> np.allclose(bptt.reference.like(layer)(x)[0], layer(x)[0], atol=1e-6)
    True
    """
    if not isinstance(layer, Module):
        raise TypeError(
            f"layer must be a layer or model; got {short(layer)} of type {type(layer).__name__}. "
            "Fix: pass bptt.LSTM(...), for example."
        )
    with unadvised():
        return _copy(layer, np.dtype(np.float64), reference=True, memo={})


def rebuild(layer: Module, dtype: np.dtype[Any]) -> Module:
    """Copy a layer or model in another dtype, on the same backend.

    Native layers in float64 have the highest precision.
    """
    with unadvised():
        return _copy(layer, dtype, reference=False, memo={})


def generators(layer: Module) -> list[np.random.Generator]:
    """Return the random generators of a layer or model, without duplicates."""
    unique = {id(layer.rng): layer.rng}
    if isinstance(layer, Container):
        unique |= {id(rng): rng for child in layer.parts.values() for rng in generators(child)}
    return list(unique.values())


def _copy(layer: Module, dtype: np.dtype[Any], *, reference: bool, memo: dict[int, Any]) -> Module:
    """Copy a layer or model.

    `memo` maps generators to copies, so that layers share copies as before.
    """
    if isinstance(layer, Container):
        copies = {
            key: _copy(child, dtype, reference=reference, memo=memo) for key, child in layer.parts.items()
        }
        model = layer.rebuilt(copies)
        model.rng = copy.deepcopy(layer.rng, memo)
        return model
    kind = type(layer)
    if reference and isinstance(layer, RecurrentCalls):
        kind = next(
            oracle for oracle in (RNN, LSTM, GRU, MGU, MemoryBlocks) if isinstance(layer, oracle.native)
        )
    if reference and isinstance(layer, Affine) and layer.precision != "highest":
        kind = TiedLinear if isinstance(layer, NativeTiedLinear) else Linear
    config = layer.config()
    if "dtype" in config:
        config["dtype"] = dtype.name
    if "precision" in config and dtype.name not in kind.rounding_dtypes:
        config["precision"] = "highest"
    if dtype != np.float32 and "tape_dtype" in config:
        config["tape_dtype"] = None
    copied = kind.from_config(config)
    copied.load_state_dict(layer.state_dict())
    copied.trainable = layer.trainable
    copied.rng = copy.deepcopy(layer.rng, memo)
    return copied
