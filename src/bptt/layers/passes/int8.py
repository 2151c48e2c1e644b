"""Weights as int8: a row is its scale times whole numbers from -127 to 127, as in the compiled core."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats

SCALES = "int8_scales."
"""Begins the names of the scales in a file of int8 weights."""

LEAST = np.float32(2.0**-116)
"""A row of smaller numbers is 0 as a whole, because what divides by its scale must be finite."""

Int8 = npt.NDArray[np.int8]


def to_int8(weight: Floats) -> tuple[Int8, Floats]:
    """Return the whole numbers of each row, and its scale: NaN if the row holds NaN or infinity.

    A scale has 17 bits, so that `from_int8` is exact, and a second `to_int8` returns the same numbers and
    scales.
    """
    largest = np.abs(weight).max(axis=1, initial=0)
    finite = np.isfinite(largest)
    used = finite & (largest >= LEAST)
    bits = (largest / np.float32(127)).view(np.uint32) + np.uint32(0x40)
    scales = np.where(used, (bits & ~np.uint32(0x7F)).view(np.float32), np.float32(0))
    scales[~finite] = np.nan
    inverses = np.float32(127) / np.where(used, largest, np.float32(1))
    numbers = np.rint(np.where(used[:, None], weight, np.float32(0)) * inverses[:, None])
    return numbers.astype(np.int8), scales


def refuse_scales(names: Iterable[object]) -> None:
    """Raise ValueError if a state dict comes from a file of int8 weights."""
    scales = next((name for name in names if isinstance(name, str) and name.startswith(SCALES)), None)
    if scales is not None:
        raise ValueError(
            f"state must hold the parameters of a model; got int8 weights, whose scales are in {scales!r}. "
            "Fix: call bptt.load(path).layer, whose parameters are float32."
        )


def from_int8(numbers: Int8, scales: Floats) -> Floats:
    """Return the rows as float32."""
    return np.asarray(numbers * scales[:, None], np.float32)
