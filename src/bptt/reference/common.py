"""Types that the reference cells share: what one run over time takes, keeps and returns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

State: TypeAlias = tuple[Array, ...]
"""One array per kind of state: (h,), for LSTM (h, c)."""

Weights: TypeAlias = Mapping[str, Array]
"""One layer's parameters in one direction: `weight_ih`, `weight_hh`, and whichever its options call for of
`bias_ih`, `bias_hh`, `weight_hr`, `weight_peephole`, `weight_norm_ih`, `weight_norm_hh`, `weight_norm_c`,
`bias_norm_c`."""


@dataclass(frozen=True)
class Run:
    """Resets and masks of one run of a cell over time, in the order in which they apply.

    Attributes
    ----------
    reset : array of bool, of shape (T, B, 1)
        True: step t starts from a zero state.
    recurrent : array of shape (B, P)
        Recurrent dropout: factors of the old h where U multiplies it, and nowhere else.
    keep_h : array of shape (T, B, P)
        Zoneout: the fraction of the old h that stays, mostly 0 or 1; 0 without zoneout.
    keep_c : array of shape (T, B, H)
        The same for c. Only LSTM uses it.
    zoneout_c : bool
        Whether c has zoneout, even with a mask of zeros. Decides what `Gradients.norms` measures.
    """

    reset: npt.NDArray[np.bool_]
    recurrent: Array
    keep_h: Array
    keep_c: Array
    zoneout_c: bool

    def begin(self, t: int, state: Array) -> Array:
        """The old state as step t = 1, 2, ... finds it. Its own derivative: of an error too."""
        # not a product: 0 times infinity is no zero
        return np.where(self.reset[t - 1], 0.0, state)


@dataclass(frozen=True)
class Tape:
    """What one layer keeps of one direction. Step 0 is the initial state; step t reads `x[t - 1]`.

    Attributes
    ----------
    run : Run
        What it ran under.
    x : array of shape (T, B, I)
    states : tuple of arrays of shape (T + 1, B, P or H)
        (h,), for LSTM (h, c): `h[0]` is the initial state, `h[t]` the state after step t.
    gates : array of shape (T, B, G * H)
        Activated gates of every step, side by side.
    saved : dict of arrays over time
        What else `backward` needs and cannot make from these.
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
        whole error is the error from outside at step t plus the error from step t + 1. 0 for steps that
        truncation leaves out.
    errors : array of shape (T, B, P)
        The whole dL/dh_t, after clipping. 0 for steps that truncation leaves out.
    """

    dx: Array
    dstate: State
    weights: dict[str, Array]
    norms: State
    errors: Array


class Sums:
    """Gradients of the weights while they are summed over time.

    Any name may be added to, so that a step reads the same whatever weights the layer has; `of` picks those
    that it does have.
    """

    def __init__(self) -> None:
        self._sums: defaultdict[str, Any] = defaultdict(float)

    def add(self, name: str, value: Array | float) -> None:
        self._sums[name] = self._sums[name] + value

    def of(self, weights: Weights) -> dict[str, Array]:
        return {name: np.zeros_like(value) + self._sums[name] for name, value in weights.items()}


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)) without overflow: the exponential is taken of -|a| only."""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, e) / (1.0 + e)


def bias(weights: Weights, name: str) -> Array | float:
    """The bias `name`, or 0 in a layer without biases."""
    return weights.get(name, 0.0)


def power_of_two(values: Array) -> Array:
    """Return powers of two near the absolute values; 1 for zero and for what is not finite.

    Divide by them, without a rounding error, before anything squares the values.
    """
    usual = np.where(np.isfinite(values) & (values != 0), values, 0.5)  # 0.5 has the exponent 0
    powers: Array = np.ldexp(1.0, np.clip(np.frexp(usual)[1], -1000, 1000))
    return powers


def error_norms(errors: Array, axis: int) -> Array:
    """Return 2-norms along an axis, also where squares overflow or underflow.

    The norm of finite errors is finite: it is the largest float64 where the true norm is above that.
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
    """The step at which backpropagation stops: T, T - 1, ..., last_step are visited."""
    return 1 if steps is None else max(T - steps, 0) + 1
