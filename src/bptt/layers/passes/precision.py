"""The argument `precision`: how the operands of products are rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.arguments import choice

OF_LAYERS = ("highest", "bfloat16")
"""The precisions of a layer, which has a gradient in each of them."""

OF_INFERENCE = (*OF_LAYERS, "int8")
"""The precisions of a frozen layer and of a stream."""


def parse_precision(
    value: object,
    dtype: np.dtype[Any],
    options: tuple[str, ...] = OF_LAYERS,
    dtypes: tuple[str, ...] = ("float32",),
) -> str:
    """Check the argument `precision` of a layer with this dtype.

    `dtypes` have a precision other than "highest": float64 only on the reference.

    Raises
    ------
    TypeError, ValueError
        If it is not one of the options, or only "highest" exists for the dtype.
    """
    if isinstance(value, str) and value == "int8" and "int8" not in options:
        fix = "leave precision out, and call layer.freeze(precision='int8')"
        if "float64" in dtypes:
            fix = "call freeze(precision='int8') of a compiled layer or model"
        raise ValueError(
            f"precision must be {' or '.join(map(repr, options))}; got 'int8', which is for inference of "
            f"compiled layers only. Fix: {fix}."
        )
    precision = choice(value, "precision", options)
    if precision != "highest" and dtype.name not in dtypes:
        fix = "freeze a layer or model of" if "int8" in options else "pass"
        raise ValueError(
            f"precision must be 'highest' with dtype={dtype.name!r}; got {precision!r}. "
            f"Fix: {fix} dtype='float32'."
        )
    return precision
