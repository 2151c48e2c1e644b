"""What options cost: a step with the option against a step without it, in turns, on one thread.

    python benchmarks/options.py                           # two minutes on a quiet machine
    python benchmarks/options.py --markdown docs/guide/cells.md  # writes the table into the page

Each figure is the median of the ratios of neighbouring runs, so that a change of the processor's speed during
the measurement does not matter.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import bptt
from bptt.bench import machine

T, B, N, H = 100, 32, 128, 128
ROUNDS = 31
BURST = 0.02
"""Seconds of one run, of as many steps as fit."""
MARKS = re.compile(r"(?<=<!-- options -->\n).*?(?=<!-- end of options -->)", re.DOTALL)

Array = npt.NDArray[Any]
Run = Callable[[], object]


class Row(NamedTuple):
    """A row of the table: two steps to compare, and what they are."""

    option: str
    compared: str
    plain: Run
    with_option: Run


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def training(layer: Any, **call: Any) -> Run:
    """A forward and a backward pass."""
    x = numbers(T, B, N)
    dy = np.ones_like(layer(x)[0])

    def step() -> None:
        _, _, tape = layer.forward(x, **call)
        layer.backward(tape, dy)

    return step


def recurrent_rows() -> Iterator[Row]:
    half = np.random.default_rng(0).random((T, B)) < 0.5
    lstm = training(bptt.LSTM(N, H, seed=0))
    yield Row("`skip` of half of the steps", "LSTM", lstm, training(bptt.LSTM(N, H, seed=0), skip=half))
    changes: dict[str, dict[str, Any]] = {
        "`reverse=True`": {"reverse": True},
        "`forget_gate=False`": {"forget_gate": False},
        "`input_dropout=0.2`": {"input_dropout": 0.2},
        "`gate_clip=3`": {"gate_clip": 3.0},
        '`activations=("sigmoid", "gelu", "tanh")`': {"activations": ("sigmoid", "gelu", "tanh")},
        '`activations=("hard_sigmoid", "tanh", "tanh")`': {"activations": ("hard_sigmoid", "tanh", "tanh")},
    }
    for option, options in changes.items():
        yield Row(option, "LSTM", lstm, training(bptt.LSTM(N, H, seed=0, **options)))
    fixed = bptt.LSTM(N, H, seed=0)
    fixed.trainable = False
    yield Row("`trainable = False`", "LSTM", lstm, training(fixed))
    both = training(bptt.LSTM(N, H, bidirectional=True, seed=0))
    for merge in ("sum", "mul"):
        merged = bptt.LSTM(N, H, bidirectional=True, merge=merge, seed=0)
        yield Row(f'`merge="{merge}"`', "bidirectional LSTM", both, training(merged))
    gru, rnn = training(bptt.GRU(N, H, seed=0)), training(bptt.RNN(N, H, seed=0))
    silu = training(bptt.GRU(N, H, activations=("sigmoid", "silu"), seed=0))
    yield Row('`activations=("sigmoid", "silu")`', "GRU", gru, silu)
    yield Row("`gate_clip=3`", "GRU", gru, training(bptt.GRU(N, H, gate_clip=3.0, seed=0)))
    for name in ("gelu", "silu", "linear"):
        yield Row(f'`nonlinearity="{name}"`', "RNN", rnn, training(bptt.RNN(N, H, nonlinearity=name, seed=0)))


def inference_rows() -> Iterator[Row]:
    x = numbers(T, B, N)
    fast = bptt.LSTM(N, H, seed=0).freeze()
    out = np.empty((T, B, H), np.float32)
    yield Row("`out=y`", "a frozen LSTM", lambda: fast(x), lambda: fast(x, out=out))


def loss_rows() -> Iterator[Row]:
    classes = 100
    y, target = numbers(T, B, classes), np.random.default_rng(1).integers(0, classes, (T, B))
    weight = np.random.default_rng(2).random((T, B))

    def loss(function: bptt.Loss, target: Array, **arguments: Any) -> Run:
        return lambda: function(y, target, **arguments)

    plain = loss(bptt.CrossEntropy(), target)
    name = "CrossEntropy"
    by_class = bptt.CrossEntropy(class_weight=np.linspace(0.5, 2, classes))
    yield Row("`class_weight=`", name, plain, loss(by_class, target))
    yield Row("`label_smoothing=0.1`", name, plain, loss(bptt.CrossEntropy(label_smoothing=0.1), target))
    yield Row("`ignore_index=0`", name, plain, loss(bptt.CrossEntropy(ignore_index=0), target))
    yield Row("`weight` in the batch", name, plain, loss(bptt.CrossEntropy(), target, weight=weight))
    values = numbers(T, B, classes)[::-1].copy()
    squared = loss(bptt.MeanSquaredError(), values)
    for other in (bptt.MeanAbsoluteError(), bptt.Huber()):
        yield Row(f"`{other!r}`", "MeanSquaredError", squared, loss(other, values))


def optimizer_rows() -> Iterator[Row]:
    def update(optimizer: bptt.Optimizer) -> Run:
        model = bptt.Sequential(bptt.LSTM(256, 256), bptt.Linear(256, 256), seed=0)
        model.flat_gradients = numbers(model.parameter_count) * 1e-3
        return lambda: optimizer.step(model)

    adam, rmsprop, adamw = update(bptt.Adam(1e-4)), update(bptt.RMSProp(1e-4)), update(bptt.AdamW(1e-4))
    yield Row("`amsgrad=True`", "Adam", adam, update(bptt.Adam(1e-4, amsgrad=True)))
    yield Row("`centered=True`", "RMSProp", rmsprop, update(bptt.RMSProp(1e-4, centered=True)))
    patterns = {"*bias*": 0.0, "*": 0.01}
    yield Row("`weight_decay` by pattern", "AdamW", adamw, update(bptt.AdamW(1e-4, weight_decay=patterns)))


def rows() -> Iterator[Row]:
    yield from recurrent_rows()
    yield from inference_rows()
    yield from loss_rows()
    yield from optimizer_rows()


def seconds(run: Run, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def ratio(row: Row) -> float:
    """How many times as long a step takes with the option."""
    counts = [max(1, round(BURST / seconds(run, 3))) for run in (row.plain, row.with_option)]
    found = []
    for number in range(ROUNDS):
        pair = [(row.plain, counts[0]), (row.with_option, counts[1])]
        times = [seconds(*each) for each in (pair if number % 2 else pair[::-1])]
        plain, option = times if number % 2 else times[::-1]
        found.append(option / plain)
    return float(np.median(found))


def table() -> str:
    lines = ["| option | compared with | times as long |", "| --- | --- | ---: |"]
    for row in rows():
        lines.append(f"| {row.option} | {row.compared} | {ratio(row):.2f} |")
        print(lines[-1], flush=True)
    sizes = f"T={T}, B={B}, {N} inputs, {H} units"
    note = f"One thread, float32, {sizes}; losses on 100 classes. {machine.processor()}, {bptt.isa()}."
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure what the options of layers, losses and optimizers cost."
    )
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    page: Path | None = parser.parse_args().markdown
    if page is not None and MARKS.search(page.read_text(encoding="utf-8")) is None:
        parser.error(f"{page} must have the marks <!-- options --> and <!-- end of options -->")
    bptt.set_num_threads(1)
    text = table()
    if page is not None:
        page.write_text(MARKS.sub(lambda _: text, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
