"""Time the parts of a training step, and compare each with its bound.

The bound of a matrix product is the rate of multiply-adds that the same threads reach on registers, in
GFLOP/s. The bound of a loop over memory is the rate of the simplest loop, which changes signs in place, in
GB/s read and written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt import _core
from bptt.bench import machine
from bptt.bench.clock import take_turns, timing
from bptt.bench.shapes import GATES

SIZES = ((1, 32, 32), (1, 256, 256), (16, 64, 64), (32, 64, 128), (64, 256, 256), (64, 512, 512))
"""(B, I, H) of the products; a sequence has `STEPS` steps."""
STEPS = 50
CORE_CELLS = {"lstm": "lstm", "gru": "gru", "rnn": "rnn_tanh"}
VECTORS = (16_384, 262_144, 4_194_304)
"""Numbers of parameters: with the optimizer's vectors they fit the first caches, the last, or memory."""


@dataclass(frozen=True)
class Piece:
    """`work` is the work of one call: flop if `unit` is GFLOP/s, bytes if `unit` is GB/s."""

    group: str
    name: str
    run: Callable[[], Any]
    work: float
    unit: str = "GFLOP/s"


@dataclass(frozen=True)
class Figure:
    """Median and minimum in microseconds, and the rate at the median with its bound."""

    group: str
    name: str
    median: float
    minimum: float
    rate: float
    bound: float
    unit: str


def uniform(*shape: int) -> npt.NDArray[np.float32]:
    """Return random numbers between -0.5 and 0.5."""
    values: npt.NDArray[np.float32] = np.random.default_rng(0).random(shape, np.float32)
    values -= np.float32(0.5)
    return values


def products(cell: str, B: int, I: int, H: int) -> Iterator[Piece]:
    """Return the large products of a sequence: input projection, weight gradients, input gradients."""
    rows, columns = STEPS * B, GATES[cell] * H
    x, weight, bias, dy = uniform(rows, I), uniform(columns, I), uniform(columns), uniform(rows, columns)
    dweight, dbias = np.zeros_like(weight), np.zeros_like(bias)
    flop, name = 2.0 * rows * I * columns, f"({rows}, {I}) x ({I}, {columns})"

    def backward(need_dx: bool) -> Any:
        return _core.linear_backward(x, weight, dy, dweight, dbias, need_dx)

    yield Piece(f"{cell} projection", name, lambda: _core.linear_forward(x, weight, bias), flop)
    yield Piece(f"{cell} weight gradients", name, lambda: backward(False), flop)
    yield Piece(f"{cell} weight and input gradients", name, lambda: backward(True), 2 * flop)


def sequences(cell: str, B: int, I: int, H: int) -> Iterator[Piece]:
    """Return a single step, and the passes of a sequence: inference, forward with tape, backward."""
    core = _core.Recurrent(CORE_CELLS[cell], "float32", I, H, 1, False, True)  # type: ignore[arg-type]
    parameters = uniform(core.parameter_count) / np.float32(np.sqrt(H))
    gradients = np.zeros_like(parameters)
    x, dy, h0 = uniform(STEPS, B, I), uniform(STEPS, B, H), uniform(1, B, H)
    first, c0 = x[:1], h0 if cell == "lstm" else None
    flop, name = 2.0 * B * GATES[cell] * H * (I + H), f"B={B} I={I} H={H}"

    def forward() -> Any:
        return core.forward(parameters, x, None, None, 0.0, 0)

    @cache
    def tape() -> Any:
        return forward()[-1]

    def backward() -> Any:
        return core.backward(gradients, tape(), dy, None, None, None, True)

    yield Piece(f"{cell} single step", name, lambda: core.infer(parameters, first, h0, c0), flop)
    whole = f"{STEPS} steps"
    yield Piece(
        f"{cell} inference, {whole}", name, lambda: core.infer(parameters, x, None, None), STEPS * flop
    )
    yield Piece(f"{cell} forward with tape, {whole}", name, forward, STEPS * flop)
    yield Piece(f"{cell} backward, {whole}", name, backward, 2 * STEPS * flop)


def elementwise() -> Iterator[Piece]:
    """Return activations on arrays that fit the first cache level."""
    x = 8 * uniform(4096)
    for name in ("exp", "tanh", "sigmoid"):
        run = partial(_core.activation, name, x)
        yield Piece("activations", f"{name}, {x.size:,}", run, 8.0 * x.size, "GB/s")


def optimizer(size: int) -> Iterator[Piece]:
    """Return loops over flat vectors of parameters, with the float32 read and written per parameter."""
    # With gradients of zero, no vector changes, so calls can be repeated.
    p, g, m, v = uniform(size), *(np.zeros(size, np.float32) for _ in range(3))
    walks: dict[str, tuple[int, Callable[[], Any]]] = {
        "sgd": (3, lambda: _core.sgd_step(p, g, None, 0.1, 0.0, False, 0.0)),
        "momentum": (5, lambda: _core.sgd_step(p, g, v, 0.1, 0.9, False, 0.0)),
        "rmsprop": (5, lambda: _core.rmsprop_step(p, g, v, None, 0.1, 0.9, 0.0, 1e-8, 0.0)),
        "adam": (7, lambda: _core.adam_step(p, g, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.0, False, 1)),
        "norm": (1, lambda: _core.norm(p)),
        "scale": (2, lambda: _core.scale(g, 0.5)),
        "clip by value": (2, lambda: _core.clip_value(g, 1.0)),
        "zero": (1, lambda: g.fill(0.0)),
    }
    for name, (touched, run) in walks.items():
        yield Piece("optimizer", f"{name}, {size:,}", run, 4.0 * touched * size, "GB/s")


def ends() -> Iterator[Piece]:
    """Return the parts below and above the recurrent layers of a character model."""
    rows, symbols, width = 2500, 65, 128
    ids = np.random.default_rng(0).integers(0, symbols, rows)
    table, dy, logits = uniform(symbols, width), uniform(rows, width), uniform(rows, symbols)
    dtable = np.zeros_like(table)
    moved = 8.0 * rows * width
    name = f"{rows} of {symbols} x {width}"
    yield Piece("embedding", name, lambda: _core.embedding_forward(ids, table), moved, "GB/s")
    yield Piece(
        "embedding gradient", name, lambda: _core.embedding_backward(ids, dy, dtable), 1.5 * moved, "GB/s"
    )
    yield Piece(
        "cross-entropy and gradient",
        f"{rows} x {symbols}",
        lambda: _core.cross_entropy(logits, ids, None, None, 1.0 / len(ids), True),
        8.0 * rows * symbols,
        "GB/s",
    )


def walking(bytes_moved: float, seconds: float) -> float:
    """Return the GB/s, read and written, of one thread that changes signs in place."""
    vector = uniform(max(1, round(bytes_moved / 8)))
    times = take_turns({"": lambda: np.negative(vector, out=vector)}, seconds)
    return 2e-9 * vector.nbytes / min(times[""])


def figure(piece: Piece, compute: float, seconds: float) -> Figure:
    """Time a part for `seconds`. `compute` is the peak of the threads on registers, in GFLOP/s."""
    found = timing(take_turns({"": piece.run}, seconds)[""])
    bound = compute if piece.unit == "GFLOP/s" else walking(piece.work, seconds)
    rate = 1e-3 * piece.work / found.median
    return Figure(piece.group, piece.name, found.median, found.minimum, rate, bound, piece.unit)


def pieces(contains: str) -> list[Piece]:
    """Return all parts whose group contains a string, group by group."""
    sized = [maker(cell, *size) for maker in (products, sequences) for cell in GATES for size in SIZES]
    walks = [optimizer(size) for size in VECTORS]
    chosen = [piece for piece in chain(*sized, elementwise(), *walks, ends()) if contains in piece.group]
    groups = list(dict.fromkeys(piece.group for piece in chosen))
    return sorted(chosen, key=lambda piece: groups.index(piece.group))


def main() -> None:
    """Print a line for each part, and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="groups whose name contains it")
    parser.add_argument("--seconds", type=float, default=0.2, metavar="X", help="for each (default: 0.2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    options = parser.parse_args()
    bptt.set_num_threads(options.threads)
    peak = machine.peak()
    print(f"{machine.processor()}, {bptt.isa()}, {options.threads} thread(s), {peak:.0f} GFLOP/s per thread")
    found, group = [], ""
    for piece in pieces(options.only):
        row = figure(piece, options.threads * peak, options.seconds)
        if row.group != group:
            group = row.group
            print(f"\n{group:<34}{'us':>14}{'(minimum)':>14}{row.unit:>10}{'bound':>9}")
        print(
            f"  {row.name:<32}{row.median:>14,.2f}{f'({row.minimum:,.2f})':>14}"
            f"{row.rate:>10.1f}{row.bound:>9.1f}{row.rate / row.bound:>6.0%}",
            flush=True,
        )
        found.append(row)
    if options.json:
        rows = {"isa": bptt.isa(), "threads": options.threads, "rows": [asdict(row) for row in found]}
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
