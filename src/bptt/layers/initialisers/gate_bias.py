"""Initial biases of single gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import finite
from bptt.arrays import as_real, to_floats

GateBias: TypeAlias = "float | tuple[float, ...] | None"
"""The sum of a gate's two biases, for all units or for each unit. None: as the initialiser draws them."""


def parse_gate_bias(value: object, name: str, count: int, units: str = "hidden units") -> GateBias:
    """Check the initial bias of a gate, which has `count` units.

    Raises
    ------
    TypeError
        If `value` is neither a number nor an array of numbers.
    ValueError
        If an array does not have one number for each unit, or a number is not finite.
    """
    if value is None:
        return None
    if isinstance(value, (bool, int, float, str)):
        return finite(value, name)
    array = as_real(value, name)
    if array.ndim == 0:
        return finite(array.item(), name)
    if array.shape != (count,):
        raise ValueError(
            f"{name} must be a number, or one number for each of the {count} {units}; "
            f"got an array of shape {array.shape}. Fix: pass a number for all of them."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got NaN or infinity. Fix: pass finite numbers.")
    return tuple(map(float, array))


def write_gate_bias(
    parameters: Mapping[str, npt.NDArray[Any]],
    value: float | tuple[float, ...],
    name: str,
    block: int,
    hidden_size: int,
) -> None:
    """Write the bias of one gate into all layers and directions.

    `bias_ih` gets the whole value, because only the sum of the two biases matters.

    Parameters
    ----------
    parameters : mapping
        All parameters of the layer.
    value : float or tuple of floats
    name : str
        The argument of the user, for an error if the value is too large for the dtype.
    block : int
        Position of the gate among the gates.
    hidden_size : int
    """
    rows = slice(block * hidden_size, (block + 1) * hidden_size)
    for parameter, view in parameters.items():
        if parameter.startswith("bias_ih"):
            view[rows] = to_floats(np.array(value), name, view.dtype)
        elif parameter.startswith("bias_hh"):
            view[rows] = 0.0
