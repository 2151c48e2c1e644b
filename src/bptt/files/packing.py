"""Convert nested values to JSON and tensors, and back, for the non-parameter part of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.files.schema import shape, wrong

Tensors = dict[str, npt.NDArray[Any]]
_INTEGERS = frozenset(["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))])


def pack(value: Any, tensors: Tensors, name: str) -> Any:
    """Convert None, bools, numbers, texts, arrays, and lists, tuples and mappings of them to JSON.

    Float arrays go into `tensors`, under names that the JSON refers to. All other values go into the JSON
    itself. `name` is the name of the value in error messages.

    Raises
    ------
    TypeError
        A value has another type.
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
        f"{name} must be None, a number, a text, an array of numbers, or lists, tuples or mappings of str to "
        f"these, to be saved; got {type(value).__name__}. Fix: return only such values from state_dict()."
    )


def unpack(value: Any, tensors: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Return the value that `pack` converted.

    Raises
    ------
    ValueError
        `pack` does not write such JSON, or a name is not among the tensors.
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
        if keys == {"integers", "shape", "values"}:
            return _integers(value["integers"], value["shape"], value["values"])
    raise ValueError(f"a value that `pack` does not write: {type(value).__name__}")


def _integers(kind: object, sizes: object, values: object) -> npt.NDArray[Any]:
    scalar = bool if kind == "bool" else int
    if not isinstance(kind, str) or kind not in _INTEGERS:
        raise wrong("integers", "a NumPy type of whole numbers", kind)
    if not isinstance(values, list) or not all(type(entry) is scalar for entry in values):
        raise wrong("values", "a list of whole numbers", values)
    dimensions = shape(sizes, "shape")
    if math.prod(dimensions) != len(values):
        raise ValueError(f"shape must have {len(values)} elements; got {math.prod(dimensions)}")
    try:
        return np.array(values, kind).reshape(dimensions)
    except OverflowError:
        raise ValueError(f"values must be numbers of {kind}; got one out of range") from None
