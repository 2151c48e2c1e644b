"""bptt itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

import bptt
from bptt.bench.problem import LEARNING_RATE, Array, Call, Layer, ModelProblem, Problem, layer, model
from bptt.bench.shapes import Case
from bptt.losses.loss import Loss


def inference(problem: Problem, threads: int) -> Call:
    """Call the frozen layer: the weights are packed once, as other libraries do in a session."""
    ours = _layer(problem, threads).freeze(**_reduced(problem.case))
    return Call(lambda: ours(problem.x), lambda result: {"y": result[0]})


def variants(problem: Problem, threads: int) -> Call:
    """Run the same calls as in training."""
    return training(problem, threads)


def training(problem: Problem, threads: int) -> Call:
    """Run `zero_grad`, `forward` and `backward`."""
    ours = _layer(problem, threads)
    x = problem.x.copy()
    x.flags.writeable = False  # like the output of a lower layer: the tape needs no copy

    def run() -> tuple[Array, Array | None]:
        ours.zero_grad()
        y, _, tape = ours.forward(x, lengths=problem.lengths, checkpoint=problem.case.checkpoint)
        dx, _ = ours.backward(tape, problem.dy)
        return y, dx

    def read(result: Any) -> dict[str, Array]:
        y, dx = result
        return {"y": y, "dx": dx} | {name: value.copy() for name, value in ours.gradients.items()}

    return Call(run, read)


def streaming(problem: Problem, threads: int) -> Call:
    """Run `stream.step` on bound buffers, after copying each sample into the input."""
    case = problem.case
    stream = _layer(problem, threads).stream(batch_size=case.shape.B, **_reduced(case))
    samples = list(problem.x)

    def run() -> Array:
        stream.reset()
        step, entry = stream.step, stream.input
        for sample in samples:
            entry[...] = sample
            step()
        return stream.output

    return Call(run, lambda y: {"y": y.copy()})


LOSSES: dict[str, Callable[[], Loss]] = {
    "cross entropy": bptt.CrossEntropy,
    "squared error": bptt.MeanSquaredError,
    "binary cross entropy": bptt.BinaryCrossEntropy,
}


def iteration(problem: ModelProblem, threads: int) -> Call:
    """Run the steps of a `Trainer` for one batch."""
    bptt.set_num_threads(threads)
    ours = model(problem.case, problem.task)
    ours.load_state_dict(problem.weights)
    loss, clip = LOSSES[problem.task.loss](), bptt.ClipNorm(problem.task.clip)
    optimizer = bptt.Adam(LEARNING_RATE)
    batches = cycle(problem.batches)

    def run() -> tuple[float, float]:
        x, target = next(batches)
        ours.zero_grad()
        y, _, tape = ours.forward(x)
        value, dy = loss(y, target)
        ours.backward(tape, dy, need_dx=False)
        clipped = clip(ours)
        optimizer.step(ours)
        return value, clipped.norm

    return Call(run, lambda result: {"loss": np.array(result[0]), "gradient norm": np.array(result[1])})


def _reduced(case: Case) -> dict[str, Any]:
    return {} if case.precision == "highest" else {"precision": case.precision}


def _layer(problem: Problem, threads: int) -> Layer:
    bptt.set_num_threads(threads)
    ours = layer(problem.case)
    ours.load_state_dict(problem.weights)
    return ours
