"""PyTorch's recurrent modules against those of `bptt.interop.torch`, in turns, on one thread.

    python benchmarks/dropin.py                             # three minutes on a quiet machine
    python benchmarks/dropin.py --markdown docs/howto/pytorch.md  # writes the tables into the page

Results are checked before they are timed. Each figure is the median of the ratios, or differences, of
neighbouring runs, so that a change of the processor's speed during the measurement does not matter.
"""

from __future__ import annotations

import argparse
import copy
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import bptt
from bptt.bench import machine
from bptt.interop.torch import GRU, LSTM, frozen, replace

MARKS = re.compile(r"(?<=<!-- dropin -->\n).*?(?=<!-- end of dropin -->)", re.DOTALL)
BURST = 0.02
"""Seconds of one run, of as many calls as fit."""

FROZEN = ExitStack()
"""Modules whose weights stay packed until the script ends."""

Run = Callable[[], Any]


class Row(NamedTuple):
    """A row of the table: the same work in PyTorch and in bptt."""

    what: str
    theirs: Run
    ours: Run


class Regression(nn.Module):
    """A recurrent module and a linear layer, which predicts one number per step."""

    def __init__(self, recurrent: Any) -> None:
        super().__init__()
        width = recurrent.hidden_size * (2 if recurrent.bidirectional else 1)
        self.recurrent, self.linear = recurrent, nn.Linear(width, 1)

    def forward(self, x: Any) -> Any:
        y, _ = self.recurrent(x)
        return self.linear(getattr(y, "data", y) if isinstance(y, tuple) else y)


def iteration(model: Any, x: Any) -> Run:
    """Forward pass, loss, backward pass and a step of Adam. Returns the loss."""
    optimizer = torch.optim.Adam(model.parameters())

    def run() -> float:
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run


def training_row(name: str, recurrent: Any, T: int, B: int, lengths: Any = None) -> Row:
    theirs = Regression(recurrent)
    ours = replace(copy.deepcopy(theirs))
    x = torch.randn(T, B, recurrent.input_size)
    packed = x if lengths is None else pack_padded_sequence(x, lengths)
    return Row(f"training iteration: {name}", iteration(theirs, packed), iteration(ours, packed))


def step_row(name: str, recurrent: Any, pack_once: bool) -> Row:
    """One step of one row, with the state of the step before."""
    theirs, ours = recurrent, replace(copy.deepcopy(recurrent))
    if pack_once:
        FROZEN.enter_context(frozen(ours))
    x = torch.randn(1, 1, recurrent.input_size)
    with torch.inference_mode():
        _, state = theirs(x)

    def run(module: Any) -> Run:
        def step() -> Any:
            with torch.inference_mode():
                return module(x, state)[0]

        return step

    how = " in `frozen`" if pack_once else ""
    return Row(f"inference{how}, one step, B=1: {name}", run(theirs), run(ours))


def loop_row(name: str, cell: Any, B: int) -> Row:
    """100 steps of a cell, the backward pass through all of them, and a step of Adam."""
    x = torch.randn(100, B, cell.input_size)

    def training(cell: Any) -> Run:
        optimizer = torch.optim.Adam(cell.parameters())

        def run() -> float:
            optimizer.zero_grad()
            state, loss = None, torch.zeros(())
            for step in x:
                state = cell(step, state)
                loss = loss + (state[0] if isinstance(state, tuple) else state).square().mean()
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return run

    ours = replace(copy.deepcopy(cell))
    return Row(f"training iteration: 100 steps of {name}, B={B}", training(cell), training(ours))


def rows() -> Iterator[Row]:
    sizes = "2x128, B=50, T=50"
    yield training_row(f"LSTM {sizes}", nn.LSTM(128, 128, 2), 50, 50)
    yield training_row(f"GRU {sizes}", nn.GRU(128, 128, 2), 50, 50)
    yield training_row("GRU 1x32, B=8, T=20", nn.GRU(1, 32), 20, 8)
    yield training_row("bidirectional LSTM 256, B=32, T=100", nn.LSTM(128, 256, bidirectional=True), 100, 32)
    lengths = torch.linspace(1000, 1, 32).long()
    yield training_row("LSTM 128, packed, 32 rows of 1 to 1,000 steps", nn.LSTM(64, 128), 1000, 32, lengths)
    for cell, size, pack_once in product((nn.LSTM, nn.GRU), (64, 256), (False, True)):
        yield step_row(f"{cell.__name__} {size}", cell(size, size), pack_once)
    yield loop_row("LSTMCell 64", nn.LSTMCell(16, 64), 8)
    yield loop_row("GRUCell 64", nn.GRUCell(16, 64), 8)
    yield loop_row("RNNCell 64", nn.RNNCell(16, 64), 8)
    yield loop_row("LSTMCell 256", nn.LSTMCell(256, 256), 32)


def seconds(run: Run, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def pairs(first: Run, second: Run, rounds: int) -> Any:
    """Seconds per call of both, in turns: (rounds, 2)."""
    counts = [max(1, round(BURST / seconds(run, 1))) for run in (first, second)]
    found = []
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)
        times = {which: seconds((first, second)[which], counts[which]) for which in order}
        found.append((times[0], times[1]))
    return np.array(found)


def check(row: Row) -> None:
    """Raise if the results differ: outputs, or the losses of three iterations."""
    for _ in range(3):
        theirs, ours = (np.asarray(torch.as_tensor(run()).detach()) for run in (row.theirs, row.ours))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5, err_msg=row.what)


def ratio(row: Row) -> float:
    """How many times as long PyTorch takes."""
    slow = seconds(row.theirs, 1) > 1
    times = pairs(row.theirs, row.ours, 5 if slow else 31)
    return float(np.median(times[:, 0] / times[:, 1]))


class Empty(torch.autograd.Function):
    """A function that computes nothing, with as many tensors as a module: what autograd itself costs."""

    @staticmethod
    def forward(ctx: Any, results: Any, gradients: Any, *tensors: Any) -> Any:
        ctx.save_for_backward(*tensors)
        ctx.gradients = gradients
        return results

    @staticmethod
    def backward(ctx: Any, *errors: Any) -> Any:
        return None, None, *ctx.gradients


def overheads() -> Iterator[tuple[str, float]]:
    """Microseconds of a call of the module beyond the same call of the bptt layer."""
    for name, module in (("LSTM", LSTM(8, 16)), ("GRU", GRU(8, 16))):
        layer = getattr(bptt, name)(8, 16, seed=0)
        x = torch.randn(5, 2, 8)
        array, parameters = x.numpy(), list(module.parameters())
        y, state = module(x)
        dy = torch.ones_like(y)
        results = [value.detach() for value in (y, *(state if isinstance(state, tuple) else (state,)))]
        gradients = [torch.zeros_like(parameter) for parameter in parameters]

        def inference(module: Any = module, x: Any = x) -> Any:
            with torch.inference_mode():
                return module(x)

        def both(y: Any, parameters: Any = parameters, dy: Any = dy) -> None:
            y.backward(dy)
            for parameter in parameters:
                parameter.grad = None

        def empty(results: Any = results, gradients: Any = gradients, parameters: Any = parameters) -> None:
            both(Empty.apply(tuple(value.view_as(value) for value in results), gradients, *parameters)[0])

        def bare(layer: Any = layer, array: Any = array, dy: Any = dy) -> None:
            layer.zero_grad()
            layer.backward(layer.forward(array)[2], dy.numpy(), need_dx=False)

        def difference(first: Run, second: Run) -> float:
            times = pairs(first, second, 51)
            return float(np.median(times[:, 0] - times[:, 1]) * 1e6)

        yield f"{name}, inference", difference(inference, lambda array=array, layer=layer: layer(array))
        yield (
            f"{name}, forward pass",
            difference(
                lambda module=module, x=x: module(x), lambda array=array, layer=layer: layer.forward(array)
            ),
        )
        whole = difference(lambda module=module, x=x: both(module(x)[0]), bare)
        autograd = float(np.median(pairs(empty, lambda: None, 51)[:, 0]) * 1e6)
        yield f"{name}, forward and backward pass, besides autograd's {autograd:.0f} us", whole - autograd


def table() -> str:
    lines = ["| work | times as fast as PyTorch |", "| --- | ---: |"]
    for row in rows():
        check(row)
        lines.append(f"| {row.what} | {ratio(row):.2f} |")
        print(lines[-1], flush=True)
    lines += ["", "| call | microseconds more than the bptt layer |", "| --- | ---: |"]
    for what, microseconds in overheads():
        lines.append(f"| {what} | {microseconds:.0f} |")
        print(lines[-1], flush=True)
    note = f"One thread, float32, PyTorch {torch.__version__}. {machine.processor()}, {bptt.isa()}."
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the modules of bptt.interop.torch gain.")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables into this page")
    page: Path | None = parser.parse_args().markdown
    if page is not None and MARKS.search(page.read_text(encoding="utf-8")) is None:
        parser.error(f"{page} must have the marks <!-- dropin --> and <!-- end of dropin -->")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    bptt.set_num_threads(1)
    text = table()
    if page is not None:
        page.write_text(MARKS.sub(lambda _: text, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
