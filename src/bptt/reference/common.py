"""Types and functions that the reference cells share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.reference.rounding import to_bfloat16

Array: TypeAlias = npt.NDArray[np.float64]

State: TypeAlias = tuple[Array, ...]
"""The arrays of a state: (h,), for LSTM (h, c)."""

Weights: TypeAlias = Mapping[str, Array]
"""One layer's parameters in one direction.

All layers have `weight_ih` and `weight_hh`. Options add `bias_ih`, `bias_hh`, `weight_hr`, `weight_peephole`,
`weight_norm_ih`, `weight_norm_hh`, `weight_norm_c` and `bias_norm_c`.
"""


@dataclass(frozen=True)
class Run:
    """Resets and masks of one run of a cell over time.

    The attributes come in the order in which they apply.

    Attributes
    ----------
    skip : array of bool, of shape (T, B, 1)
        True: the row has no step t, and its state is held.
    reset : array of bool, of shape (T, B, 1)
        True: step t starts from a zero state. False at skipped steps.
    recurrent : array of shape (B, P)
        Recurrent dropout: factors on the old h, only in its product with U.
    keep_h : array of shape (T, B, P)
        Zoneout: the fraction of the old h that stays, mostly 0 or 1. 0 without zoneout.
    keep_c : array of shape (T, B, H)
        Zoneout of c: the fraction of the old c that stays. Only LSTM uses it.
    zoneout_c : bool
        Whether c has zoneout, even with a mask of zeros. Decides what `Gradients.norms` measures.
    bfloat16 : bool
        Whether the operands of products are rounded to bfloat16.
    """

    skip: npt.NDArray[np.bool_]
    reset: npt.NDArray[np.bool_]
    recurrent: Array
    keep_h: Array
    keep_c: Array
    zoneout_c: bool
    bfloat16: bool = False

    def product(self, a: Array, b: Array) -> Array:
        """Return the matrix product a b, in the precision of the layer."""
        product: Array = to_bfloat16(a) @ to_bfloat16(b) if self.bfloat16 else a @ b
        return product

    def begin(self, t: int, state: Array) -> Array:
        """Return the old state of step t = 1, 2, ..., which is 0 after a reset.

        The function is linear and its own derivative, so the backward pass applies it to errors.
        """
        # A product would turn an infinity into NaN instead of 0.
        return np.where(self.reset[t - 1], 0.0, state)

    def held(self, t: int, old: Array, new: Array) -> Array:
        """Return the state after step t, which is the old one where the step is skipped.

        The backward pass applies it to errors: `old` is the error after the step, `new` the error before.
        """
        return np.where(self.skip[t - 1], old, new)

    def of_step(self, t: int, error: Array) -> Array:
        """Return the error of the state that step t computes: 0 where the step is skipped."""
        return np.where(self.skip[t - 1], 0.0, error)

    def arrived(self, stop: int, error: Array) -> Array:
        """Return the error of the initial state, after a backward pass that ended with step `stop`.

        The error is 0 in rows with an earlier step.
        """
        return np.where(self.skip[: stop - 1].all(axis=0), error, 0.0)


@dataclass(frozen=True)
class Tape:
    """The arrays of one layer in one direction that `backward` needs.

    Step t reads `x[t - 1]`.

    Attributes
    ----------
    run : Run
        The resets and masks of the forward pass.
    x : array of shape (T, B, I)
    states : tuple of arrays of shape (T + 1, B, P or H)
        (h,), for LSTM (h, c): `h[0]` is the initial state, `h[t]` the state after step t.
    gates : array of shape (T, B, G * H)
        Activated gates of every step, side by side.
    saved : dict of arrays over time
        Other arrays that `backward` needs and cannot compute from the rest.
    """

    run: Run
    x: Array
    states: State
    gates: Array
    saved: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Gradients:
    """Result of one layer's backward pass in one direction.

    Attributes
    ----------
    dx : array of shape (T, B, I)
    dstate : tuple of arrays of shape (B, P or H)
        Gradients of the initial state.
    weights : dict
        The gradient of every array in `Weights`.
    norms : tuple of arrays of shape (T,)
        2-norm over batch and units of the whole dL/dh_t, and for LSTM of dL/dc_t, both after clipping. The
        whole error is the error from outside at step t plus the error from step t + 1. 0 for steps before
        the truncation.
    errors : array of shape (T, B, P)
        The whole dL/dh_t, after clipping. 0 for steps before the truncation.
    """

    dx: Array
    dstate: State
    weights: dict[str, Array]
    norms: State
    errors: Array


class Sums:
    """Sums over time of the gradients of the weights.

    `add` accepts any name, so a cell adds the gradients of all possible weights. `of` returns the sums of the
    weights that the layer has.
    """

    def __init__(self) -> None:
        self._sums: defaultdict[str, Any] = defaultdict(float)

    def add(self, name: str, value: Array | float) -> None:
        self._sums[name] = self._sums[name] + value

    def of(self, weights: Weights) -> dict[str, Array]:
        return {name: np.zeros_like(value) + self._sums[name] for name, value in weights.items()}


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)). Only exp(-|a|) is computed, which cannot overflow."""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, e) / (1.0 + e)


def bias(weights: Weights, name: str) -> Array | float:
    """Return the bias `name`, or 0 for a layer without biases."""
    return weights.get(name, 0.0)


def power_of_two(values: Array) -> Array:
    """Return powers of two near the absolute values; 1 for zero, NaN and infinities.

    Divide values by them before squaring the values. The division has no rounding error.
    """
    usual = np.where(np.isfinite(values) & (values != 0), values, 0.5)  # 0.5 has the exponent 0
    powers: Array = np.ldexp(1.0, np.clip(np.frexp(usual)[1], -1000, 1000))
    return powers


def error_norms(errors: Array, axis: int) -> Array:
    """Return 2-norms along an axis, even if squares overflow or underflow.

    The norm of finite errors is finite. If the true norm is above the largest float64, that number is
    returned.
    """
    largest = np.abs(errors).max(axis=axis, initial=0.0, keepdims=True)
    unit = power_of_two(largest)
    with np.errstate(over="ignore"):
        scaled = np.linalg.norm(errors / unit, axis=axis)
        norms = scaled * unit.squeeze(axis)
    capped: Array = np.where(np.isfinite(scaled), np.minimum(norms, np.finfo(np.float64).max), norms)
    return capped


def error_norm(error: Array) -> float:
    """Return the 2-norm of all entries, as `error_norms` does."""
    return float(error_norms(error.ravel(), 0))


def last_step(steps: int | None, T: int) -> int:
    """Return the step at which backpropagation stops.

    Backpropagation visits T, T - 1, ..., last_step.
    """
    return 1 if steps is None else max(T - steps, 0) + 1
