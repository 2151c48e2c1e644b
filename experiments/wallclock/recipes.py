"""Five tasks of a public collection of NumPy replications: data, nets, optimizers and budgets are theirs.

github.com/cybertronai/schmidhuber-problems lists them with their times. Nets have forget gates here, also
where those of the collection have none, because PyTorch has no LSTM without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import bptt
from experiments.tasks import reber
from experiments.tasks.long_lag import two_sequences

Array = npt.NDArray[Any]
Outputs = Callable[[Array], Array]
"""A trained network: it returns its outputs for x (T, B, I)."""


@dataclass(frozen=True)
class Batch:
    """What one update reads. `weight` is (T, B), or None if all steps count alike."""

    x: Array
    target: Array
    weight: Array | None = None


@dataclass(frozen=True)
class Recipe:
    """One task.

    Attributes
    ----------
    name, page : str
        Title, and folder in the collection.
    seconds : float
        Time that the collection reports, for a laptop with an Apple M processor.
    result : str
        What the collection reaches in this time.
    inputs, hidden, outputs : int
    last : bool
        Whether only the last step has a target.
    loss : {"squared", "cross-entropy"}
    sigmoid : bool
        Whether a sigmoid follows the last layer.
    forget_bias, input_bias, output_bias : float
        Initial biases of the gates. Default of the last two: those of `bptt.LSTM`.
    rate : callable
        The learning rate of Adam after n updates.
    max_norm : float
    updates : int
    batches : callable
        `batches(rng)` yields batches forever.
    judge : callable
        `judge(outputs)` returns what a network reaches, on test data of its own.
    reached : callable
        `reached(outputs)` is asked every 500 updates, and ends the run. Default: the budget ends it.
    """

    name: str
    page: str
    seconds: float
    result: str
    inputs: int
    hidden: int
    outputs: int
    last: bool
    loss: Literal["squared", "cross-entropy"]
    forget_bias: float
    rate: Callable[[int], float]
    max_norm: float
    updates: int
    batches: Callable[[np.random.Generator], Iterator[Batch]]
    judge: Callable[[Outputs], str]
    sigmoid: bool = False
    input_bias: float | None = None
    output_bias: float | None = None
    reached: Callable[[Outputs], bool] | None = None

    def model(self, seed: int) -> bptt.Sequential:
        """Return the network before training."""
        rng = np.random.default_rng(seed)
        parts: list[bptt.Module] = [
            bptt.LSTM(
                self.inputs,
                self.hidden,
                forget_bias=self.forget_bias,
                input_bias=self.input_bias,
                output_bias=self.output_bias,
                seed=rng,
            )
        ]
        if self.last:
            parts.append(bptt.Last())
        parts.append(bptt.Linear(self.hidden, self.outputs, seed=rng))
        if self.sigmoid:
            parts.append(bptt.Sigmoid())
        return bptt.Sequential(*parts)


def test_rng() -> np.random.Generator:
    """Return a new generator for test data."""
    return np.random.default_rng(1_000_000)


def adding(rng: np.random.Generator, count: int = 32, steps: int = 100) -> Iterator[Batch]:
    """One marked value in each half, and their sum."""
    rows = np.arange(count)
    while True:
        x = np.zeros((steps, count, 2), np.float32)
        x[..., 0] = rng.uniform(-1, 1, (steps, count))
        marked = rng.integers(0, steps // 2, count), rng.integers(steps // 2, steps, count)
        for place in marked:
            x[place, rows, 1] = 1
        yield Batch(x, (x[marked[0], rows, 0] + x[marked[1], rows, 0])[:, None])


def product(rng: np.random.Generator, count: int = 32, low: int = 20, high: int = 30) -> Iterator[Batch]:
    """Two marked values in the first half, and their product."""
    rows = np.arange(count)
    while True:
        steps = int(rng.integers(low, high + 1))
        x = np.zeros((steps, count, 2), np.float32)
        x[..., 0] = rng.uniform(0, 1, (steps, count))
        x[0, :, 1] = x[-1, :, 1] = -1
        marked = rng.integers(1, 10, count), rng.integers(10, max(11, steps // 2), count)
        for place in marked:
            x[place, rows, 1] = 1
        yield Batch(x, (x[marked[0], rows, 0] * x[marked[1], rows, 0])[:, None])


def order(rng: np.random.Generator, count: int = 32, steps: int = 50) -> Iterator[Batch]:
    """Temporal order: symbols B, E, a to d, X, Y; X or Y at steps 3 to 12 and 25 to 40."""
    rows = np.arange(count)
    while True:
        symbols, marks = rng.integers(2, 6, (steps, count)), rng.integers(0, 2, (2, count))
        symbols[0], symbols[-1] = 0, 1
        symbols[rng.integers(3, 13, count), rows] = 6 + marks[0]
        symbols[rng.integers(25, 41, count), rows] = 6 + marks[1]
        yield Batch(np.eye(8, dtype=np.float32)[symbols], 2 * marks[0] + marks[1])


def lag(rng: np.random.Generator, p: int = 50) -> Iterator[Batch]:
    """Two sequences that differ at both ends, in turns. The last step counts a hundredfold."""
    symbols = two_sequences(p)
    x, weight = np.eye(p + 1, dtype=np.float32)[symbols[:-1]], np.ones((p, 1))
    weight[-1] = 100
    while True:
        for k in (0, 1):
            yield Batch(np.ascontiguousarray(x[:, k : k + 1]), symbols[1:, k : k + 1].copy(), weight)


def strings(rng: np.random.Generator) -> Iterator[Batch]:
    """New strings of the embedded Reber grammar, one at a time."""
    while True:
        string = reber.encode([reber.embedded_string(rng)])
        yield Batch(string.x, string.target)


def mean_squared_error(batches: Callable[..., Iterator[Batch]], **options: int) -> Callable[[Outputs], str]:
    """Return a judge: the mean squared error on 512 sequences."""

    def judge(outputs: Outputs) -> str:
        test = next(batches(test_rng(), 512, **options))
        return f"MSE {np.mean((outputs(test.x) - test.target) ** 2):.4f}"

    return judge


def right_orders(outputs: Outputs) -> str:
    """Judge the temporal order: right classes of 512."""
    test = next(order(test_rng(), 512))
    return f"{np.mean(outputs(test.x).argmax(-1) == test.target):.1%} right"


def right_last_symbol(outputs: Outputs) -> str:
    """Judge the two sequences: right predictions of all 50 steps."""
    batches = lag(test_rng())
    right = [(outputs(batch.x).argmax(-1) == batch.target) for batch in (next(batches), next(batches))]
    return f"{np.mean([r[-1] for r in right]):.0%} of last symbols, {np.mean(right):.1%} of all"


def string_scores(outputs: Outputs) -> tuple[float, float]:
    """Return the fractions of legal predictions, and of right symbols before the last, on 200 strings."""
    rng = test_rng()
    drawn = [reber.embedded_string(rng) for _ in range(200)]
    legal, branch = [], []
    for string in drawn:
        encoded = reber.encode([string])
        best = outputs(encoded.x)[:, 0].argmax(-1)
        legal += encoded.legal[np.arange(len(best)), 0, best].tolist()
        branch.append(best[-2] == encoded.target[-2, 0])
    return float(np.mean(legal)), float(np.mean(branch))


def strings_learned(outputs: Outputs) -> bool:
    """The criterion of the collection for the embedded Reber grammar."""
    legal, branch = string_scores(outputs)
    return legal >= 0.999 and branch == 1


def string_result(outputs: Outputs) -> str:
    """Judge the embedded Reber grammar."""
    legal, branch = string_scores(outputs)
    return f"{legal:.1%} legal, {branch:.1%} of branches"


def halved(rate: float, updates: int) -> Callable[[int], float]:
    """Return a schedule that halves the rate after each so many updates."""
    return lambda n: rate * 0.5 ** (n // updates)


def constant(rate: float) -> Callable[[int], float]:
    """Return a schedule that keeps the rate."""
    return lambda n: rate


RECIPES = (
    Recipe(
        "adding, T = 100", "adding-problem", 39.0, "MSE 0.0007",
        2, 8, 1, True, "squared", 1.0, halved(5e-3, 1500), 1.0, 8000,
        adding, mean_squared_error(adding),
    ),
    Recipe(
        "embedded Reber", "embedded-reber", 2.5, "criterion after 4,000 strings",
        7, 8, 7, False, "cross-entropy", 3.0,
        constant(0.01), 5.0, 20_000, strings, string_result, input_bias=-1.0, output_bias=-1.0,
        reached=strings_learned,
    ),
    Recipe(
        "two sequences, p = 50", "noise-free-long-lag", 21.0, "100 % of all symbols",
        51, 16, 51, False, "cross-entropy", 5.0,
        constant(0.02), 1.0, 8000, lag, right_last_symbol,
        input_bias=0.0, output_bias=0.0,
    ),
    Recipe(
        "temporal order, T = 50", "temporal-order-3bit", 13.6, "100 % right",
        8, 4, 4, True, "cross-entropy", 5.0,
        constant(0.02), 1.0, 1500, order, right_orders, input_bias=-1.0,
    ),
    Recipe(
        "product, T = 20 to 30", "multiplication-problem", 4.5, "MSE 0.0028",
        2, 8, 1, True, "squared", 1.0, constant(5e-3), 1.0, 3000,
        product, mean_squared_error(product, low=30, high=30), sigmoid=True,
    ),
)  # fmt: skip
