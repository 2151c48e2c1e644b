"""The data of one case: the same weights, inputs and errors for all peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import bptt
from bptt.bench.shapes import VARIANTS, Case

Array: TypeAlias = npt.NDArray[Any]
Layer: TypeAlias = "bptt.LSTM | bptt.GRU | bptt.RNN"

LAYERS: dict[str, type[bptt.LSTM] | type[bptt.GRU] | type[bptt.RNN]] = {
    "lstm": bptt.LSTM,
    "gru": bptt.GRU,
    "rnn": bptt.RNN,
}

DENORMAL = np.float32(1e-39)

BATCHES = 4
"""Number of batches of a training iteration, used in a cycle."""


@dataclass(frozen=True)
class Call:
    """The code with which a peer computes a problem.

    Attributes
    ----------
    run : callable
        The timed call. It returns after all computations are complete.
    read : callable
        Converts the result of `run` to arrays by name, in our layouts and with PyTorch's names: "y", "dx",
        "weight_ih_l0", ...
    """

    run: Callable[[], Any]
    read: Callable[[Any], dict[str, Array]]


@dataclass(frozen=True)
class Problem:
    """A recurrent layer and its data, float32.

    Attributes
    ----------
    weights : dict of str to ndarray
        Weights with PyTorch's names and shapes.
    x : ndarray (T, B, I)
        Input. For streaming, T is `STREAMED`.
    dy : ndarray (T, B, D*H)
        dL/dy.
    lengths : ndarray (B,), optional
        Number of valid steps of each row.
    """

    case: Case
    weights: dict[str, Array]
    x: Array
    dy: Array
    lengths: Array | None = None


@dataclass(frozen=True)
class Task:
    """The parts of a whole model around its recurrent layers."""

    loss: str
    outputs: int
    clip: float
    symbols: int = 0
    """Number of symbols of the embedding. 0: there is no embedding, and the inputs are numbers."""


TASKS = {
    "char-rnn": Task("cross entropy", outputs=65, clip=5.0, symbols=65),
    "DeepAR": Task("squared error", outputs=1, clip=10.0),
    "noise suppression": Task("binary cross entropy", outputs=22, clip=1.0),
}
"""Tasks by the name of the shape. All of them train with Adam."""

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class ModelProblem:
    """A whole model and its batches (x, target).

    x holds symbols (T, B) or numbers (T, B, I). The target holds symbols (T, B), or numbers in [0, 1] (T, B,
    outputs). `weights` have the names of `Sequential` and of PyTorch's `ModuleList`: "0.weight",
    "1.weight_ih_l0", ...
    """

    case: Case
    task: Task
    weights: dict[str, Array]
    batches: tuple[tuple[Array, Array], ...]


def problem(case: Case, seed: int = 0) -> Problem | ModelProblem:
    """Return random data: x and dy from N(0, 1), and weights as our layers draw them."""
    rng = np.random.default_rng(seed)
    if case.mode == "iteration":
        task = TASKS[case.shape.name]
        batches = tuple(_batch(case, task, rng) for _ in range(BATCHES))
        return ModelProblem(case, task, model(case, task, seed).state_dict(), batches)
    shape = case.shape
    x = rng.standard_normal((case.steps, shape.B, shape.I), np.float32)
    ours = layer(case, seed)
    dy = rng.standard_normal((case.steps, shape.B, shape.directions * ours.output_size), np.float32)
    weights = ours.state_dict()
    lengths = rng.integers(1, shape.T + 1, shape.B) if shape.name == "ragged" else None
    if shape.denormal:
        x, dy = x * DENORMAL, dy * DENORMAL
        for name, value in weights.items():
            if name.startswith("bias"):
                value[:] = 0.0  # a bias would lift the values into the normal range
    return Problem(case, weights, x, dy, lengths)


def layer(case: Case, seed: int = 0) -> Layer:
    """Return our recurrent layers for a case."""
    shape = case.shape
    options = VARIANTS[shape.name] if case.mode == "variants" else {}
    if case.mode == "training" and case.precision != "highest":
        options = {"precision": case.precision}
    return LAYERS[case.cell](
        shape.I,
        shape.H,
        shape.layers,
        bidirectional=shape.bidirectional,
        dtype="float32",
        seed=seed,
        **options,
    )


def model(case: Case, task: Task, seed: int = 0) -> bptt.Sequential:
    """Return our model for a case: embedding (if there are symbols), recurrent layers, linear layer."""
    shape = case.shape
    below = [bptt.Embedding(task.symbols, shape.I, seed=seed)] if task.symbols else []
    above = bptt.Linear(shape.directions * shape.H, task.outputs, seed=seed + 1)
    return bptt.Sequential(*below, layer(case, seed + 2), above)


def _batch(case: Case, task: Task, rng: np.random.Generator) -> tuple[Array, Array]:
    T, B = case.shape.T, case.shape.B
    if task.symbols:
        symbols = rng.integers(0, task.symbols, (T + 1, B))
        return symbols[:-1].copy(), symbols[1:].copy()
    x = rng.standard_normal((T, B, case.shape.I), np.float32)
    return x, rng.random((T, B, task.outputs), np.float32)
