"""Pascanu's regularizer on the tape of a module."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from bptt.arrays import split
from bptt.layers.recurrent import Recurrent
from bptt.optim import PascanuRegularizer
from bptt.optim.regularizers import omega


def add_omega(
    regularizer: PascanuRegularizer,
    layer: Recurrent,
    tape: Any,
    parameters: npt.NDArray[Any],
    gradients: npt.NDArray[Any],
    ragged: Any,
) -> None:
    """Add the gradient of the regularizer's term to flat gradients, and set `regularizer.omega`.

    `tape` is the core's tape of a backward pass that kept the errors. `ragged` has its packed rows, or is
    None. `layer` names the parameters in the flat vectors.
    """
    views, weights = split(gradients, layer.table), split(parameters, layer.table)
    names = [name for name, _ in layer.table if name.startswith("weight_hh")]
    regularizer.omega = 0.0
    for index, name in enumerate(names):
        place = divmod(index, layer.num_directions)
        h, dh = tape.h(*place), tape.dh(*place)
        if ragged is not None:
            h, dh = ragged.scatter(h), ragged.scatter(dh)
        value, gradient = omega(dh, h, weights[name], getattr(layer, "nonlinearity", "tanh") == "relu")
        views[name] += regularizer.weight * gradient
        regularizer.omega += value
