"""Arrays from the tensors of other libraries, and from safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors

from bptt.arguments import short
from bptt.arrays import as_real
from bptt.files import atomic
from bptt.layers.passes.int8 import refuse_scales

Arrays = dict[str, npt.NDArray[Any]]

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "BOOL": "?",
}
"""The number types of safetensors that NumPy has."""


def to_array(value: Any, name: str) -> npt.NDArray[Any]:
    """Read one weight as an array of real numbers.

    PyTorch tensors may record gradients, lie on another device or have the type bfloat16. Their values are
    copied if NumPy cannot read them in place.

    Raises
    ------
    TypeError, ValueError
        As `bptt.arrays.as_real`.
    """
    if hasattr(value, "detach"):
        value = value.detach()
        value = value.float() if str(value.dtype).endswith("bfloat16") else value
        try:
            value = value.cpu()
        except NotImplementedError as error:  # a tensor without data
            raise TypeError(
                f"{name} must have values; got a tensor of shape {tuple(value.shape)} on the device "
                f"{value.device}. Fix: load its weights first."
            ) from error
    return as_real(value, name)


def read_state(state: Any) -> Arrays:
    """Read a state dict as arrays by name.

    Parameters
    ----------
    state : mapping of str to array or tensor, or path of a safetensors file

    Raises
    ------
    TypeError
        If `state` is neither, a name is not a str, or a value is not an array of real numbers.
    ValueError
        If the file is not a whole safetensors file, or has int8 weights of `bptt.save`.
    OSError
        If the file cannot be read.
    """
    if isinstance(state, (str, os.PathLike)):
        tensors = read_safetensors(Path(state))
        refuse_scales(tensors)
        return tensors
    if not isinstance(state, Mapping):
        raise TypeError(
            f"state must be a mapping from names to arrays, or the path of a safetensors file; got "
            f"{type(state).__name__}. Fix: pass module.state_dict()."
        )
    wrong = [name for name in state if not isinstance(name, str)]
    if wrong:
        raise TypeError(
            f"state must have names that are str; got {short(wrong[0])}. Fix: pass module.state_dict()."
        )
    inner = next((name for name, value in state.items() if isinstance(value, Mapping)), None)
    if inner is not None:
        raise TypeError(
            f"state must map names to arrays; got a mapping as {inner!r}. Fix: pass state[{inner!r}] if "
            "that is the state dict."
        )
    refuse_scales(state)
    return {name: to_array(value, f"parameter {name!r}") for name, value in state.items()}


def read_safetensors(path: Path) -> Arrays:
    """Read the tensors of a safetensors file. bfloat16 becomes float32.

    Raises
    ------
    ValueError
        If it is not a whole safetensors file, or has a tensor of another type of number.
    OSError
        If it cannot be read.
    """
    with atomic.reading(path) as file:
        content = file.read()
    try:
        tensors = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error!s:.200}). Fix: write it with "
            "safetensors.torch.save_file(module.state_dict(), path)."
        ) from None
    return {name: _decode(name, tensor, path) for name, tensor in tensors}


def _decode(name: str, tensor: Mapping[str, Any], path: Path) -> npt.NDArray[Any]:
    kind, data = tensor["dtype"], tensor["data"]
    values: npt.NDArray[Any]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _TYPES:
        values = np.frombuffer(data, _TYPES[kind])
    else:
        raise ValueError(
            f"{path} must hold tensors of real numbers; got {name!r:.80} of type {kind}. "
            "Fix: convert it to float32 before you save it."
        )
    return values.reshape(tuple(tensor["shape"]))
