"""Tensors of a model that was frozen in int8: weights as int8 with scales, a quarter of the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.layers import Module
from bptt.layers.passes.int8 import SCALES, from_int8, to_int8

Tensors = Mapping[str, npt.NDArray[Any]]


def shorten(model: Module) -> dict[str, npt.NDArray[Any]]:
    """Return the parameters, those that int8 inference rounds as int8 with one scale for each row."""
    tensors: dict[str, npt.NDArray[Any]] = dict(model.parameters)
    for name in model.int8_weights:
        tensors[name], tensors[SCALES + name] = to_int8(model.parameters[name])
    return tensors


def widen(tensors: Tensors, int8: frozenset[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the parameters as float32. `int8`: the names that have scales.

    Raises
    ------
    ValueError
        If the scales do not fit the tensors.
    """
    if {SCALES + name for name in int8} != {name for name in tensors if name.startswith(SCALES)}:
        raise ValueError("there must be scales for each parameter that int8 inference rounds, and no others")
    parameters = {name: array for name, array in tensors.items() if not name.startswith(SCALES)}
    for name, array in parameters.items():
        if (array.dtype == np.int8) != (name in int8):
            raise ValueError(f"{name} must be int8 in a file of int8 weights, and only there")
        if name not in int8:
            continue
        scales = tensors[SCALES + name]
        if array.ndim != 2 or scales.shape != array.shape[:1] or scales.dtype != np.float32:
            raise ValueError(f"{name} must have one float32 scale for each row")
        parameters[name] = from_int8(array, scales)
    return parameters
