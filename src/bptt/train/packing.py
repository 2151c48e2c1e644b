"""Nested values as JSON and tensors, and back: what a checkpoint holds beside parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[Any]]
_INTEGERS = frozenset(["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])


def pack(value: Any, tensors: Tensors, name: str) -> Any:
    """JSON for None, bools, numbers, texts and arrays in lists, tuples and mappings of str.

    Float arrays go into `tensors` under names that the JSON refers to; all else into the JSON itself.
    Messages call the value `name`.

    Raises
    ------
    TypeError
        Anything else.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(float(value))}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [pack(entry, tensors, f"{name}[{i}]") for i, entry in enumerate(value)]
    if isinstance(value, tuple):
        return {"tuple": [pack(entry, tensors, f"{name}[{i}]") for i, entry in enumerate(value)]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"mapping": {key: pack(entry, tensors, f"{name}[{key!r}]") for key, entry in value.items()}}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return pack(value.item(), tensors, name)
    if isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64):
        place = str(len(tensors))
        tensors[place] = np.array(value, value.dtype.newbyteorder("="), order="C")
        return {"tensor": place}
    if isinstance(value, np.ndarray) and value.dtype.name in _INTEGERS:
        return {
            "integers": value.dtype.name,
            "shape": list(value.shape),
            "values": value.reshape(-1).tolist(),
        }
    raise TypeError(
        f"{name} must be None, a number, a text, an array of numbers, or lists, tuples or mappings of str of "
        f"these, to be saved; got {type(value).__name__}. Fix: return such values from state_dict()."
    )


def unpack(value: Any, tensors: Mapping[str, npt.NDArray[Any]]) -> Any:
    """What `pack` was given.

    Raises
    ------
    ValueError
        JSON that `pack` does not make; a name that is not among the tensors.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [unpack(entry, tensors) for entry in value]
    if isinstance(value, dict):
        keys = set(value)
        if keys == {"float"} and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        if keys == {"tuple"} and isinstance(value["tuple"], list):
            return tuple(unpack(entry, tensors) for entry in value["tuple"])
        if keys == {"mapping"} and isinstance(value["mapping"], dict):
            return {name: unpack(entry, tensors) for name, entry in value["mapping"].items()}
        if keys == {"tensor"} and isinstance(value["tensor"], str) and value["tensor"] in tensors:
            return tensors[value["tensor"]]
        if keys == {"integers", "shape", "values"} and value["integers"] in _INTEGERS:
            try:
                return np.array(value["values"], value["integers"]).reshape(value["shape"])
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{error!s:.80}") from None
    raise ValueError(f"nothing that was packed; got {value!r:.80}")
