"""The argument `precision`: how the operands of products are stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.arguments import choice

OF_LAYERS = ("highest", "bfloat16")
"""The precisions of a layer, which has a gradient in each of them."""

OF_INFERENCE = OF_LAYERS
"""The precisions of a frozen layer and of a stream."""


def parse_precision(value: object, dtype: np.dtype[Any], options: tuple[str, ...] = OF_LAYERS) -> str:
    """Check the argument `precision` of a layer with this dtype.

    Raises
    ------
    TypeError, ValueError
        If it is not one of these names, or the dtype is not float32.
    """
    precision = choice(value, "precision", options)
    if precision != "highest" and dtype != np.float32:
        raise ValueError(
            f"precision must be 'highest' with dtype={dtype.name!r}; got {precision!r}. Fix: pass "
            "dtype='float32', whose products can read shorter numbers."
        )
    return precision


def parse_inference_precision(value: object, dtype: np.dtype[Any]) -> str | None:
    """Check the argument `precision` of `freeze` and `stream`. None: the precision of each layer."""
    return None if value is None else parse_precision(value, dtype, OF_INFERENCE)
