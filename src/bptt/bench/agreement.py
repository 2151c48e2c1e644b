"""Check that two peers compute the same results. Peers are timed only after this check."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bptt.bench.problem import Array
from bptt.bench.shapes import Case

ROUNDING = {"bfloat16": 2.0**-8, "int8": 2.0**-7}
"""Largest relative error of rounding the largest entry of a row of operands."""
ROUNDINGS = 8
"""Number of such errors by which a result in reduced precision may differ from float32."""

FLOOR = float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps)
"""Smallest bound: below this value, underflow loses digits, because some libraries flush denormal numbers."""


class DisagreementError(Exception):
    """Results differ by more than rounding. The message names the tensor and both values."""


def tolerance(case: Case) -> float:
    """Return how far two results may differ, as a fraction of the tensor's largest entry.

    `bptt.crosscheck` allows 4 * ceil(log2(K * N)) * eps. This bound is twice that, because both results
    round. K is the number of terms in the longest sum of a step, and N the number of rows of time and batch.
    For a gradient, the bound doubles again. In reduced precision, a result is compared with float32.
    """
    shape = case.shape
    terms = max(shape.I, shape.directions * shape.H) * case.steps * shape.B
    factor = 2 if case.mode in ("training", "iteration") else 1
    if case.precision in ROUNDING:
        return factor * ROUNDINGS * ROUNDING[case.precision]
    return factor * 2 * 4 * math.ceil(math.log2(max(2, terms))) * float(np.finfo(np.float32).eps)


def check(actual: Mapping[str, Array], expected: Mapping[str, Array], allowed: float) -> float:
    """Return the largest difference, as a fraction of the allowed difference.

    Raises
    ------
    DisagreementError
        A tensor is missing or has another shape. Or an entry is NaN, or differs by more than `allowed` times
        the tensor's largest expected entry.
    """
    if set(actual) != set(expected):
        raise DisagreementError(f"has {sorted(actual)}, expected {sorted(expected)}")
    worst = 0.0
    for name, expected_value in expected.items():
        value = np.asarray(actual[name], np.float64)
        if value.shape != expected_value.shape:
            raise DisagreementError(f"{name} has shape {value.shape}, expected {expected_value.shape}")
        bound = max(allowed * float(np.max(np.abs(expected_value), initial=0.0)), FLOOR)
        error = np.abs(value - expected_value)
        excess = np.where(np.isnan(error), np.inf, error / bound)
        index = np.unravel_index(int(np.argmax(excess)), excess.shape)
        if not excess[index] <= 1.0:
            raise DisagreementError(
                f"{name}{[int(i) for i in index]} is {value[index]:.9g}, expected {expected_value[index]:.9g}"
                f" (allowed difference {bound:.2g})"
            )
        worst = max(worst, float(excess[index]))
    return worst
