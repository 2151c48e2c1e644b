"""Promise 9: threads share a model for inference; concurrent training calls work or raise.

The tests also run without the GIL. Then Python itself calls the models in several threads at once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS, build
from tests.promises.amount import amount

import bptt

THREADS = 6
ROUNDS = amount(4, 100)
T, B, I, H = 12, 3, 5, 24
RNG = np.random.default_rng(0)
INPUTS = [RNG.standard_normal((T, B, I)).astype(np.float32) for _ in range(8)]


def together(work: Callable[[int], Any]) -> list[Any]:
    """Results of the work in several threads that begin at the same time."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, (str, int)):
        return []
    return [leaf for part in value or () for leaf in leaves(part)]


def digest(value: Any) -> bytes:
    return b"".join(leaf.tobytes() for leaf in leaves(value))


def model(cell: str) -> bptt.Sequential:
    layers = (build(cell, I, H), bptt.Linear(H, 4, seed=1), bptt.Softmax())
    return bptt.Sequential(*layers)


def shared() -> dict[str, Any]:
    """Layers, models and snapshots."""
    found: dict[str, Any] = {}
    for cell in CELLS:
        net = model(cell)
        found |= {cell: net, f"{cell}, frozen": net.freeze()}
        for precision in ("int8", "bfloat16"):
            found[f"{cell}, {precision}"] = net.freeze(precision)
    return found


def test_threads_share_models(
    subtests: pytest.Subtests, record_property: Callable[[str, object], None]
) -> None:
    """Every result has the bits that one thread computes."""
    calls = 0
    for name, net in shared().items():
        with subtests.test(name):
            expected = [digest(net(x)) for x in INPUTS]

            def work(number: int, net: Any = net) -> list[bytes]:
                order = np.random.default_rng(number).permutation(ROUNDS * len(INPUTS)) % len(INPUTS)
                return [(k, digest(net(INPUTS[k]))) for k in order]

            results = [result for thread in together(work) for result in thread]
            assert all(found == expected[k] for k, found in results)
            calls += len(results)
    gil = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else " without the GIL"
    record_property(
        "figure",
        f"{calls:,} calls from {THREADS} threads{gil} gave the bits of one thread",
    )


def trainable() -> dict[str, tuple[bptt.Module, Any]]:
    ids = RNG.integers(0, I, (T, B))
    found: dict[str, tuple[bptt.Module, Any]] = {cell: (model(cell), INPUTS[0]) for cell in CELLS}
    found |= {
        "Linear": (bptt.Linear(I, H, seed=0), INPUTS[0]),
        "LayerNorm": (bptt.LayerNorm(I), INPUTS[0]),
        "Embedding": (bptt.Embedding(I, H, seed=0), ids),
        "MemoryBlocks": (bptt.MemoryBlocks(I, 4, 2, seed=0), INPUTS[0]),
        "bidirectional": (bptt.GRU(I, H, 2, bidirectional=True, seed=0), INPUTS[0]),
        "Parallel": (bptt.Parallel(a=bptt.GRU(I, 4, seed=0), b=bptt.Linear(I, 3, seed=0)), INPUTS[0]),
    }
    return found


def test_training_calls_at_once_work_or_raise(subtests: pytest.Subtests) -> None:
    """The gradient is that of the calls that were not refused."""
    for name, (net, x) in trainable().items():
        with subtests.test(name):
            y, _, tape = net.forward(x)
            net.zero_grad()
            net.backward(tape, np.ones_like(y))
            once = net.flat_gradients.copy()
            net.zero_grad()

            def work(_: int, net: bptt.Module = net, x: Any = x) -> int:
                done = 0
                for _ in range(ROUNDS):
                    y, _, tape = net.forward(x)
                    try:
                        net.backward(tape, np.ones_like(y))
                        done += 1
                    except RuntimeError as error:
                        if "another call is adding to these gradients" not in str(error):
                            raise
                return done

            count = sum(together(work))
            assert count >= 1
            np.testing.assert_allclose(net.flat_gradients, count * once, rtol=1e-4, atol=1e-4 * count)


def updated(make: Callable[[], bptt.Optimizer], size: int) -> tuple[bptt.Module, bptt.Optimizer]:
    """A model with the gradient 1, and its optimizer."""
    net = bptt.Linear(size, 1, bias=False, dtype="float64", seed=0)
    net.flat_gradients[:] = 1.0
    return net, make()


def test_updates_at_once_work_or_raise(subtests: pytest.Subtests) -> None:
    """Parameters, state and count are those of the updates that were not refused, one after the other."""
    optimizers = {
        "SGD": lambda: bptt.SGD(0.1, momentum=0.5),
        "Adam": lambda: bptt.Adam(0.1),
        "RMSProp": lambda: bptt.RMSProp(0.1, lr_factors={"weight": 0.5}),
    }
    for name, make in optimizers.items():
        for size in (3, 70_000):
            with subtests.test(name, size=size):
                net, optimizer = updated(make, size)

                def work(_: int, net: bptt.Module = net, optimizer: bptt.Optimizer = optimizer) -> int:
                    done = 0
                    for _ in range(ROUNDS):
                        try:
                            optimizer.step(net)
                            done += 1
                        except RuntimeError as error:
                            if ".step must make one update at a time" not in str(error):
                                raise
                    return done

                count = sum(together(work))
                again, other = updated(make, size)
                for _ in range(count):
                    other.step(again)
                assert optimizer.steps == count >= 1
                assert net.flat_parameters.tobytes() == again.flat_parameters.tobytes()
                assert digest(list(optimizer.state_dict().values())) == digest(
                    list(other.state_dict().values())
                )
