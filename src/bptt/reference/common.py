"""What the cells of the reference share: the logistic function and what one backward pass hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

State: TypeAlias = tuple[Array, ...]
"""One array per kind of state: (h,), for LSTM (h, c)."""

Weights: TypeAlias = Mapping[str, Array]
"""One layer's parameters in one direction: `weight_ih`, `weight_hh`, then `bias_ih` and `bias_hh` unless
the layer has no bias, then `weight_peephole` if it has one."""


@dataclass(frozen=True)
class Tape:
    """What one layer keeps of one direction. Step 0 is the initial state; step t reads `x[t - 1]`.

    Attributes
    ----------
    x : array of shape (T, B, I)
    states : tuple of arrays of shape (T + 1, B, H)
        (h,), for LSTM (h, c): `h[0]` is the initial state, `h[t]` the state after step t.
    gates : array of shape (T, B, G * H)
        Activated gates of every step, side by side.
    """

    x: Array
    states: State
    gates: Array


@dataclass(frozen=True)
class Gradients:
    """What one layer's backward pass in one direction hands back.

    Attributes
    ----------
    dx : array of shape (T, B, I)
    dstate : tuple of arrays of shape (B, H)
        Gradients of the initial state.
    weights : dict
        The gradient of every array in `Weights`.
    norms : tuple of arrays of shape (T,)
        2-norm over batch and units of the whole dL/dh_t, for LSTM also of the whole dL/dc_t: what comes in at
        step t and what flows back from step t + 1. 0 where truncation did not reach.
    """

    dx: Array
    dstate: State
    weights: dict[str, Array]
    norms: State


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)) without overflow: the exponential is taken of -|a| only."""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, e) / (1.0 + e)


def bias(weights: Weights, name: str) -> Array | float:
    """The bias `name`, or 0 in a layer without biases."""
    return weights.get(name, 0.0)


def last_step(steps: int | None, T: int) -> int:
    """The step at which backpropagation stops: T, T - 1, ..., last_step are visited."""
    return 1 if steps is None else max(T - steps, 0) + 1
