"""The numbers of one case: the same weights, inputs and errors for everyone who takes part."""

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
"""Of a training iteration's data; after the last comes the first again."""


@dataclass(frozen=True)
class Call:
    """One peer's way to do a problem.

    Attributes
    ----------
    run : callable
        What is timed. Does the whole of it before it returns.
    read : callable
        What `run` returned, by name, in our layouts and PyTorch's names: "y", "dx", "weight_ih_l0", ...
    """

    run: Callable[[], Any]
    read: Callable[[Any], dict[str, Array]]


@dataclass(frozen=True)
class Problem:
    """
    A recurrent layer and its data, float32.

    Attributes
    ----------
    weights : dict of str to ndarray
        PyTorch's names and shapes.
    x : ndarray (T, B, I)
        While streaming, T is `STREAMED`.
    dy : ndarray (T, B, D*H)
        dL/dy.
    lengths : ndarray (B,), optional
        Valid steps of each row.
    """

    case: Case
    weights: dict[str, Array]
    x: Array
    dy: Array
    lengths: Array | None = None


@dataclass(frozen=True)
class Task:
    """What stands around the recurrent layers of a whole model."""

    loss: str
    outputs: int
    clip: float
    symbols: int = 0
    """0: no embedding; the inputs are numbers."""


TASKS = {
    "char-rnn": Task("cross entropy", outputs=65, clip=5.0, symbols=65),
    "DeepAR": Task("squared error", outputs=1, clip=10.0),
    "noise suppression": Task("binary cross entropy", outputs=22, clip=1.0),
}
"""By the name of the shape. All train with Adam."""

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class ModelProblem:
    """
    A whole model and its batches (x, target).

    x is (T, B) symbols or (T, B, I) numbers, the target (T, B) symbols or (T, B, outputs) numbers in [0, 1].
    `weights` are named as in `Sequential` and in PyTorch's `ModuleList`: "0.weight", "1.weight_ih_l0", ...
    """

    case: Case
    task: Task
    weights: dict[str, Array]
    batches: tuple[tuple[Array, Array], ...]


def problem(case: Case, seed: int = 0) -> Problem | ModelProblem:
    """Random numbers: x and dy from N(0, 1), weights as our layers draw them."""
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
                value[:] = 0.0  # it would lift all that follows into the normal range
    return Problem(case, weights, x, dy, lengths)


def layer(case: Case, seed: int = 0) -> Layer:
    """Our recurrent layers for a case."""
    shape = case.shape
    options = VARIANTS[shape.name] if case.mode == "variants" else {}
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
    """Our model for a case: embedding where there are symbols, recurrent layers, linear layer."""
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
