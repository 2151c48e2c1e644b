"""Times one training iteration of a character-level LSTM, ours beside PyTorch's eager one.

Embedding, 2-layer LSTM, linear layer, cross-entropy, clipping at norm 5, Adam; float32. Both start from
the same weights and see the same batches, and their losses must agree before anything is timed. Then the
two take turns, one iteration each, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import bptt

Iteration = Callable[[np.ndarray, np.ndarray], float]
"""(x, target) -> loss, the model updated."""

CHECKED = 3  # iterations


def ours(symbols: int, hidden: int, layers: int) -> tuple[Iteration, bptt.Sequential]:
    """The iteration with this package."""
    model = bptt.Sequential(
        bptt.Embedding(symbols, hidden, seed=0),
        bptt.LSTM(hidden, hidden, layers, seed=1),
        bptt.Linear(hidden, symbols, seed=2),
    )
    loss, clip, optimizer = bptt.CrossEntropy(), bptt.ClipNorm(5.0), bptt.Adam(1e-3)

    def iteration(x: np.ndarray, target: np.ndarray) -> float:
        model.zero_grad()
        y, _, tape = model.forward(x)
        value, dy = loss(y, target)
        model.backward(tape, dy, need_dx=False)
        clip(model)
        optimizer.step(model)
        return value

    return iteration, model


def pytorch(symbols: int, hidden: int, layers: int, weights: dict[str, np.ndarray]) -> Iteration:
    """The same with PyTorch, from the same weights."""
    embedding = torch.nn.Embedding(symbols, hidden)
    lstm = torch.nn.LSTM(hidden, hidden, layers)
    linear = torch.nn.Linear(hidden, symbols)
    modules = torch.nn.ModuleList([embedding, lstm, linear])
    modules.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    parameters = list(modules.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-3)

    def iteration(x: np.ndarray, target: np.ndarray) -> float:
        optimizer.zero_grad()
        y, _ = lstm(embedding(torch.from_numpy(x)))
        loss = torch.nn.functional.cross_entropy(linear(y).flatten(0, 1), torch.from_numpy(target).flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        return loss.item()

    return iteration


def batches(count: int, steps: int, rows: int, symbols: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random symbols; the target is the next one."""
    streams = np.random.default_rng(3).integers(0, symbols, (count, steps + 1, rows))
    return [(np.ascontiguousarray(ids[:-1]), np.ascontiguousarray(ids[1:])) for ids in streams]


def check(
    mine: Iteration, theirs: Iteration, data: Sequence[tuple[np.ndarray, np.ndarray]], hidden: int
) -> float:
    """The largest relative difference of the losses; SystemExit if it is more than rounding."""
    terms = hidden * len(data[0][0])
    bound = 4 * 2 * math.ceil(math.log2(terms)) * float(np.finfo(np.float32).eps)
    worst = 0.0
    for x, target in data:
        a, b = mine(x, target), theirs(x, target)
        worst = max(worst, abs(a - b) / abs(b))
    if worst > bound:
        raise SystemExit(
            f"the losses differ by {worst:.2e}, more than rounding ({bound:.2e}): nothing was timed"
        )
    return worst


def take_turns(
    iterations: dict[str, Iteration], data: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, list[float]]:
    """Milliseconds of each iteration on each batch."""
    times: dict[str, list[float]] = {name: [] for name in iterations}
    for n, (x, target) in enumerate(data):
        # Who goes first changes: the second finds the batch in the cache.
        for name in sorted(iterations, reverse=n % 2 == 1):
            begin = time.perf_counter()
            iterations[name](x, target)
            times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def spread(times: list[float]) -> dict[str, float]:
    """Median, quartiles and minimum, in ms."""
    low, median, high = statistics.quantiles(times, n=4)
    return {"median": median, "quartile1": low, "quartile3": high, "minimum": min(times)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads for both (default 1)")
    parser.add_argument("--rounds", type=int, default=40, help="iterations timed of each (default 40)")
    parser.add_argument("--hidden", type=int, default=128, help="units per layer (default 128)")
    parser.add_argument("--layers", type=int, default=2, help="LSTM layers (default 2)")
    parser.add_argument("--batch", type=int, default=50, help="rows of a batch (default 50)")
    parser.add_argument("--steps", type=int, default=50, help="time steps (default 50)")
    parser.add_argument("--symbols", type=int, default=65, help="size of the alphabet (default 65)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if min(vars(options)[name] for name in ("threads", "hidden", "layers", "batch", "steps", "symbols")) < 1:
        parser.error("all sizes must be at least 1")
    if options.rounds < 2:
        parser.error("--rounds must be at least 2")

    bptt.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    mine, model = ours(options.symbols, options.hidden, options.layers)
    theirs = pytorch(options.symbols, options.hidden, options.layers, model.state_dict())
    data = batches(CHECKED + options.rounds, options.steps, options.batch, options.symbols)
    difference = check(mine, theirs, data[:CHECKED], options.hidden)
    times = take_turns({"bptt": mine, "torch": theirs}, data[CHECKED:])

    figures: dict[str, Any] = {
        **{name: value for name, value in vars(options).items() if name != "json"},
        "isa": bptt.isa(),
        "versions": {"bptt": bptt.__version__, "torch": torch.__version__},
        "loss_difference": difference,
        "milliseconds": {name: spread(values) for name, values in times.items()},
    }
    medians = {name: row["median"] for name, row in figures["milliseconds"].items()}
    figures["speedup"] = medians["torch"] / medians["bptt"]
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(
        f"{options.layers}-layer LSTM, {options.hidden} units, B={options.batch}, T={options.steps}, "
        f"{options.symbols} symbols, {options.threads} thread(s), {bptt.isa()}"
    )
    print(f"losses of {CHECKED} iterations agree within {difference:.1e} (relative)")
    print(f"{'':8}{'median':>10}{'quartiles':>20}{'minimum':>10}   ms per iteration")
    for name, row in figures["milliseconds"].items():
        quartiles = f"{row['quartile1']:.2f} - {row['quartile3']:.2f}"
        print(f"{name:8}{row['median']:10.2f}{quartiles:>20}{row['minimum']:10.2f}")
    print(f"bptt is {figures['speedup']:.2f} times as fast as torch {torch.__version__} (medians)")


if __name__ == "__main__":
    main()
