"""Activations, in NumPy, with ONNX's names, and linear, gelu and silu.

Functions take alpha and beta in that order, if they have them; y is f(a).

    name               f(a)                            f'(a)
    sigmoid            1 / (1 + exp(-a))               y (1 - y)
    tanh               tanh(a)                         1 - y^2
    relu               max(a, 0)                       1 where a > 0
    affine             alpha a + beta                  alpha
    leaky_relu         a, or alpha a where a < 0       1, or alpha
    thresholded_relu   a where a >= alpha, else 0      1 where a >= alpha
    scaled_tanh        alpha tanh(beta a)              alpha beta (1 - (y / alpha)^2)
    hard_sigmoid       alpha a + beta within 0..1      alpha within
    elu                a, or alpha (exp(a) - 1)        1, or y + alpha where a < 0
    softsign           a / (1 + |a|)                   (1 - |y|)^2
    softplus           log(1 + exp(a))                 1 / (1 + exp(-a))
    linear             a                               1
    gelu               a P(a)                          P(a) + a P'(a)
    silu               a s(a), s the sigmoid           s(a) + a s(a) (1 - s(a))

P(a) = erfc(-a / sqrt(2)) / 2 is the distribution function of the normal distribution.

If a function saturates, its slope is computed from y, as in the layers that save y. A rounding error in y
then has the same effect on the slope as in those layers. At a kink, a decides the side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bptt.reference.common import Array, sigmoid


def _normal(a: Array) -> Array:
    """Return the distribution function of the normal distribution."""
    values = [math.erfc(x) for x in (-a / math.sqrt(2.0)).ravel()]
    return np.array(values).reshape(a.shape) / 2.0


VALUES: dict[str, Callable[[Array, float, float], Array]] = {
    "sigmoid": lambda a, alpha, beta: sigmoid(a),
    "tanh": lambda a, alpha, beta: np.tanh(a),
    "relu": lambda a, alpha, beta: np.maximum(a, 0.0),
    "affine": lambda a, alpha, beta: alpha * a + beta,
    "leaky_relu": lambda a, alpha, beta: np.where(a >= 0.0, a, alpha * a),
    "thresholded_relu": lambda a, alpha, beta: np.where(a >= alpha, a, 0.0),
    "scaled_tanh": lambda a, alpha, beta: alpha * np.tanh(beta * a),
    "hard_sigmoid": lambda a, alpha, beta: np.clip(alpha * a + beta, 0.0, 1.0),
    "elu": lambda a, alpha, beta: np.where(a >= 0.0, a, alpha * np.expm1(np.minimum(a, 0.0))),
    "softsign": lambda a, alpha, beta: a / (1.0 + np.abs(a)),
    "softplus": lambda a, alpha, beta: np.logaddexp(0.0, a),
    "linear": lambda a, alpha, beta: a,
    "gelu": lambda a, alpha, beta: a * _normal(a),
    "silu": lambda a, alpha, beta: a * sigmoid(a),
}

SLOPES: dict[str, Callable[[Array, Array, float, float], Array]] = {
    "sigmoid": lambda a, y, alpha, beta: y * (1.0 - y),
    "tanh": lambda a, y, alpha, beta: 1.0 - y**2,
    "relu": lambda a, y, alpha, beta: np.where(a > 0.0, 1.0, 0.0),
    "affine": lambda a, y, alpha, beta: np.full_like(a, alpha),
    "leaky_relu": lambda a, y, alpha, beta: np.where(a > 0.0, 1.0, alpha),
    "thresholded_relu": lambda a, y, alpha, beta: np.where(a >= alpha, 1.0, 0.0),
    "scaled_tanh": lambda a, y, alpha, beta: alpha * beta * (1.0 - (y / alpha) ** 2),
    "hard_sigmoid": lambda a, y, alpha, beta: np.where(np.abs(alpha * a + beta - 0.5) < 0.5, alpha, 0.0),
    "elu": lambda a, y, alpha, beta: np.where(a > 0.0, 1.0, y + alpha),
    "softsign": lambda a, y, alpha, beta: (1.0 - np.abs(y)) ** 2,
    "softplus": lambda a, y, alpha, beta: sigmoid(a),
    "linear": lambda a, y, alpha, beta: np.ones_like(a),
    "gelu": lambda a, y, alpha, beta: _normal(a) + a * np.exp(-(a**2) / 2.0) / math.sqrt(2.0 * math.pi),
    "silu": lambda a, y, alpha, beta: sigmoid(a) * (1.0 + a * sigmoid(-a)),
}


@dataclass(frozen=True)
class Function:
    """An activation function, which may clip its argument first.

    Parameters
    ----------
    name : str
    alpha, beta : float
        0 if the function has no such parameter.
    limit : float, optional
        Clip the argument to [-limit, limit]. None: no clipping.
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0
    limit: float | None = None

    def __call__(self, a: Array) -> Array:
        """Return f(clip(a))."""
        return VALUES[self.name](clipped(a, self.limit), self.alpha, self.beta)

    def slope(self, a: Array, y: Array) -> Array:
        """Return the derivative with respect to the argument before clipping.

        y is f(clip(a)).
        """
        return SLOPES[self.name](a, y, self.alpha, self.beta) * inside(a, self.limit)


@dataclass(frozen=True)
class Gated:
    """The functions of a GRU or an MGU.

    Attributes
    ----------
    sigma, phi : Function
        Activations of the gates, and of the candidate n. Each may clip its argument.
    """

    sigma: Function
    phi: Function


def clipped(a: Array, limit: float | None) -> Array:
    """Clip the argument to [-limit, limit]. None: no clipping."""
    return a if limit is None else np.clip(a, -limit, limit)


def inside(a: Array, limit: float | None) -> Array:
    """Return the slope of `clipped`: 1 between the limits, 0 at and beyond them."""
    return np.ones_like(a) if limit is None else np.where(np.abs(a) < limit, 1.0, 0.0)
