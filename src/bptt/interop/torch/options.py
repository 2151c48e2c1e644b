"""Options of bptt that PyTorch's modules do not have."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import bptt.layers as layers
from bptt.layers.advice import unadvised
from bptt.layers.passes.clip_state import NO_CLIP, StateClip, parse_clip_state
from bptt.layers.recurrent import Recurrent
from bptt.layers.undrawn import undrawn
from bptt.optim import PascanuRegularizer

CELLS: dict[str, type[Recurrent]] = {"LSTM": layers.LSTM, "GRU": layers.GRU, "RNN": layers.RNN}

_OF_PYTORCH = {
    *("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout"),
    *("bidirectional", "proj_size", "dtype", "seed", "tape_dtype"),
}


NOT_OF_LAYERS = ("clip_state", "regularizer")
"""Options of the backward pass, which a layer does not have."""
INITIAL_VALUES = frozenset(("init", "forget_bias", "input_bias", "output_bias"))
"""Options that only choose initial values. PyTorch can compute such modules, too."""


def parse_options(cell: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that differ from their defaults.

    `init`, `clip_state` and, for an RNN, `regularizer` are among them.

    Raises
    ------
    TypeError
        If the cell has no option of this name.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(CELLS[cell]).parameters.items()
        if name not in _OF_PYTORCH
    }
    defaults["clip_state"] = None
    if cell == "RNN":
        defaults["regularizer"] = None
    for name in options:
        if name not in defaults:
            raise TypeError(
                f"{cell} got an unexpected keyword argument {name!r}. Fix: pass arguments of "
                f"torch.nn.{cell}, or one of {', '.join(defaults)}."
            )
    return {name: value for name, value in options.items() if value is not defaults[name]}


def not_in_pytorch(options: Mapping[str, Any]) -> list[str]:
    """Return the names of the options that PyTorch's implementation cannot compute, sorted."""
    return sorted(options.keys() - INITIAL_VALUES)


def check_precision(value: object, dtype: str) -> None:
    """Raise ValueError for a precision that a module does not have in this dtype."""
    if not isinstance(value, str) or value == "highest":
        return
    if value == "int8":
        raise ValueError(
            "precision must be 'highest' or 'bfloat16'; got 'int8', which modules of PyTorch do not have. "
            "Fix: leave precision out, and call bptt.interop.from_torch(module).freeze(precision='int8')."
        )
    if dtype != "float32":
        raise ValueError(
            f"precision must be 'highest' with parameters of {dtype}; got {value!r}. Fix: pass "
            "dtype=torch.float32, or call module.float()."
        )


def build_layer(cell: str, module: Any, dtype: str, seed: int | None = None) -> Recurrent:
    """Return a bptt layer with the sizes and options of a module, and separate parameters.

    With a seed, its parameters are drawn as the options of the module say, else they have any values.

    Raises
    ------
    TypeError, ValueError
        If an option is invalid.
    """
    given = {name: value for name, value in module.bptt_options.items() if name not in NOT_OF_LAYERS}
    if seed is not None:
        given.pop("precision", None)  # it changes no initial values, which are drawn in float64
    check_precision(given.get("precision"), dtype)
    if cell == "LSTM":
        given["proj_size"] = module.proj_size
    if cell == "RNN":
        given["nonlinearity"] = module.nonlinearity
    with unadvised(), undrawn() if seed is None else nullcontext():
        return CELLS[cell](
            module.input_size,
            module.hidden_size,
            module.num_layers,
            bias=module.bias,
            batch_first=module.batch_first,
            dropout=module.dropout if module.dropout < 1 else 0.0,
            bidirectional=module.bidirectional,
            dtype=dtype,
            seed=seed,
            **given,
        )


def parse_backward(options: Mapping[str, Any]) -> tuple[StateClip, PascanuRegularizer | None]:
    """Return the bounds of `clip_state`, and the regularizer.

    Raises
    ------
    TypeError, ValueError
        If an option is invalid.
    """
    clip = parse_clip_state(options.get("clip_state")) or NO_CLIP
    regularizer = options.get("regularizer")
    if regularizer is not None and not isinstance(regularizer, PascanuRegularizer):
        raise TypeError(
            f"regularizer must be a bptt.PascanuRegularizer; got {type(regularizer).__name__}. "
            "Fix: pass bptt.PascanuRegularizer(4.0)."
        )
    return clip, regularizer
