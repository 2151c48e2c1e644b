"""Do two peers compute the same? Nothing is timed before they do."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bptt.bench.problem import Array
from bptt.bench.shapes import Case

FLOOR = float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps)
"""Below this, underflow takes digits: some flush denormal numbers to zero, some do not."""


class DisagreementError(Exception):
    """Results differ by more than rounding. The message names the tensor and both values."""


def tolerance(case: Case) -> float:
    """Return how far two float32 results may differ, as a share of the tensor's largest entry.

    `bptt.crosscheck` allows 4 * ceil(log2(K * N)) * eps. This bound is twice that, because both results
    round. K is the number of terms in the longest sum of a step, and N the number of rows of time and batch.
    For a gradient, the bound doubles again.
    """
    shape = case.shape
    terms = max(shape.I, shape.directions * shape.H) * case.steps * shape.B
    factor = 2 if case.mode in ("training", "iteration") else 1
    return factor * 2 * 4 * math.ceil(math.log2(max(2, terms))) * float(np.finfo(np.float32).eps)


def check(found: Mapping[str, Array], expected: Mapping[str, Array], allowed: float) -> float:
    """
    The largest difference, as a share of what is allowed.

    Raises
    ------
    DisagreementError
        A tensor is missing, has another shape, or an entry is off by more than `allowed` times the tensor's
        largest expected entry. NaN always is.
    """
    if set(found) != set(expected):
        raise DisagreementError(f"has {sorted(found)} where {sorted(expected)} is expected")
    worst = 0.0
    for name, wanted in expected.items():
        value = np.asarray(found[name], np.float64)
        if value.shape != wanted.shape:
            raise DisagreementError(f"{name} has shape {value.shape}, expected {wanted.shape}")
        bound = max(allowed * float(np.max(np.abs(wanted), initial=0.0)), FLOOR)
        error = np.abs(value - wanted)
        excess = np.where(np.isnan(error), np.inf, error / bound)
        place = np.unravel_index(int(np.argmax(excess)), excess.shape)
        if not excess[place] <= 1.0:
            raise DisagreementError(
                f"{name}{[int(i) for i in place]} is {value[place]:.9g}, expected {wanted[place]:.9g}"
                f" (allowed difference {bound:.2g})"
            )
        worst = max(worst, float(excess[place]))
    return worst
