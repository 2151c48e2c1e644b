"""The nets of the paper: memory cell blocks, sigmoid outputs, squared error, one update a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt


def blocks(
    rng: np.random.Generator,
    inputs: int,
    count: int,
    cells: int,
    outputs: int,
    *,
    scale: float,
    weights: int,
    bias: bool | str = True,
    input_bias: Sequence[float] | None = None,
    output_bias: Sequence[float] | None = None,
    last: bool = True,
) -> bptt.Sequential:
    """Return a net of the paper. Outputs read cells only.

    Parameters
    ----------
    rng : Generator
        Draws the weights.
    inputs, count, cells, outputs : int
        Inputs, blocks, cells in each block, and outputs.
    scale : float
        Weights and biases are uniform in +-scale, but for the biases that are given.
    weights : int
        The number of weights in the paper.
    bias : bool or "gates"
        Which units have a bias. With "gates", the outputs have none.
    input_bias, output_bias : sequence of float, optional
        Biases of the gates, one for each block.
    last : bool
        Whether only the last step has a target.

    Raises
    ------
    AssertionError
        The number of weights is not the paper's.
    """

    def uniform(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        return rng.uniform(-scale, scale, shape)

    memory = bptt.MemoryBlocks(
        inputs,
        count,
        cells,
        bias=bias,
        input_bias=input_bias,
        output_bias=output_bias,
        init=uniform,
        seed=rng,
    )
    linear = bptt.Linear(count * cells, outputs, bias=bias is True, init=uniform, seed=rng)
    parts = [memory, *([bptt.Last()] if last else []), linear, bptt.Sigmoid()]
    model = bptt.Sequential(*parts)
    assert model.parameter_count == weights, f"{model.parameter_count} weights, but the paper has {weights}"
    return model


def half_squared_error(
    y: npt.NDArray[Any], target: npt.NDArray[Any], mask: npt.NDArray[Any] | None = None
) -> tuple[float, npt.NDArray[Any]]:
    """Return half the squared error, summed over steps and outputs, and its gradient y - target.

    Targets that are classes become one-hot vectors.
    """
    if target.dtype.kind in "iu":
        target = np.eye(y.shape[-1], dtype=y.dtype)[target]
    dy = y - target if mask is None else np.where(mask[..., None], y - target, 0)
    return float((dy**2).sum() / 2), dy.astype(y.dtype)
