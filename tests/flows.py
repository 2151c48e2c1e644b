"""What the tests of gradient flow share: an input, and a network whose flow is known exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

import bptt

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3, 4))


def scaled_identity(rho: float, H: int = 5, **options: Any) -> bptt.RNN:
    """relu(W x + rho h): with x and weights above 0, the error of a step is rho times the next one's."""
    layer = bptt.RNN(4, H, nonlinearity="relu", bias=False, seed=0, **{"dtype": "float64"} | options)
    for name, weight in layer.parameters.items():
        weight[...] = rho * np.eye(H) if name.startswith("weight_hh") else np.abs(weight)
    return layer
