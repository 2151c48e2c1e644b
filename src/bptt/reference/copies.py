"""Copies of layers and models in another precision or on another backend."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from bptt.arguments import short
from bptt.layers.advice import unadvised
from bptt.layers.module import Module
from bptt.layers.recurrent import Recurrent
from bptt.layers.sequential import Sequential
from bptt.reference.layers import GRU, LSTM, MGU, RNN


def like(layer: Module) -> Module:
    """Copy a layer or model onto the reference.

    Parameters
    ----------
    layer : Module
        Any layer or `Sequential`.

    Returns
    -------
    Module
        The same configuration and parameters in float64, gradients zero, a random generator in the same state
        (so that the next dropout masks are the same). Recurrent layers become the reference's; layers without
        time have no reference and stay native ones, in float64.

    Raises
    ------
    TypeError
        `layer` is no layer or model.
    """
    if not isinstance(layer, Module):
        raise TypeError(
            f"layer must be a layer or model; got {short(layer)} of type {type(layer).__name__}. "
            "Fix: pass bptt.LSTM(...), for example."
        )
    with unadvised():
        return _copy(layer, np.dtype(np.float64), reference=True, memo={})


def rebuild(layer: Module, dtype: np.dtype[Any]) -> Module:
    """Copy a layer or model in another dtype, on the backend it has."""
    with unadvised():
        return _copy(layer, dtype, reference=False, memo={})


def generators(layer: Module) -> list[np.random.Generator]:
    """The random generators that a layer or model draws from, each once."""
    unique = {id(layer.rng): layer.rng}
    if isinstance(layer, Sequential):
        unique |= {id(rng): rng for child in layer.layers for rng in generators(child)}
    return list(unique.values())


def _copy(layer: Module, dtype: np.dtype[Any], *, reference: bool, memo: dict[int, Any]) -> Module:
    """`memo` maps generators to their copies: layers that share one go on sharing one."""
    if isinstance(layer, Sequential):
        model = Sequential(*(_copy(child, dtype, reference=reference, memo=memo) for child in layer.layers))
        model.rng = copy.deepcopy(layer.rng, memo)
        return model
    kind = type(layer)
    if reference and isinstance(layer, Recurrent):
        kind = next(oracle for oracle in (RNN, LSTM, GRU, MGU) if isinstance(layer, oracle.native))
    config = layer.config()
    if "dtype" in config:
        config["dtype"] = dtype.name
    twin = kind.from_config(config)
    twin.load_state_dict(layer.state_dict())
    twin.rng = copy.deepcopy(layer.rng, memo)
    return twin
